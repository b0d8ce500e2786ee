"""How answers are drawn: settings of ours, and those that go to vLLM by its own names."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, field_validator

from mmpr.config.settings import Part

_FIRST = ("samples", "temperature", "top_p", "top_k", "max_tokens")
"""The settings of sampling that the first version had."""

PASSED_ON = (
    *("frequency_penalty", "thinking_token_budget", "include_stop_str_in_output", "ignore_eos", "min_tokens"),
    *("spaces_between_special_tokens", "structured_outputs", "logit_bias", "allowed_token_ids", "extra_args"),
    "watermarking",
)
"""Arguments of vLLM's ``SamplingParams.from_optional`` that ``args`` may have (vLLM 0.32)."""

OURS = {
    "n": "sampling.samples",
    "seed": "seed",
    **dict.fromkeys(("output_kind", "stream_interval", "detokenize", "skip_clone"), ""),
    **dict.fromkeys(("prompt_logprobs", "prompt_logprob_token_ids", "prompt_logprob_start"), ""),
    **dict.fromkeys(("logprob_token_ids", "routed_experts_prompt_start", "trace_decode_token_ids"), ""),
    "repetition_detection": "",
}
"""Those that it may not have: how each is set instead, empty for what has no place in a build.

Other log-probabilities than those of ``sampling.logprobs`` would be thrown away, and an answer that vLLM cuts off
because it repeats itself is none.
"""


class AdaptiveSpec(Part):
    """Responses in rounds: a question is asked no more when its pairs are there or unlikely.

    ``sampling.samples`` are drawn at most. It stops when there are ``distinct`` different responses on each side and as
    many pairs as are kept of a question, or when the chance that any pair comes is below ``chance``.
    """

    first: int = Field(8, ge=1, description="responses in the first round")
    step: int = Field(8, ge=1, description="responses in each further round")
    distinct: int = Field(3, ge=1, description="different right and different wrong responses that are wanted")
    chance: float = Field(0.2, ge=0, le=1, description="below it a question is given up; 0: none is")
    prior: float = Field(
        0.25, gt=0, le=10, description="pass rates have a Beta(prior, prior) distribution; small: near 0 or 1"
    )


class SamplingSpec(Part):
    """How answers are drawn (paper, section 3.1: 32 samples at temperature 1.0).

    ``args`` go to vLLM's ``SamplingParams`` as they are. Settings mean what vLLM's documentation says of them.
    A setting that is added to these leaves the identity of earlier builds as it is (``identity``).
    """

    samples: int = Field(32, ge=1, le=1024, description="responses to a question")
    temperature: float = Field(1.0, ge=0)
    top_p: float = Field(1.0, gt=0, le=1, description="share of probability that tokens are drawn from")
    top_k: int = Field(0, ge=0, description="0: all tokens")
    min_p: float = Field(0.0, ge=0, le=1, description="share of the likeliest token's probability; 0: all tokens")
    presence_penalty: float = Field(0.0, ge=-2, le=2)
    repetition_penalty: float = Field(1.0, gt=0, le=10)
    max_tokens: int = Field(4096, ge=1, description="of a response; a longer one is truncated and in no pair")
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = Field((), description="texts that end an answer")
    stop_token_ids: tuple[Annotated[int, Field(ge=0)], ...] = ()
    bad_words: tuple[Annotated[str, Field(min_length=1)], ...] = Field((), description="never written")
    skip_special_tokens: bool = Field(False, description="leave out what the tokenizer calls special: boxes, marks")
    logprobs: bool = Field(False, description="keep the log-probability of each token that is drawn")
    adaptive: AdaptiveSpec | None = Field(None, description="responses in rounds, no more than a question needs")
    args: dict[str, Any] = Field(
        default_factory=dict, description="others of vLLM's SamplingParams, such as min_tokens"
    )

    @field_validator("args")
    @classmethod
    def _are_known(cls, args: dict[str, Any]) -> dict[str, Any]:
        problems = [problem for name in args if (problem := _problem(name, cls.model_fields))]
        if problems:
            raise ValueError("; ".join(problems))
        return args

    def identity(self) -> dict[str, Any]:
        """What answers depend on; settings that came later are in it only where they are set."""
        tree = self.model_dump(mode="json")
        return {name: tree[name] for name in _FIRST} | later_settings(tree)


def later_settings(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Of the settings of sampling, as JSON, those that the first version did not have and that are not the default."""
    defaults = SamplingSpec().model_dump(mode="json")
    later = {name: tree.get(name, default) for name, default in defaults.items() if name not in _FIRST}
    return {name: value for name, value in later.items() if value != defaults[name]}


def _problem(name: str, own: Mapping[str, object]) -> str:
    """What is wrong with the name of an argument, as a sentence; empty when nothing is."""
    if name in PASSED_ON:
        return ""
    if name in own and name != "args":
        return f"write {name!r} as sampling.{name}"
    if name in OURS:
        return f"write {name!r} as {OURS[name]}" if OURS[name] else f"{name!r} has no place in a build"
    near = difflib.get_close_matches(name, [*PASSED_ON, *own], n=1)
    return f"vLLM's SamplingParams have no {name!r}" + (f"; do you mean {near[0]!r}?" if near else "")
