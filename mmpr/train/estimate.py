"""What a run asks of a GPU, by formula: memory by part, and hours. docs/training.md has the same formulas.

N parameters, T of them trained, W processes; L layers of width D and inner width F, P tokens in a pass. In bytes:

    weights      data: 4 N                        fsdp2: 4 N / W between steps, and 2 N more in a step
    gradient     data: 4 T                        fsdp2: 4 T in a step, and 4 T / W
    optimizer    data: 8 T                        fsdp2: 8 T / W
    casts        data: 2 N, the weights in bfloat16
    activations  with checkpointing s·D·L·P (s = 2 for fsdp2 in bfloat16, else 4) and one layer's (40 D + 8 F)·P;
                 without it L·(40 D + 8 F)·P; those of the vision tower alike, for four patches a token
    logits       the tiles of log-probabilities, and a float32 gradient of the output matrix where it is cast
    others       CUDA, NCCL and what the allocator cannot use

Under adapters the frozen weights are in bfloat16. In float32 nothing is cast, fsdp2 gathers 4 N, and a layer has
50 D + 16 F.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mmpr.train.recipe import LoraSpec, TrainRecipe

GPU_PACK_TOKENS = 16384
_TILES = 512 * 2**20
_OTHERS = 3e9
_PATCHES_A_TOKEN = 4  # of families that merge two by two of them
_MOST_GPUS = 512


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack of equal layers: the decoder, or the vision tower."""

    layers: int
    width: int
    inner: int


@dataclass(frozen=True, slots=True)
class Shape:
    """What is asked of a model: its parameters, those that are trained, those of the output matrix, and its layers."""

    parameters: int
    trained: int
    output: int
    decoder: Stack
    vision: Stack | None = None


def shape_of(model: Any) -> Shape:
    """The shape of a model (an empty one will do), with adapters and frozen parts as they are."""
    parameters = list(model.parameters())
    config = model.config
    text, vision = config.get_text_config(), getattr(config, "vision_config", None)
    head = model.get_output_embeddings()
    return Shape(
        parameters=sum(p.numel() for p in parameters),
        trained=sum(p.numel() for p in parameters if p.requires_grad),
        output=0 if head is None or not head.weight.requires_grad else head.weight.numel(),
        decoder=_stack(text),
        vision=None if vision is None else _stack(vision),
    )


def _stack(config: Any) -> Stack:
    def first(*names: str) -> int:
        return next((int(value) for name in names if isinstance(value := getattr(config, name, None), int)), 0)

    width = first("embed_dim", "hidden_size")
    ratio = getattr(config, "mlp_ratio", 4)
    return Stack(first("num_hidden_layers", "depth"), width, first("intermediate_size") or int(width * ratio))


def memory(shape: Shape, recipe: TrainRecipe, gpus: int) -> dict[str, float]:
    """Bytes that a GPU of ``gpus`` needs at most, by part."""
    exact = recipe.compute.precision == "float32"
    sharded = recipe.compute.parallel == "fsdp2"
    frozen = shape.parameters - shape.trained
    kept = (2 if recipe.lora is not None and not exact else 4) * frozen + 4 * shape.trained
    share = gpus if sharded else 1
    gathered = (4 if exact else 2) * shape.parameters
    cast_here = 0 if recipe.lora is not None else 2 * shape.parameters
    return {
        "weights": kept / share + (gathered if sharded else 0),
        "gradient": 4 * shape.trained + (4 * shape.trained / share if sharded else 0),
        "optimizer": 8 * shape.trained / share,
        "casts": 0 if exact or sharded else cast_here,
        "activations": _activations(shape, recipe, exact, sharded),
        "logits": _TILES + (4 * shape.output if sharded and not exact else 0),
        "others": _OTHERS,
    }


def lasting(parts: dict[str, float]) -> float:
    """Of `memory`, the bytes that no size of a pass changes."""
    return sum(size for name, size in parts.items() if name not in ("activations", "logits", "others"))


