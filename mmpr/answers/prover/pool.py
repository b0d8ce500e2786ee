"""Ask sympy, in processes of its own, whether expressions are equal; what was shown is remembered.

Starting a process takes as long as importing sympy, so ``match`` starts one in the background when it sees the first
formula.
"""

from __future__ import annotations

import json
from collections import OrderedDict

from mmpr.answers.formula.tree import Tree
from mmpr.answers.processes import DiedError, LateError, Processes

LIMIT_S = 0.9
MAX_WORKERS = 2
_LONGEST_S = 4 * LIMIT_S  # of one proof on a busy machine, whatever limit is left of a match's budget
_CACHE_SIZE = 8192


class SymbolicTimeoutError(Exception):
    """A proof took longer than it may; its process was killed."""


class SymbolicCrashError(Exception):
    """The process died or ran out of memory over this proof."""


processes = Processes("mmpr.answers.prover.worker", MAX_WORKERS)
_known: OrderedDict[bytes, bool] = OrderedDict()


def prove_equal(left: Tree, right: Tree, limit_s: float = LIMIT_S) -> bool:
    """Whether two expressions are shown to be equal; raises SymbolicTimeoutError or SymbolicCrashError."""
    request = json.dumps([left, right], separators=(",", ":")).encode()
    known = _known.get(request)
    if known is not None:
        return known
    try:
        answer = _ask(request, limit_s)
    except LateError:
        raise SymbolicTimeoutError(f"no proof within {LIMIT_S} s") from None
    except DiedError as error:
        raise SymbolicCrashError(f"the symbolic worker: {error}") from error
    _known[request] = answer
    if len(_known) > _CACHE_SIZE:
        _known.popitem(last=False)
    return answer


def _ask(request: bytes, limit_s: float) -> bool:
    for attempt in (1, 2):
        try:
            with processes.lend() as process:
                process.send(request)
                answer = process.receive(limit_s, _LONGEST_S)
                if answer not in ("yes", "no"):
                    raise MemoryError
                return answer == "yes"
        except MemoryError:
            raise DiedError("out of memory") from None
        except DiedError:
            if attempt == 2:
                raise  # else it may have died between two proofs, not over this one
    raise AssertionError


def forget() -> None:
    """End the processes and forget what they have shown."""
    processes.close()
    _known.clear()
