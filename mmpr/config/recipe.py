"""The recipe of a build, read into frozen objects that are known to be right.

``load_recipe`` reports every problem at once. Paths in a recipe are relative to the recipe's own folder.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from mmpr.config.chat import ChatSpec, with_template_text
from mmpr.config.pairing import PairingSpec
from mmpr.config.sampling import SamplingSpec
from mmpr.config.settings import Part, parse_settings, read_yaml
from mmpr.errors import RecipeError
from mmpr.extension import NO_EXTENSIONS, Extensions, check_rules
from mmpr.resources import find_pipeline
from mmpr.schema import RULES


class ModelSpec(Part):
    """The model: a folder (``./``, ``../`` or ``/`` first) or a name on the hub, at a revision."""

    path: str = Field(min_length=1, description="a folder (./, ../ or / first) or a name on the hub")
    revision: str | None = Field(None, description="a commit, branch or tag on the hub")
    trust_remote_code: bool = Field(False, description="code that comes with the model may run")

    @property
    def is_local(self) -> bool:
        """Whether ``path`` is a folder rather than a name on the hub."""
        return self.path.startswith((".", "/"))


class EngineSpec(Part):
    """How the model is run. ``args`` go to vLLM's ``AsyncEngineArgs`` as they are.

    ``type: replay`` answers from a hash of the question instead of a model; it exists for tests of failure.
    An actor takes ``gpus_per_actor`` GPUs (default: its tensor-parallel size, or 0 on a cluster without GPUs). Without
    GPUs it takes ``cpus_per_actor`` CPUs, and computes with as many threads.
    """

    type: Literal["vllm", "replay"] = Field("vllm", description="replay is for tests")
    actors: int = Field(1, ge=1, description="engines that work side by side")
    tensor_parallel_size: int = Field(1, ge=1, description="GPUs that one engine is spread over")
    gpus_per_actor: float | None = Field(None, ge=0, description="default: tensor_parallel_size, or 0 without GPUs")
    cpus_per_actor: float = Field(1, ge=0, description="without GPUs: what an engine takes, and its threads")
    units_in_flight: int = Field(4, ge=1, description="units that one actor works on at once")
    request_timeout_s: float = Field(1800.0, gt=0, description="longer than all samples of a question may ever take")
    args: dict[str, Any] = Field(default_factory=dict, description="of vLLM's AsyncEngineArgs, such as max_model_len")


class DropoutVariant(Part):
    """Keep the first ``start_ratio`` of a response's tokens and continue it, the image gone unless ``with_image``."""

    start_ratio: float = Field(0.5, ge=0, lt=1, description="share of the response's tokens that is kept")
    with_image: bool = Field(False, description="the continuation sees the pictures")


class DropoutSpec(Part):
    """Dropout next-token prediction for questions without truth (paper, section 3.1)."""

    variants: tuple[DropoutVariant, ...] = (DropoutVariant(),)
    max_pairs: int = Field(15, ge=0, description="a question; 0 turns dropout pairs off")


class AdjudicateSpec(Part):
    """A verifier: a model that is asked about the verdicts of which the judge is unsure; off by default.

    Its prompt is one of ``prompts/verifiers/``, by its name, or a file of your own (``./mine.txt``).
    """

    model: ModelSpec
    prompt: str = Field("compass_verifier", description="compass_verifier, xverify, or a file (./mine.txt)")
    samples: int = Field(1, ge=1, le=64, description="replies; all must agree (one is greedy, more at temperature 1)")
    max_tokens: int = Field(2048, ge=1, description="of a reply; a truncated one is unclear")
    engine: EngineSpec | None = Field(None, description="how the verifier is run; none: as the recipe's model")


class RemoteSpec(Part):
    """Pictures that are fetched from the web: from these hosts, and never from a private address.

    ``*.example.org`` stands for every host below ``example.org``, ``*`` for every host.
    """

    hosts: tuple[
        Annotated[str, Field(pattern=r"^(?:\*|(?:\*\.)?[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?)$")], ...
    ]
    timeout_s: float = Field(30.0, gt=0, le=600, description="for one picture, from the first word to the last byte")


class ImagesSpec(Part):
    """Limits on what a source may hand in. Without ``remote`` no picture is fetched from the web."""

    LATER = frozenset({"remote"})

    max_megapixels: float = Field(50.0, gt=0, description="of a picture; larger ones are rejected")
    max_bytes: int = Field(64 << 20, gt=0, description="of a picture's file")
    max_per_question: int = Field(16, ge=1, description="pictures")
    remote: RemoteSpec | None = Field(None, description="pictures that are fetched from the web; none by default")


