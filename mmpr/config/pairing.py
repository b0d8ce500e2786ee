"""Which pairs of a build are kept."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from mmpr.config.settings import Part

Share = Annotated[float, Field(ge=0, le=1)]


class KeepSpec(Part):
    """The share of the questions of a source, or of a kind, that make pairs; drawn by id. Others: all."""

    source: dict[str, Share] = Field(default_factory=dict, description="by the name of the source")
    kind: dict[str, Share] = Field(default_factory=dict, description="by the kind of the question")


class PairingSpec(Part):
    """Which pairs are kept of a question with truth (paper, section 3.1: at most 15).

    What is left out is counted by its reason. ``length_balance``, ``max_pairs_a_response`` and ``keep`` hold for
    dropout pairs too. ``--from pair`` makes the pairs of a build again, by other settings.
    """

    LATER = frozenset({"pass_rate", "length_balance", "rejected", "chosen", "max_pairs_a_response", "keep"})

    max_pairs: int = Field(15, ge=1, description="of a question")
    format_pairs: bool = Field(True, description="pair right answers with responses that name no answer")
    pass_rate: tuple[Share, Share] | None = Field(
        None, description="from, to: questions that are answered rightly less or more often make no pair"
    )
    length_balance: float | None = Field(
        None,
        ge=1,
        description="the longer side of a pair has at most so many times the tokens of the shorter one, and of a "
        "unit's pairs neither side is longer on average",
    )
    rejected: Literal["spread", "commonest"] = Field(
        "spread", description="evenly over the wrong answers; or the commonest wrong answer first"
    )
    chosen: Literal["spread", "most_different"] = Field(
        "spread",
        description="evenly; or, where two pairs are as good, the one whose sides share fewer words",
    )
    max_pairs_a_response: int | None = Field(None, ge=1, description="pairs that one response may be in, on each side")
    keep: KeepSpec = KeepSpec()

    @field_validator("pass_rate")
    @classmethod
    def _is_a_window(cls, window: tuple[float, float] | None) -> tuple[float, float] | None:
        if window is not None and window[0] > window[1]:
            raise ValueError("the first rate must not be above the second")
        return window

    @property
    def chooses(self) -> bool:
        """Whether pairs are left out for another reason than doubt and ``max_pairs``."""
        return not self.LATER.isdisjoint(self.model_dump())  # which has only those that are set
