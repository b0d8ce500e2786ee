"""How commands end, and what of other people's text reaches a terminal."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mmpr.cli.command import NEEDED, end_politely, printable, run_command
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
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


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


def test_a_closed_terminal_ends_a_command_unless_it_is_to_be_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    assert run_command(lambda: signal.raise_signal(signal.SIGHUP), "stopped here") == 130
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    assert run_command(lambda: signal.raise_signal(signal.SIGHUP)) == 0


PRINTS = (
    "import sys\nfrom mmpr.cli.command import run_command\n"
    "def work():\n    for line in range(20_000):\n        print('line', line)\n    print('done', file=sys.stderr)\n"
    "sys.exit(run_command(work))"
)


@pytest.mark.parametrize(
    ("redirection", "lost"),
    [("> /dev/full", True), (">&-", False), ("<&- >&-", False), ("2>&1 | head -1 | grep line", False)],
)
def test_output_that_cannot_be_printed_ends_nothing(redirection: str, lost: bool) -> None:
    command = f'set -o pipefail; {sys.executable} -c "$CODE" {redirection}'
    environment = {**os.environ, "CODE": PRINTS}
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert ("warning: output is lost: No space left on device" in done.stderr) == lost
    assert done.stderr.endswith("done\n") or "head" in redirection


def test_a_full_disk_behind_both_streams_ends_nothing() -> None:
    command = f'{sys.executable} -c "$CODE" > /dev/full 2> /dev/full'
    assert subprocess.run(["bash", "-c", command], env={**os.environ, "CODE": PRINTS}, timeout=60).returncode == 0


def test_a_deleted_working_directory_is_told(tmp_path: Path) -> None:
    command = f'cd {tmp_path} && rmdir {tmp_path} && {sys.executable} -c "$CODE"'
    environment = {**os.environ, "CODE": PRINTS, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (
        1,
        "error: the working directory: No such file or directory; change to one that is there\n",
    )


@pytest.mark.parametrize("name", NEEDED)
def test_a_python_that_lacks_a_module_is_told(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(lambda: 0) == 0
    monkeypatch.setitem(sys.modules, name, None)
    assert run_command(lambda: pytest.fail("it began to work")) == 1
    assert capsys.readouterr().err == f"error: this Python was built without {name}; use another one\n"


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_printable(text: str) -> None:
    shown = printable(f"a{text}b")
    assert shown.isprintable()
    assert (shown[0], shown[-1]) == ("a", "b")
    shown.encode()


def test_ordinary_text_stays() -> None:
    assert printable("图中 é x² 🙂\nnext") == "图中 é x² 🙂\nnext"
    assert printable("tab\tand\u00a0space") == "tab and space"
