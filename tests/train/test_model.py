"""Models that can be trained, and those that cannot, which are refused at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import CLIPConfig, LlamaConfig

from mmpr.errors import MmprError
from mmpr.train.model import load_config, load_model
from mmpr.train.recipe import parse_train_recipe
from tests.helpers import REPOSITORY
from tests.train.models import idefics3


@pytest.mark.parametrize("config", [LlamaConfig(), idefics3().config])
def test_a_configuration_that_has_a_model_is_given(config: LlamaConfig, tmp_path: Path) -> None:
    config.save_pretrained(tmp_path)
    assert load_config(str(tmp_path), False).model_type == config.model_type
    assert load_config(str(REPOSITORY / "data" / "demo_model"), False).model_type == "idefics3"


def test_a_configuration_without_a_model_is_refused(tmp_path: Path) -> None:
    CLIPConfig().save_pretrained(tmp_path)
    with pytest.raises(MmprError, match="no AutoModelForImageTextToText for models of type 'clip', so it cannot be"):
        load_config(str(tmp_path), False)


def test_internvl_in_its_own_format_is_refused_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "from transformers import PretrainedConfig\n\n\nclass Own(PretrainedConfig):\n"
        "    model_type = 'internvl_chat'\n    vision_config = PretrainedConfig()\n"
    )
    settings = {"model_type": "internvl_chat", "auto_map": {"AutoConfig": "own.Own"}}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    with pytest.raises(MmprError, match="'internvl_chat', so it cannot be trained; train its conversion"):
        load_config(str(tmp_path), True)


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        ("internvl_chat", r"so it cannot be trained; train its conversion .*OpenGVLab/InternVL3-8B-hf"),
        ("mine", r"to run that code, set model\.trust_remote_code=true"),
    ],
)
def test_a_model_with_code_of_its_own_alone_is_refused_in_a_sentence(tmp_path: Path, kind: str, remedy: str) -> None:
    """As the published InternVL2 comes: transformers knows nothing of its kind."""
    classes = {"AutoConfig": "own.Config", "AutoModel": "own.Model", "AutoModelForCausalLM": "own.Model"}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind, "auto_map": classes}))
    with pytest.raises(
        MmprError, match=f"models of type '{kind}' run by code that comes with them, .*{remedy}"
    ) as told:
        load_config(str(tmp_path), False)
    assert "\n" not in str(told.value)


def test_a_configuration_that_does_not_load_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(MmprError, match="its configuration does not load"):
        load_config(str(tmp_path), False)


def test_new_adapters_follow_the_seed() -> None:
    path = str(REPOSITORY / "data" / "demo_model")
    tree = {"name": "x", "lora": {"rank": 2, "alpha": 4}, "compute": {"precision": "float32"}}

    def adapters(seed: int) -> dict[str, torch.Tensor]:
        model = load_model(path, parse_train_recipe({**tree, "seed": seed}))
        return {name: value for name, value in model.state_dict().items() if "lora_A" in name}

    torch.manual_seed(1)
    one = adapters(3)
    torch.manual_seed(2)
    two, other = adapters(3), adapters(4)
    assert one
    assert all(torch.equal(one[name], two[name]) and not torch.equal(one[name], other[name]) for name in one)
