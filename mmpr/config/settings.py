"""Settings that a person writes: YAML, ``key.path=value``, and frozen objects that are known to be right.

Recipes of builds, of training and of evaluations are all read this way; every problem is told at once.
"""

from __future__ import annotations

import copy
import difflib
import hashlib
import json
import re
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, ValidationError, model_serializer

from mmpr.config.refused import huge_numbers, refuse_secrets
from mmpr.config.small_files import read_small
from mmpr.errors import RecipeError

MAX_RECIPE_BYTES = 128 << 10
"""Of YAML, which is read at some 100 KB a second."""

MAX_PROBLEMS = 50
"""So many are told, the others counted."""


SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "lr": ("learning_rate",),
    **dict.fromkeys(("batch_size", "train_batch_size", "per_device_train_batch_size"), ("pairs_a_step",)),
    **dict.fromkeys(("n", "k", "num_samples", "num_generations", "num_return_sequences"), ("samples",)),
    **dict.fromkeys(("max_new_tokens", "max_length", "max_completion_length"), ("max_tokens",)),
    **dict.fromkeys(("num_epochs", "num_train_epochs"), ("epochs",)),
    **dict.fromkeys(("save_steps", "eval_steps"), ("every_steps",)),
    **dict.fromkeys(("warmup_ratio", "warmup_steps"), ("warmup",)),
    **dict.fromkeys(("gpus", "num_gpus", "num_workers", "dp"), ("actors", "workers")),
    **dict.fromkeys(("tp", "tensor_parallel"), ("tensor_parallel_size",)),
    **dict.fromkeys(("limit", "max_samples", "num_questions"), ("max_questions",)),
    **dict.fromkeys(("lora_rank", "r"), ("rank",)),
    "lora_alpha": ("alpha",),
    "lr_scheduler_type": ("schedule",),
    **dict.fromkeys(("dtype", "torch_dtype", "bf16"), ("precision",)),
    **dict.fromkeys(("model_path", "model_name", "name_or_path"), ("path",)),
    "most": ("samples",),
    "until": ("distinct",),
    "metric": ("rule",),
    "stop_strings": ("stop",),
}
"""What people call settings by the names of other tools: the names here, the first that the recipe has."""


class Part(BaseModel):
    """A part of a recipe: unknown settings, and values of another type, are problems.

    ``LATER`` names settings that were added to a part after builds had been made with it. They are written only where
    they are set, so that the fingerprints of earlier builds stay as they are.
    """

    LATER: ClassVar[frozenset[str]] = frozenset()

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @model_serializer(mode="wrap")
    def _leave_out_later(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        tree: dict[str, Any] = write(self)
        fields = type(self).model_fields
        later = {name for part in type(self).__mro__ for name in vars(part).get("LATER", ())}
        unset = {name for name in later if getattr(self, name) == fields[name].get_default()}
        return {name: value for name, value in tree.items() if name not in unset}


Settings = TypeVar("Settings", bound=Part)


def parse_settings(
    kind: type[Settings],
    tree: object,
    overrides: Sequence[str] = (),
    *,
    where: str,
    inside: Mapping[str, Any] = types.MappingProxyType({}),
    context: Mapping[str, Any] = types.MappingProxyType({}),
    check: Callable[[Settings], list[str]] = lambda _: [],
) -> Settings:
    """Check settings that are already a tree of dictionaries and lists.

    Args:
        kind: what they are to become.
        tree: names and values; it is not changed.
        overrides: ``key.path=value``, put into the tree first.
        where: what to call the tree in messages, such as its file.
        inside: values of fields that are no settings (``exclude=True``), which nobody may write.
        context: what pydantic's validators are told.
        check: finds the problems that a single setting does not show.

    Raises:
        RecipeError: with every problem found.
    """
    if not isinstance(tree, dict):
        raise RecipeError(where, [f"a recipe is a mapping of names to values, this is {_kind(tree)}"])
    tree = copy.deepcopy(tree)  # overrides change it
    problems = [problem for override in overrides if (problem := apply_override(tree, override))]
    refuse_secrets(tree, where)
    problems += huge_numbers(tree)
    hidden = {name for name, field in kind.model_fields.items() if field.exclude}
    problems += [f"{name}: not a setting of recipes" for name in sorted(hidden) if tree.pop(name, None) is not None]
    try:
        settings = kind.model_validate_json(json.dumps({**tree, **inside}), context=dict(context))
    except ValidationError as error:
        # A list that is not empty is "too short" only because entries of it are wrong, which is told by itself.
        found = [item for item in error.errors() if not (item["type"] == "too_short" and item["input"])]
        raise RecipeError(where, problems + _problem_lines(kind, found, hidden)) from None
    except (TypeError, ValueError, RecursionError) as error:
        raise RecipeError(
            where, [*problems, f"holds a value that is no number, text, list or mapping: {error}"]
        ) from None
    problems += check(settings)
    if problems:
        raise RecipeError(where, problems)
    return settings


def fingerprint(value: object) -> str:
    """64 bits of SHA-256 over the canonical JSON of a value, as 16 hex digits."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class _Loader(yaml.SafeLoader):
    """Safe, and without aliases (a few lines of aliases can stand for gigabytes) or repeated keys."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases are not allowed in recipes", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key_node, _ in node.value:
            if not isinstance(key_node.value, str):
                continue
            if key_node.value in seen:
                message = f"the key {key_node.value!r} stands twice"
                raise yaml.constructor.ConstructorError(None, None, message, key_node.start_mark)
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


# YAML 1.1 reads 1e-6 as text because it has no dot; people mean a number.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(?:\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def read_yaml(path: Path) -> object:
    """What a recipe's file says; raises RecipeError when it is missing, too large or no plain YAML."""
    try:
        data = read_small(path, MAX_RECIPE_BYTES)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise RecipeError(str(path), [f"cannot be read: {getattr(error, 'strerror', None) or error}"]) from None
    try:
        return yaml.load(data.decode("utf-8"), Loader=_Loader)
    except UnicodeDecodeError:
        raise RecipeError(str(path), ["is not UTF-8 text"]) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise RecipeError(str(path), [f"is not a YAML recipe: {' '.join(str(error).split())}"]) from None


def apply_override(tree: dict[str, Any], override: str) -> str | None:
    """Set one ``key.path=value`` in the tree; returns the problem, if any."""
    path, equals, text = override.partition("=")
    if not equals or not path:
        return f"override {override!r}: write it as key.path=value"
    try:
        value = yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, RecursionError, ValueError):
        return f"override {override!r}: the value is not YAML"
    *parents, last = path.split(".")
    node: Any = tree
    for key in parents:
        if isinstance(node, dict):
            node = node.setdefault(key, {})
        elif (place := _list_place(node, key)) is not None:
            node = node[place]
        else:
            return f"override {override!r}: there is no {key!r} in the recipe"
    if isinstance(node, dict):
        node[last] = value
    elif (place := _list_place(node, last)) is not None:
        node[place] = value
    else:
        return f"override {override!r}: there is no {last!r} in the recipe"
    return None


