"""The model: loading, frozen parts, adapters, and saving as a stock checkpoint."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    PreTrainedConfig,
)

from mmpr.errors import MmprError, RecipeError
from mmpr.train.recipe import TrainRecipe

# Names of these parts in the families of transformers; all else is the decoder.
_PROJECTOR = {"connector", "multi_modal_projector", "merger", "deepstack_merger_list", "modality_projection", "mlp1"}
_CONVERTED = (
    "; train its conversion to transformers' format (names that end in -HF or -hf, such as OpenGVLab/InternVL3-8B-hf)"
)
_VISION = {"vision_model", "vision_tower", "visual", "vision_embed_tokens"}


def load_processor(path: str, trust_remote_code: bool) -> Any:
    """The model's processor, or the tokenizer of a text-only model.

    Raises:
        MmprError: neither loads.
    """
    try:
        return AutoProcessor.from_pretrained(path, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError):
        pass
    try:
        return AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError) as error:
        raise MmprError(f"--model {path}: has no processor and no tokenizer that load: {error}") from None


def load_config(path: str, trust_remote_code: bool) -> Any:
    """The model's configuration.

    Raises:
        MmprError: it does not load, or transformers has no model for it that can be trained.
    """
    try:
        _refuse_own_form(path, trust_remote_code)
        config = AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError) as error:
        raise MmprError(f"--model {path}: its configuration does not load: {error}"[:500]) from None
    kind = _kind_of(config)
    known = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING if kind is AutoModelForImageTextToText else MODEL_FOR_CAUSAL_LM_MAPPING
    if type(config) not in known and kind.__name__ not in (getattr(config, "auto_map", None) or {}):
        raise MmprError(
            f"--model {path}: there is no {kind.__name__} for models of type {config.model_type!r}, so it cannot be "
            f"trained{_CONVERTED if config.model_type == 'internvl_chat' else ''}"
        )
    return config


def _refuse_own_form(path: str, trust_remote_code: bool) -> None:
    """Refuse, in one sentence, a model that runs by code of its own alone."""
    told, _ = PreTrainedConfig.get_config_dict(path)
    kind = told.get("model_type")
    if "auto_map" not in told or kind in CONFIG_MAPPING or trust_remote_code:
        return
    remedy = "; to run that code, set model.trust_remote_code=true"
    raise MmprError(
        f"--model {path}: models of type {kind!r} run by code that comes with them, and transformers has none of its "
        f"own{', so it cannot be trained' + _CONVERTED if kind == 'internvl_chat' else remedy}"
    )


def _kind_of(config: Any) -> Any:
    """The class of transformers that loads the model of a configuration."""
    return AutoModelForImageTextToText if getattr(config, "vision_config", None) is not None else AutoModelForCausalLM


def load_model(path: str, recipe: TrainRecipe, *, weights: Path | None = None) -> Any:
    """The model, with frozen parts and adapters as the recipe says, and the weights of a checkpoint if one is given.

    Parameters are float32, but the frozen weights under adapters have the precision of the recipe.

    Raises:
        MmprError: the model does not load.
        RecipeError: the recipe asks for something that this model does not have.
    """
    settings = recipe.model
    low = recipe.lora is not None and recipe.compute.precision == "bfloat16"
    source = path if weights is None or recipe.lora is not None else str(weights)
    config = load_config(path, settings.trust_remote_code)
    _set_drop_path(config, settings.drop_path)
    options: dict[str, Any] = {"attn_implementation": settings.attention} if settings.attention else {}
    try:
        model = _kind_of(config).from_pretrained(
            source,
            config=config,
            dtype=torch.bfloat16 if low else torch.float32,
            trust_remote_code=settings.trust_remote_code,
            **options,
        )
    except (OSError, ValueError) as error:
        raise MmprError(f"--model {source}: does not load: {error}") from None
    return _to_train(model, recipe, weights)


def empty_model(path: str, recipe: TrainRecipe) -> Any:
    """The model without any weights (on the device ``meta``), to see what the recipe makes of it; costs no memory.

    None for a model that runs by code of its own.

    Raises:
        MmprError: there is no such model.
        RecipeError: the recipe asks for something that this model does not have.
    """
    config = load_config(path, recipe.model.trust_remote_code)
    _set_drop_path(config, recipe.model.drop_path)
    if config.model_type not in CONFIG_MAPPING:
        return None
    with torch.device("meta"):
        return _to_train(_kind_of(config).from_config(config), recipe)


def _to_train(model: Any, recipe: TrainRecipe, weights: Path | None = None) -> Any:
    """With adapters and frozen parts, as the recipe says."""
    if recipe.lora is not None:
        model = _with_adapters(model, recipe, weights)
    freeze(model, recipe.model.freeze)
    if not any(p.requires_grad for p in model.parameters()):
        raise RecipeError("recipe", ["model.freeze: leaves no parameter to train"])
    return model


def freeze(model: nn.Module, parts: tuple[str, ...]) -> None:
    """Exclude parts of the model from training.

    Raises:
        RecipeError: the model has no such part.
    """
    names = {part: [name for name, _ in model.named_parameters() if part_of(name) == part] for part in parts}
    missing = [part for part, found in names.items() if not found]
    if missing:
        raise RecipeError("recipe", [f"model.freeze: this model has no {part}" for part in missing])
    frozen = {name for found in names.values() for name in found}
    for name, parameter in model.named_parameters():
        if name in frozen:
            parameter.requires_grad_(False)


def part_of(name: str) -> str:
    """The part that a parameter belongs to, by its name: ``vision``, ``projector`` or ``decoder``."""
    pieces = set(name.split("."))
    if pieces & _PROJECTOR:
        return "projector"
    return "vision" if pieces & _VISION else "decoder"


def save_stock(
    model: Any, processor: Any, folder: Path, weights: dict[str, Any] | None = None, dtype: torch.dtype | None = None
) -> None:
    """Write a checkpoint that stock transformers and vLLM load, with its processor; adapters are merged into it.

    ``weights`` are the gathered weights of a sharded model without adapters. All weights are written as ``dtype``
    (None: as they are), but the adapter by itself as it is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if hasattr(model, "merge_and_unload"):
        model.save_pretrained(folder / "adapter")
        model = copy.deepcopy(model).merge_and_unload()
    model.config.use_cache = True
    if dtype is not None:
        weights = {name: _cast(value, dtype) for name, value in (weights or model.state_dict()).items()}
    model.save_pretrained(folder, state_dict=weights)
    if dtype is not None:  # the library has written the precision in which the model was trained
        for config in (model.config, *(getattr(model.config, name) for name in model.config.sub_configs)):
            config.dtype = dtype
        model.config.save_pretrained(folder)
    processor.save_pretrained(folder)


