"""How commands end, and what of other people's text reaches a terminal."""

import signal

import pytest

from mmpr.command import end_politely, printable, run_command
from mmpr.errors import OutputError, RecipeError

HOSTILE = [
    "\x1b[2J",
    "\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\",
    "\x9b31m",
    "\x07\x08\x7f\r",
    "\u202eevil\u202c",
    "\u2066isolate",
    "\u200bzero",
    "\U000e0041tag",
    "\ud800",
    "\0",
]


@pytest.fixture(autouse=True)
def handlers():
    """The handlers of signals are put back."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGINT, before[0])
    signal.signal(signal.SIGTERM, before[1])


def test_a_command_ends_as_its_work_does(capsys: pytest.CaptureFixture[str]) -> None:
    def fails(error: BaseException) -> int:
        raise error

    assert run_command(lambda: None) == 0
    assert run_command(lambda: 1) == 1
    assert run_command(lambda: fails(OutputError("full\x1b[2J"))) == 1
    assert run_command(lambda: fails(RecipeError("r.yaml", ["one"]))) == 2
    assert run_command(lambda: signal.raise_signal(signal.SIGTERM), "stopped here") == 130
    with pytest.raises(KeyError):
        run_command(lambda: fails(KeyError("a defect is not hidden")))
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "error: full\\x1b[2J\nerror: r.yaml: 1 problem\n  - one\nstopped here\n"


def test_sigterm_ends_a_command_in_the_background_too() -> None:
    """A shell that is not interactive starts what it puts into the background with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_politely()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_printable(text: str) -> None:
    shown = printable(f"a{text}b")
    assert shown.isprintable()
    assert (shown[0], shown[-1]) == ("a", "b")
    shown.encode()


def test_ordinary_text_stays() -> None:
    assert printable("图中 é x² 🙂\nnext") == "图中 é x² 🙂\nnext"
    assert printable("tab\tand\u00a0space") == "tab and space"
