"""What is compared: one training recipe, and what each arm changes of it."""

from __future__ import annotations

from dataclasses import dataclass

BASE = "base"


@dataclass(frozen=True, slots=True)
class Arm:
    """A way of training.

    ``settings`` replace the recipe's. ``after`` names the arm that it goes on from: it starts from the model of that
    arm with the first seed, and its data are built by that model, with ``building`` in place of the recipe's settings.
    """

    name: str
    title: str
    settings: tuple[str, ...] = ()
    after: str = ""
    building: tuple[str, ...] = ()


def _weights(preference: float, quality: float, generation: float) -> tuple[str, ...]:
    """The three losses' weights."""
    return (
        f"objective.preference={preference}",
        f"objective.quality={quality}",
        f"objective.generation={generation}",
    )


ARMS = (
    Arm("mpo", "MPO"),
    Arm("sft", "SFT on the chosen responses", _weights(0, 0, 1)),
    Arm("dpo", "DPO", _weights(1, 0, 0)),
    Arm("dpo+", "DPO+ (DPO and SFT)", _weights(1, 0, 1)),
    Arm("bco+", "BCO+ (BCO and SFT)", _weights(0, 1, 1)),
    Arm("mpo-no-shift", "MPO, δ off", ("objective.shift=false",)),
    # The open-ended sources have dropout pairs and no others.
    Arm(
        "mpo-correctness",
        "MPO, correctness pairs only",
        ("data.source_weights.digits-open=0", "data.source_weights.easy-vqa-open=0"),
    ),
    # Half of the first round's questions: no more pairs are seen than in the first round.
    Arm(
        "mpo-2",
        "MPO, second round",
        after="mpo",
        building=tuple(f"sources.{place}.questions={most}" for place, most in enumerate((600, 200, 80, 40))),
    ),
)
"""In the order in which they are trained; an arm that another one goes on from stands before it."""