def _cast(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if value.is_floating_point() else value


def with_weights(path: str, recipe: TrainRecipe, weights: Mapping[str, Tensor]) -> Any:
    """The model as `load_model` gives it, on the CPU, with weights that were trained elsewhere.

    Raises:
        MmprError: it does not load, or a weight is not one of this model.
    """
    model = load_model(path, recipe)
    unknown = model.load_state_dict(dict(weights), strict=False).unexpected_keys
    if unknown:
        raise MmprError(f"--model {path}: has no {unknown[0]} ({len(unknown)} trained weights fit nowhere)")
    return model


def _with_adapters(model: Any, recipe: TrainRecipe, weights: Path | None) -> Any:
    from peft import LoraConfig, PeftModel, get_peft_model

    if weights is not None:
        return PeftModel.from_pretrained(model, str(weights), is_trainable=True)
    lora = recipe.lora
    assert lora is not None
    targets: Any = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    if targets == "all-linear":
        head = model.get_output_embeddings()
        targets = [
            name
            for name, module in model.named_modules()
            if isinstance(module, nn.Linear) and module is not head and part_of(name) == "decoder"
        ]
    _check_targets(model, targets)
    config = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=targets)
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)  # new adapters are random: the same on all ranks, and in the next run
        return get_peft_model(model, config)


def _check_targets(model: nn.Module, targets: str | list[str]) -> None:
    """Check that there is a module for each name (a text is a pattern of whole names, as in PEFT)."""
    from peft import LoraConfig
    from peft.tuners.tuners_utils import check_target_module_exists

    layers = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if isinstance(targets, str):
        try:
            of_peft = LoraConfig(target_modules=targets)
            missing = [] if any(check_target_module_exists(of_peft, name) for name in layers) else [targets]
        except re.error as error:
            raise RecipeError("recipe", [f"lora.targets: {targets!r} is no pattern: {error}"]) from None
    else:
        ends = {end for name in layers for end in _ends(name)}
        missing = [target for target in targets if target not in ends]
    if missing:
        known = ", ".join(dict.fromkeys(name.rpartition(".")[2] for name in layers))
        raise RecipeError(
            "recipe", [f"lora.targets: this model has no layer {name!r}; it has: {known}" for name in missing]
        )


def _ends(name: str) -> list[str]:
    """A dotted name and all of its ends."""
    parts = name.split(".")
    return [".".join(parts[i:]) for i in range(len(parts))]


def _set_drop_path(config: Any, rate: float) -> None:
    if not rate:
        return
    vision: Any = getattr(config, "vision_config", None)
    if not hasattr(vision, "drop_path_rate"):
        raise RecipeError(
            "recipe", [f"model.drop_path: the vision tower of a {config.model_type} model has none; set it to 0"]
        )
    vision.drop_path_rate = rate