class Columns(Part):
    """Which column holds what; a dotted name reaches into nested fields (``extra_info.question``).

    Pictures and options may stand in a column each (``[image_1, image_2]``, ``[A, B, C, D]``).
    """

    question: str | None = "question"
    answer: str | None = "answer"
    images: str | tuple[str, ...] | None = "image"
    choices: str | tuple[str, ...] | None = None
    id: str | None = None
    kind: str | None = None

    def names(self, *fields: str) -> tuple[str, ...]:
        """The columns that these fields, or all, are read from."""
        values = [getattr(self, field) for field in fields or type(self).model_fields]
        return tuple(name for value in values for name in ((value,) if isinstance(value, str) else value or ()))


def _known_rule(name: str, info: ValidationInfo) -> str:
    known = (*RULES, *(info.context or {}).get("rules", ()))
    if name not in known:
        raise ValueError(f"must be one of {', '.join(known)}, or a rule of your own (--rule {name}=module:function)")
    return name


class OptionsSpec(Part):
    """How a template shows the options of a question (``{choices}``): each with its letter, in their order.

    Letters are those that the judge reads: A, B, C, ... or a, b, c, ...
    """

    letters: Literal["A", "a"] = "A"
    layout: str = Field("{letter}. {text}", max_length=200, description="of one option")
    separator: str = Field("\n", max_length=20, description="between two")

    @field_validator("layout")
    @classmethod
    def _has_both(cls, layout: str) -> str:
        if layout.count("{letter}") != 1 or layout.count("{text}") != 1:
            raise ValueError("must hold {letter} and {text} once each")
        return layout

    def shown(self, choices: Sequence[str]) -> str:
        """The options as a prompt has them."""
        before, after = self.layout.split("{text}")  # a text may hold the words of the layout
        letters = [chr(ord(self.letters) + place) for place in range(len(choices))]
        lines = (
            f"{before.replace('{letter}', letter)}{text}{after.replace('{letter}', letter)}"
            for letter, text in zip(letters, choices, strict=True)
        )
        return self.separator.join(lines)


class _Source(Part):
    LATER = frozenset({"options"})

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    template: str = Field("en", description="for questions with a known answer")
    open_template: str = Field("plain", description="for questions without one")
    rule: Annotated[str, AfterValidator(_known_rule)] = "default"
    samples: int | None = Field(None, ge=1, le=1024)
    max_pairs: int | None = Field(None, ge=1)
    max_questions: int | None = Field(None, ge=1)
    repeat_time: float = Field(
        1.0, gt=0, description="below 1: this share of the rows, drawn by seed; above: all, once"
    )
    processor: dict[str, Any] = Field(default_factory=dict, description="processor arguments, such as tiles")
    options: OptionsSpec = OptionsSpec()


class DigitsSource(_Source):
    """Questions over scikit-learn's handwritten digits (``mmpr.sources.digits``)."""

    type: Literal["digits"]
    split: Literal["pretrain", "train", "heldout"]
    questions: int = Field(ge=1)
    kinds: tuple[str, ...] = ()
    seed: int = 0


class EasyVqaSource(_Source):
    """Questions over the pictures of the package easy-vqa (``mmpr.sources.easy_vqa_questions``)."""

    type: Literal["easy_vqa"]
    split: Literal["pretrain", "train", "heldout"]
    questions: int = Field(ge=1)
    kinds: tuple[str, ...] = ()
    seed: int = 0


class MmprSource(_Source):
    """A ``meta.json`` of MMPR, or of its prompts-only release (REFERENCE.md, section 3)."""

    type: Literal["mmpr"]
    path: str
    entries: tuple[str, ...] = Field((), description="names in meta.json; empty: all")


class _Table(_Source):
    """Rows with a column map. ``question`` is asked of every row that has no question of its own.

    ``answer_index`` says that answers are numbers of options, and which number the first one has.
    """

    LATER = frozenset({"answer_index"})

    images_root: str | None = None
    columns: Columns = Columns()
    question: str | None = None
    answer_index: Literal[0, 1] | None = None

    @model_validator(mode="after")
    def _has_options_to_number(self) -> Self:
        if self.answer_index is not None and self.columns.choices is None:
            raise ValueError("answer_index needs the options that it numbers: name their column, columns.choices")
        return self


class TableSource(_Table):
    """Rows in files (``mmpr.sources.open_source`` says which type is read by what).

    ``path`` is a file, a folder or a glob. Image paths in rows start at ``images_root`` (default: the file's folder).
    """

    type: Literal["jsonl", "parquet", "datasets", "imagefolder", "csv", "tsv", "llava", "webdataset"]
    path: str


