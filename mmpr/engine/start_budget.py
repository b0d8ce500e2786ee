"""A time limit on what a model brings to make prompts of questions, before the first question is asked."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping

from mmpr.errors import EngineStartError

LIMIT_S = 30.0
PROBE = "How many <red> digits are there?  " * 60 + "7" * 500 + " " * 500 + "(" * 500
"""Text as questions hold it, and runs of one character, over which careless patterns go again and again."""


def see_that_it_ends(model: str, steps: Mapping[str, Callable[[str], object]], limit_s: float = LIMIT_S) -> None:
    """Try each step on ``PROBE``; what it raises is a matter of the question and is told when one is asked.

    A chat template is a program, and a tokenizer's patterns may take exponential time. Both come with the model, and
    nothing would stop them while they render a prompt.

    Raises:
        EngineStartError: a step did not end in time; the text names the model and the step.
    """
    for name, step in steps.items():
        # A daemon: the process can end although the step does not.
        thread = threading.Thread(target=_try, args=(step,), daemon=True, name=f"try the {name}")
        thread.start()
        thread.join(limit_s)
        if thread.is_alive():
            raise EngineStartError(
                f"the {name} of {model} took more than {limit_s:g} s for a prompt of {len(PROBE):,} characters; "
                "mend the model's files or use another model"
            )


def _try(step: Callable[[str], object]) -> None:
    with contextlib.suppress(Exception):  # it may refuse this text and take others
        step(PROBE)
