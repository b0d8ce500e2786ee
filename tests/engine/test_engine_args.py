"""Arguments of vLLM's engine: what we set by ourselves, and that the recipe has the last word."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import pytest

from mmpr.config import SamplingSpec
from mmpr.config.sampling import OURS, PASSED_ON
from mmpr.engine.vllm_engine import cpu_cache_bytes, engine_args, sampling_args
from tests.engine.demo_models import DEMO, recipe_of

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(180)]

HYBRID = {
    "model_type": "lfm2",
    "architectures": ["Lfm2ForCausalLM"],
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "layer_types": ["conv", "full_attention"],
    "max_position_embeddings": 512,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "torch_dtype": "bfloat16",
}
"""A small decoder of convolutions and attention, as that of LFM2-VL."""


@pytest.fixture
def hybrid(tmp_path: Path) -> Path:
    folder = tmp_path / "hybrid"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(HYBRID))
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        (folder / name).symlink_to(DEMO / name)
    return folder


def test_prefix_caching_is_off_for_hybrid_models_and_told(hybrid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from vllm.engine.arg_utils import AsyncEngineArgs

    args = engine_args(recipe_of(hybrid), str(hybrid))
    assert args["enable_prefix_caching"] is False
    (told,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("mmpr: ")]
    assert "prefix caching is off (engine.args.enable_prefix_caching)" in told
    assert AsyncEngineArgs(**args).create_engine_config().cache_config.enable_prefix_caching is False
    # without it vLLM does not start; who asks for it gets vLLM's own words
    own = engine_args(recipe_of(hybrid, enable_prefix_caching=True), str(hybrid))
    assert own["enable_prefix_caching"] is True
    with pytest.raises(ValueError, match="Chunked prefill is required"):
        AsyncEngineArgs(**own).create_engine_config()


def test_other_models_keep_their_prefixes(capsys: pytest.CaptureFixture[str]) -> None:
    assert "enable_prefix_caching" not in engine_args(recipe_of(DEMO), str(DEMO))
    assert "mmpr: " not in capsys.readouterr().out


def test_every_argument_of_vllms_sampling_is_a_setting_or_passed_on_or_ours() -> None:
    from vllm import SamplingParams

    own = set(SamplingSpec.model_fields) - {"samples", "adaptive", "args"}
    assert not own & {*PASSED_ON, *OURS} | {*PASSED_ON} & {*OURS}
    assert own | {*PASSED_ON, *OURS} == set(inspect.signature(SamplingParams.from_optional).parameters)


def test_settings_of_sampling_reach_vllm() -> None:
    from vllm import SamplingParams

    plain = SamplingParams.from_optional(**sampling_args(SamplingSpec()))
    assert (plain.temperature, plain.top_p, plain.top_k, plain.max_tokens) == (1.0, 1.0, 0, 4096)
    assert (plain.min_p, plain.presence_penalty, plain.repetition_penalty) == (0.0, 0.0, 1.0)
    assert (plain.stop, plain.stop_token_ids, plain.bad_words) == ([], [], [])
    assert (plain.skip_special_tokens, plain.spaces_between_special_tokens) == (False, False)
    args = {"logit_bias": {"5": 1.5}, "structured_outputs": {"regex": "[0-9]+"}, "min_tokens": 2}
    told: dict[str, Any] = {"min_p": 0.1, "presence_penalty": 0.5, "repetition_penalty": 1.1, "stop": ("a", "b")}
    set_ = SamplingSpec(**told, stop_token_ids=(7,), bad_words=("cat",), args=args)
    made = SamplingParams.from_optional(**sampling_args(set_))
    assert (made.min_p, made.presence_penalty, made.repetition_penalty) == (0.1, 0.5, 1.1)
    assert (made.stop, made.stop_token_ids, made.bad_words) == (["a", "b"], [7], ["cat"])
    assert (made.logit_bias, made.min_tokens) == ({5: 1.5}, 2)
    assert made.structured_outputs is not None
    assert made.structured_outputs.regex == "[0-9]+"


def test_the_cache_of_a_cpu_fits_beside_other_things(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [cpu_cache_bytes(gib << 30, actors) for gib, actors in ((8, 1), (8, 4), (64, 1), (0, 1))] == [
        2 << 30,
        1 << 29,
        8 << 30,
        1 << 28,
    ]

    def given(**args: Any) -> int | None:
        recipe = recipe_of(DEMO)
        own = recipe.engine.model_copy(update={"args": args})
        return engine_args(recipe.model_copy(update={"engine": own}), str(DEMO)).get("kv_cache_memory_bytes")

    monkeypatch.delenv("VLLM_CPU_KVCACHE_SPACE", raising=False)
    assert 1 << 28 <= (given() or 0) <= 8 << 30
    assert given(kv_cache_memory_bytes=7) == 7
    assert given(gpu_memory_utilization=0.5) is None
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    assert given() is None
