"""Python of the user's own: answer rules and sources, known to a build by a name.

They come from Python (``mmpr.load_recipe(..., rules=, sources=)``) or from the command line (``--rule
NAME=module:function``, ``--source NAME=module:thing``), never from a recipe: a recipe only says the name. What an
extension is made of is part of a build's identity, so a build is not gone on with by other code than it was begun with.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmpr.errors import MmprError, RecipeError
from mmpr.schema import RULES, Verdict

RuleFunction = Callable[[str, str, tuple[str, ...]], bool | Verdict | None]
"""``rule(answer, truth, choices)``: whether the extracted answer is right; None where it cannot tell."""


@dataclass(frozen=True, slots=True)
class Extensions:
    """Rules and sources by name. A source is a function that yields rows, or an object with ``rows`` (and ``load``)."""

    rules: Mapping[str, RuleFunction] = field(default_factory=dict)
    sources: Mapping[str, Any] = field(default_factory=dict)

    def fingerprints(self) -> dict[str, dict[str, str]]:
        """What each extension is made of, as 16 hex digits by kind and name; a kind that is not used is left out.

        Raises:
            RecipeError: the code of one cannot be read, or its state has no form that lasts.
        """
        named = {"rules": self.rules, "sources": self.sources}
        return {
            kind: {name: fingerprint_of(things[name]) for name in sorted(things)}
            for kind, things in named.items()
            if things
        }


NO_EXTENSIONS = Extensions()


def check_rules(rules: Mapping[str, RuleFunction]) -> None:
    """See that rules can be told from mmpr's own, and called.

    Raises:
        RecipeError: with every problem.
    """
    problems = [f"rule {name!r}: mmpr has a rule of this name; use another" for name in rules if name in RULES]
    problems += [f"rule {name!r}: {rule!r} is no function" for name, rule in rules.items() if not callable(rule)]
    if problems:
        raise RecipeError("rules", problems)


def judge_by(name: str, rule: RuleFunction, answer: str, truth: str, choices: Sequence[str]) -> Verdict:
    """The verdict of a user's rule; ``error``, which is neither right nor wrong, where it cannot tell or raises."""
    try:
        told = rule(answer, truth, tuple(choices))
    except Exception as error:  # noqa: BLE001 - the user's code raises what it likes; nothing is judged by it then
        return Verdict("error", answer, name, f"the rule raised {type(error).__name__}: {error}"[:500])
    if isinstance(told, Verdict):
        return told
    if told is None:
        return Verdict("error", answer, name, "the rule cannot tell")
    return Verdict("correct" if told else "incorrect", answer, name, "")


def fingerprint_of(thing: Any) -> str:
    """16 hex digits that change when an extension's code or state does.

    Its own attribute ``fingerprint``, when it is text, counts alone. Else: its text, with that of the functions,
    classes and plain values of the same module that it uses; the values that a function has closed over or a
    ``functools.partial`` holds; and the attributes of an object. Values must be plain: text, bytes, numbers, lists,
    sets, mappings, paths, compiled patterns. Functions, classes and modules from elsewhere do not count.

    Raises:
        RecipeError: there is no code to read, or a value is not plain.
    """
    own = getattr(thing, "fingerprint", None)
    try:
        parts = [own] if isinstance(own, str) else list(_parts(thing))
        text = json.dumps(parts, sort_keys=True, default=_plain)
    except (OSError, TypeError, ValueError) as error:
        problem = f"what it is made of cannot be read ({error}); give it an attribute `fingerprint`, a text of yours"
        raise RecipeError(_name_of(thing), [problem]) from None
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _parts(thing: Any) -> Iterable[Any]:
    """Code and state of an extension."""
    if isinstance(thing, functools.partial):
        return [*_parts(thing.func), list(thing.args), thing.keywords]
    if inspect.ismethod(thing):
        return [thing.__name__, *_parts(thing.__self__)]
    if inspect.isfunction(thing):
        closed = [cell.cell_contents for cell in thing.__closure__ or ()]
        return [thing.__qualname__, _code(thing), closed]
    if inspect.isclass(thing):
        return [thing.__qualname__, _code(thing)]
    return [*_parts(type(thing)), vars(thing)]


def _code(thing: Any) -> dict[str, Any]:
    """The text of a function or a class, and of all of its module that it uses, by name."""
    module = vars(inspect.getmodule(thing) or inspect)
    found: dict[str, Any] = {}
    left = [(thing.__name__, thing)]
    while left:
        name, used = left.pop()
        if name in found:
            continue
        if inspect.isfunction(used) or inspect.isclass(used):
            if used.__module__ == thing.__module__:
                found[name] = inspect.getsource(used)
                left += [(other, module[other]) for other in _names(used) if other in module]
                left += [(base.__name__, base) for base in getattr(used, "__bases__", ())]
        elif not (name.startswith("__") or inspect.ismodule(used) or callable(used)):
            found[name] = used  # one that is not plain is refused when it is written
    return found


def _names(thing: Any) -> Iterator[str]:
    """Every name that a function looks up, or a method, static method or property of a class."""
    held = vars(thing).values() if inspect.isclass(thing) else [thing]
    functions = [getattr(item, "__func__", None) or getattr(item, "fget", None) or item for item in held]
    codes = [function.__code__ for function in functions if inspect.isfunction(function)]
    while codes:
        code = codes.pop()
        yield from code.co_names
        codes += [constant for constant in code.co_consts if inspect.iscode(constant)]


def _plain(value: object) -> str:
    if isinstance(value, os.PathLike):
        return str(value)
    if isinstance(value, re.Pattern):
        return f"{value.pattern!r} {value.flags}"  # its repr is cut short
    if isinstance(value, bytes):
        return repr(value)
    if isinstance(value, set | frozenset):
        return repr(sorted(value, key=repr))
    raise TypeError(f"it holds a {type(value).__name__}")


def _name_of(thing: Any) -> str:
    return str(getattr(thing, "__qualname__", type(thing).__qualname__))


def from_options(rules: Sequence[str], sources: Sequence[str] = ()) -> Extensions:
    """The extensions that options name. Their modules are imported (from the working directory too), and it is said.

    Raises:
        MmprError: an option is not of the form, or there is no such module or thing.
    """
    found = Extensions(dict(map(_load, rules)), dict(map(_load, sources)))
    for thing in (*found.rules.values(), *found.sources.values()):
        code = thing if inspect.isfunction(thing) else type(thing)
        print(f"note: code of your own runs: {_name_of(thing)} of {code.__module__}", file=sys.stderr, flush=True)
    return found


def _load(option: str) -> tuple[str, Any]:
    name, equals, place = option.partition("=")
    module, colon, attribute = place.partition(":")
    if not (name and equals and module and colon and attribute):
        raise MmprError(f"{option!r}: write it as NAME=module:function")
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # as for `python -m`; the installed command has its own folder there only
    try:
        thing = importlib.import_module(module)
        for part in attribute.split("."):
            thing = getattr(thing, part)
    except Exception as error:  # noqa: BLE001 - the user's module raises what it likes while it is imported
        raise MmprError(f"{option!r}: {type(error).__name__}: {error}") from None
    return name, thing() if inspect.isclass(thing) else thing