def _activations(shape: Shape, recipe: TrainRecipe, exact: bool, sharded: bool) -> float:
    tokens = recipe.compute.max_pack_tokens or GPU_PACK_TOKENS
    stream = 2 if sharded and not exact else 4
    total, peak = 10.0 * shape.decoder.width * tokens, 0.0
    for stack, many in ((shape.decoder, tokens), (shape.vision, _PATCHES_A_TOKEN * tokens)):
        if stack is None:
            continue
        layer = (50 * stack.width + 16 * stack.inner if exact else 40 * stack.width + 8 * stack.inner) * many
        inputs = stream * stack.width * stack.layers * many
        total += inputs if recipe.model.gradient_checkpointing else stack.layers * layer
        peak = max(peak, layer)
    return total + (peak if recipe.model.gradient_checkpointing else 0)


def refusal(shape: Shape, recipe: TrainRecipe, gpus: int, room: float) -> str:
    """Why a run does not fit in ``room`` bytes on each of ``gpus``, and what would."""
    parts = memory(shape, recipe, gpus)
    fits = what_fits(shape, recipe, gpus, room)
    told = f"the run does not fit: {sum(parts.values()) / 1e9:,.1f} GB of {room / 1e9:,.1f} GB on a GPU; "
    if fits:
        return f"{told}it would fit with {'; or '.join(fits)}"
    return f"{told}no number of such GPUs is enough: {lasting(parts) / 1e9:,.1f} GB do not depend on what a pass holds"


def what_fits(shape: Shape, recipe: TrainRecipe, gpus: int, room: float) -> list[str]:
    """Changes of the recipe, or more GPUs, with which a run would fit in ``room`` bytes a GPU; the smallest first."""
    found: dict[bool, str] = {}  # by whether it takes another number of GPUs: the first one
    for name, changed, many in _changes(recipe, gpus):
        if sum(memory(shape, changed, many).values()) <= room:
            found.setdefault(many != gpus, name)
    fits = list(found.values())
    if recipe.lora is None:
        lora = LoraSpec()
        lighter = _with(recipe, "model", gradient_checkpointing=True).model_copy(update={"lora": lora})
        if sum(memory(with_adapters(shape, lora), lighter, gpus).values()) <= room:
            fits.append("lora={} with model.gradient_checkpointing=true")
    return fits


def _changes(recipe: TrainRecipe, gpus: int) -> Iterator[tuple[str, TrainRecipe, int]]:
    lighter, names = recipe, []
    if not recipe.model.gradient_checkpointing:
        lighter = _with(lighter, "model", gradient_checkpointing=True)
        names.append("model.gradient_checkpointing=true")
        yield ", ".join(names), lighter, gpus
    if (recipe.compute.max_pack_tokens or GPU_PACK_TOKENS) > 4096:
        lighter = _with(lighter, "compute", max_pack_tokens=4096)
        names.append("compute.max_pack_tokens=4096")
        yield ", ".join(names), lighter, gpus
    lighter = _with(lighter, "compute", parallel="fsdp2")
    for many in (gpus * 2**power for power in range(int(math.log2(_MOST_GPUS / gpus)) + 1)):
        if many > 1 and (many, recipe.compute.parallel) != (gpus, "fsdp2"):
            yield ", ".join([*names, f"compute.parallel=fsdp2 on {many} GPUs"]), lighter, many


def with_adapters(shape: Shape, lora: LoraSpec) -> Shape:
    """The shape with adapters on the decoder's seven matrices a layer, as ``all-linear`` has them."""
    stack = shape.decoder
    adapters = lora.rank * stack.layers * (8 * stack.width + 3 * (stack.width + stack.inner))
    return Shape(shape.parameters + adapters, adapters, 0, stack, shape.vision)


def _with(recipe: TrainRecipe, part: str, **settings: Any) -> TrainRecipe:
    return recipe.model_copy(update={part: getattr(recipe, part).model_copy(update=settings)})


def hours(shape: Shape, recipe: TrainRecipe, tokens: float, flops: float) -> float:
    """Hours for so many tokens on one GPU that computes ``flops`` a second: six operations a parameter and token.

    Frozen weights need four, and what is computed anew in backward two more.
    """
    again = 2 if recipe.model.gradient_checkpointing else 0
    frozen = shape.parameters - shape.trained
    return tokens * ((6 + again) * shape.trained + (4 + again) * frozen) / flops / 3600