class HubSource(_Table):
    """A data set of the hub, by its name (``mmpr.sources.hub_rows``).

    Downloaded, or streamed, which keeps nothing and begins anew for every pass. ``revision`` pins a state of it.
    """

    type: Literal["hub"]
    path: str = Field(pattern=r"^[\w.-]+(?:/[\w.-]+)?$")
    config: str | None = None
    split: str = Field(pattern=r"^\w+(?:\.\w+)*$")
    revision: str | None = None
    streaming: bool = False


class PythonSource(_Source):
    """Rows from Python of the user's own, given by this source's name (``mmpr.extension``).

    Paths of pictures in its rows start at ``images_root`` (default: the recipe's folder).
    """

    type: Literal["python"]
    images_root: str = "."


SourceSpec = Annotated[
    DigitsSource | EasyVqaSource | MmprSource | TableSource | HubSource | PythonSource, Field(discriminator="type")
]


class Recipe(Part):
    """Everything a build does. ``folder`` is where relative paths start, ``extensions`` is Python of the user's own."""

    LATER = frozenset({"adjudicate"})

    model_config = ConfigDict(arbitrary_types_allowed=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", description="of the data set")
    seed: int = Field(0, ge=0, description="of all that is drawn")
    model: ModelSpec
    engine: EngineSpec = EngineSpec()
    chat: ChatSpec = ChatSpec()
    sampling: SamplingSpec = SamplingSpec()
    dropout: DropoutSpec = DropoutSpec()
    adjudicate: AdjudicateSpec | None = None
    pairing: PairingSpec = PairingSpec()
    images: ImagesSpec = ImagesSpec()
    unit_questions: int = Field(64, ge=1, description="questions a shard")
    max_question_chars: int = Field(100_000, ge=1, description="longer questions are rejected")
    sources: tuple[SourceSpec, ...] = Field(min_length=1)
    heldout: tuple[SourceSpec, ...] = Field((), description="ingested, never sampled: for evaluation")
    folder: Path = Field(default=Path("."), exclude=True)
    extensions: Extensions = Field(default=NO_EXTENSIONS, exclude=True)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Recipe:
        names = [source.name for source in (*self.sources, *self.heldout)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two sources have the same name: {', '.join(twice)}")
        return self

    def resolve(self, path: str) -> Path:
        """A path of the recipe as the file system knows it."""
        return (self.folder / os.path.expanduser(path)).absolute()

    def source(self, name: str) -> SourceSpec:
        """The source of that name, training or held out."""
        return next(source for source in (*self.sources, *self.heldout) if source.name == name)

    def samples(self, source: str) -> int:
        """How many responses a question of this source gets."""
        return self.source(source).samples or self.sampling.samples

    def as_json(self) -> dict[str, Any]:
        """Plain values, defaults filled in, paths as written, but the text of a chat template."""
        return self.model_dump(mode="json")


def load_recipe(path: Path, overrides: Sequence[str] = (), extensions: Extensions = NO_EXTENSIONS) -> Recipe:
    """Read, override (``sampling.samples=8``) and check a recipe: a file, or one of ``pipelines/`` by its name.

    Raises:
        RecipeError: with every problem found.
    """
    path = find_pipeline(path)
    return parse_recipe(
        read_yaml(path), overrides, folder=path.absolute().parent, where=str(path), extensions=extensions
    )


def parse_recipe(
    tree: object,
    overrides: Sequence[str] = (),
    *,
    folder: Path = Path("."),
    where: str = "recipe",
    extensions: Extensions = NO_EXTENSIONS,
) -> Recipe:
    """Check a recipe that is already a tree of dictionaries and lists.

    Raises:
        RecipeError: with every problem found.
    """
    check_rules(extensions.rules)
    recipe = parse_settings(
        Recipe,
        tree,
        overrides,
        where=where,
        inside={"folder": str(folder)},
        context={"rules": tuple(extensions.rules)},
        check=lambda recipe: _extension_problems(recipe, extensions),
    )
    try:
        chat = with_template_text(recipe.chat, folder)
    except (OSError, ValueError) as error:
        raise RecipeError(where, [f"chat.template: {getattr(error, 'strerror', None) or error}"]) from None
    return recipe.model_copy(update={"extensions": extensions, "chat": chat})


def _extension_problems(recipe: Recipe, extensions: Extensions) -> list[str]:
    """Sources of type python that nobody has given, and extensions that the recipe does not name."""
    specs = (*recipe.sources, *recipe.heldout)
    wanted = {spec.name for spec in specs if isinstance(spec, PythonSource)}
    rules = {spec.rule for spec in specs}
    return [
        *(f"there is no source {name!r} of type python" for name in sorted(extensions.sources.keys() - wanted)),
        *(f"no source has the rule {name!r}" for name in sorted(extensions.rules.keys() - rules)),
    ]
