"""The examples run as they stand, with the real engine and model: as scripts, and under Jupyter's kernel."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from jupyter_client.manager import start_new_kernel

pytestmark = pytest.mark.vllm

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of its own for what the tour builds."""
    return tmp_path_factory.mktemp("examples")


@pytest.fixture(scope="module")
def told(workplace: Path) -> str:
    """What the tour prints as a script."""
    script = [sys.executable, str(EXAMPLES / "tour.py")]
    done = subprocess.run(script, capture_output=True, text=True, timeout=280, cwd=workplace, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def lines_of(text: str) -> list[str]:
    """The lines that the tour itself prints, after the build's own."""
    return text[text.index("<image>") :].splitlines()


def test_the_tour_runs_as_a_script(told: str, workplace: Path) -> None:
    lines = lines_of(told)
    assert lines[-4:-1] == ["5 correct", "['correct', 'incorrect', 'unparseable']", "[1.0]"]
    pairs = int(re.fullmatch(r"(\d+) pairs for TRL", lines[-1])[1])  # type: ignore[index]
    manifest = json.loads((workplace / "builds" / "tour" / "manifest.json").read_text())
    assert pairs == sum(counts.get("pairs/correctness", 0) for counts in manifest["counts"]["pair"].values()) > 0


def test_the_tour_is_a_dozen_lines() -> None:
    code = (EXAMPLES / "tour.py").read_text().split('"""')[2]
    assert len([line for line in code.splitlines() if line.strip()]) <= 12


def test_the_tour_runs_under_jupyters_kernel(told: str, workplace: Path) -> None:
    """On the build that is there; what it prints comes to the notebook, and the kernel lives on."""
    manager, client = start_new_kernel(cwd=str(workplace), startup_timeout=60)
    try:
        outputs: list[dict[str, object]] = []
        for code in ((EXAMPLES / "tour.py").read_text(), _BUILD_REPLAYED, "print('still here')"):
            reply = client.execute_interactive(code, timeout=200, output_hook=lambda m: outputs.append(m["content"]))
            assert reply["content"]["status"] == "ok", reply["content"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    streams = "".join(str(content["text"]) for content in outputs if "text" in content)
    assert lines_of(streams)[: len(lines_of(told))] == lines_of(told)
    assert streams.rstrip().endswith("2 questions\nstill here")
    assert "dataset   builds/replayed" in streams


# From the graph of stages on Ray to the report, inside the kernel; the engine is the fake that answers from a hash.
_BUILD_REPLAYED = """
two = "sources=[{name: digits, type: digits, split: train, questions: 2}]"
replayed = mmpr.build_dataset("quickstart", "builds/replayed", overrides=["engine.type=replay", two, "heldout=[]"])
print(len(list(replayed.rollouts())), "questions")
"""


@pytest.fixture(scope="module")
def dots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build of the example with a rule and a source of one's own."""
    out = tmp_path_factory.mktemp("dots") / "out"
    script = [sys.executable, str(EXAMPLES / "own_rule_and_source.py"), str(out)]
    done = subprocess.run(script, capture_output=True, text=True, timeout=280, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^64 responses, \d+ right or off by one$", done.stdout, re.M)
    return out


def build(out: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The same build by the command line, in the folder of the examples."""
    command = [sys.executable, "-m", "mmpr", "build", "dots.yaml", "--out", str(out), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=EXAMPLES, check=False)


SOURCE = ("--source", "dots=own_rule_and_source:Dots")
RULE = ("--rule", "off_by_one=own_rule_and_source:off_by_one")


def test_a_build_with_a_rule_and_a_source_of_ones_own(dots: Path) -> None:
    manifest = json.loads((dots / "manifest.json").read_text())
    assert {kind: list(named) for kind, named in manifest["extensions"].items()} == {
        "rules": ["off_by_one"],
        "sources": ["dots"],
    }


def test_the_command_line_means_the_same_build(dots: Path) -> None:
    before = (dots / "manifest.json").stat().st_mtime_ns
    done = build(dots, *SOURCE, *RULE)
    assert done.returncode == 0, done.stderr
    assert "note: code of your own runs: off_by_one of own_rule_and_source" in done.stderr
    assert (dots / "manifest.json").stat().st_mtime_ns == before  # it was finished


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (SOURCE, "a rule of your own (--rule off_by_one=module:function)"),
        (RULE, "source 'dots': is of type python: give its rows (--source dots=module:function"),
        ((*SOURCE, "--rule", "off_by_one=operator:eq"), "what it is made of cannot be read"),
    ],
)
def test_it_does_not_go_on_without_them(dots: Path, words: tuple[str, ...], problem: str) -> None:
    done = build(dots, *words)
    assert (done.returncode, problem in done.stderr) == (2, True), done.stderr


def test_another_rule_judges_again(dots: Path) -> None:
    text = (EXAMPLES / "own_rule_and_source.py").read_text()
    (dots.parent / "other_rule.py").write_text(text.replace("<= 1", "<= 2"))
    other = ("--rule", "off_by_one=other_rule:off_by_one")
    command = [sys.executable, "-m", "mmpr", "build", str(EXAMPLES / "dots.yaml"), "--out", str(dots), *other]
    command += ["--source", "dots=other_rule:Dots"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=dots.parent, check=False)
    assert "the recipe's settings for 'verify' changed; add --from verify to redo it" in done.stderr
    done = subprocess.run([*command, "--from", "verify"], capture_output=True, text=True, timeout=280, cwd=dots.parent)
    assert done.returncode == 0, done.stderr
    assert "verdicts changed: " in done.stdout


def test_the_proof_asks_for_the_rule(dots: Path) -> None:
    """After the build was judged by another rule, which lies beside it."""

    def check(*rule: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mmpr", "check", str(dots), "--verify", *rule]
        return subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=dots.parent, check=False)

    assert "pairs of the rule 'off_by_one' were not judged again: it is not mmpr's" in check().stdout
    assert check("--rule", "off_by_one=other_rule:off_by_one").returncode == 0
    (dots.parent / "third_rule.py").write_text((dots.parent / "other_rule.py").read_text().replace("<= 2", "<= 3"))
    third = check("--rule", "off_by_one=third_rule:off_by_one")
    assert "pairs were judged by another version of the rule 'off_by_one'" in third.stdout
    assert (check().returncode, third.returncode) == (1, 1)
