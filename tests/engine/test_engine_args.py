"""Arguments of vLLM's engine: what we set by ourselves, and that the recipe has the last word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmpr.engine.vllm_engine import engine_args
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