def _list_place(node: Any, key: str) -> int | None:
    """Where ``key`` stands in a list: a position, or the name of a named entry (a source)."""
    if not isinstance(node, list):
        return None
    for place, item in enumerate(node):
        if key == str(place) or (isinstance(item, dict) and item.get("name") == key):
            return place
    return None


def _problem_lines(kind: type[BaseModel], errors: Sequence[Any], hidden: set[str]) -> list[str]:
    """Pydantic's errors as lines; of settings that are wrong in thousands of places the first ``MAX_PROBLEMS``."""
    known = _places(kind, hidden)
    lines = [_problem_line(error, kind, known) for error in errors[:MAX_PROBLEMS]]
    return lines if len(errors) <= MAX_PROBLEMS else [*lines, f"and {len(errors) - MAX_PROBLEMS:,} more problems"]


def _problem_line(error: Any, kind: type[BaseModel], known: Mapping[str, Sequence[str]]) -> str:
    """One of pydantic's errors as a line: where, what, and what may be meant by an unknown name."""
    place = list(error["loc"])
    if len(place) > 2 and place[0] in ("sources", "heldout"):
        del place[2]  # the type of the source, which pydantic files its settings under
    where = ".".join(str(part) for part in place) or "recipe"
    if error["type"] == "extra_forbidden":
        return f"{where}: {_unknown(str(place[-1]), _neighbours(kind, error['loc']), known)}"
    if error["type"] == "union_tag_not_found":
        return f"{where}.type: is missing"
    if error["type"] == "union_tag_invalid":
        return f"{where}.type: must be one of {error['ctx']['expected_tags']} (it is {error['ctx']['tag']!r})"
    if error["type"] == "missing":
        return f"{where}: is missing"
    message = error["msg"].removeprefix("Value error, ")
    given = error.get("input")
    shown = f" (it is {given!r})" if isinstance(given, str | int | float | bool) and len(str(given)) < 80 else ""
    return f"{where}: {message[0].lower() + message[1:]}{shown}"


def _unknown(name: str, neighbours: Sequence[str], known: Mapping[str, Sequence[str]]) -> str:
    """What to say of an unknown setting: where there is one of that name, a likely one, or what there is."""
    if name in known:
        return f"not a setting of this part; there is {', '.join(known[name][:3])}"
    if meant := [place for word in SYNONYMS.get(name.lower(), ()) for place in known.get(word, ())][:1]:
        return f"not a setting; do you mean {meant[0]}?"
    if near := difflib.get_close_matches(name, known, n=1):
        return f"not a setting; do you mean {near[0]!r}?"
    return "not a setting" + (f"; there are {', '.join(neighbours)}" if neighbours else "")


def _places(model: type[BaseModel], hidden: set[str], before: str = "") -> dict[str, list[str]]:
    """The names of all settings of a kind, each with the places that have it (``sampling.stop``)."""
    places: dict[str, list[str]] = {}
    for name, field in model.model_fields.items():
        if name in hidden:
            continue
        inner = parts_of(field.annotation)
        places.setdefault(name, []).append(f"{before}{name}")
        below = f"{before}{name}.{'NAME.' if len(inner) > 1 else ''}"  # a source, which is named by its name
        for part in inner:
            for found, where in _places(part, hidden, below).items():
                places.setdefault(found, []).extend(where)
    return {name: list(dict.fromkeys(where)) for name, where in places.items()}


def parts_of(annotation: Any) -> list[type[BaseModel]]:
    """The kinds of settings that a field's type holds, be it a list or a choice of them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (tuple, list, Union, types.UnionType, Annotated):
        return [part for inner in get_args(annotation) for part in parts_of(inner)]
    return []


def _neighbours(kind: type[BaseModel], place: Sequence[Any]) -> list[str]:
    """The settings that stand beside an unknown one; ``place`` is pydantic's."""
    parts = [kind]
    for step in place[:-1]:
        fields = [part.model_fields[step] for part in parts if step in part.model_fields]
        if fields:
            parts = [inner for field in fields for inner in parts_of(field.annotation)]
        elif isinstance(step, str):  # the type of a source
            parts = [part for part in parts if step in get_args(part.model_fields["type"].annotation)]
    return list(dict.fromkeys(name for part in parts for name, field in part.model_fields.items() if not field.exclude))


def _kind(value: object) -> str:
    return "empty" if value is None else f"a {type(value).__name__}"
