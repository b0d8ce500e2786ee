"""Looking at a build, and proving it: flipped bytes and planted faults are found, and a clean build shows none."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmpr.check.__main__ import main
from mmpr.check.print_build import random_pairs
from mmpr.check.verify import RowCounts
from mmpr.cli.command import printable
from mmpr.errors import OutputError
from mmpr.schema import Completions, Pair, PreferenceRow, Question, Reject, Rollout
from mmpr.storage.integrity import check_files
from mmpr.storage.manifest import read_manifest, write_manifest
from mmpr.storage.shards import write_json
from mmpr.storage.tables import read_counts, read_rows, write_parquet
from tests.conftest import SmallBuild


@pytest.fixture(scope="module")
def copy(small_build: SmallBuild, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the small build, whole again after every test."""
    return Path(shutil.copytree(small_build.out, tmp_path_factory.mktemp("copy") / "out"))


@pytest.fixture
def scratch(small_build: SmallBuild, tmp_path: Path) -> Path:
    """A copy of the small build to be spoilt."""
    return Path(shutil.copytree(small_build.out, tmp_path / "out"))


def files_of(out: Path) -> list[Path]:
    """Every file that holds a byte of the build; logs and the report are made of it, and can be made again."""
    return sorted(
        path
        for path in out.rglob("*")
        if path.is_file() and path.stat().st_size and path.relative_to(out).parts[0] not in ("logs", "report")
    )


def named_problems(out: Path) -> set[str]:
    """The files that ``check_files`` names; the manifest when it cannot be read at all."""
    try:
        return {problem.where for problem in check_files(out)}
    except OutputError:
        return {"manifest.json"}


def test_ids_are_known_again_without_being_kept_in_memory() -> None:
    rows = RowCounts()
    tracemalloc.start()
    try:
        assert all(rows.is_new("questions", f"{number:032x}") for number in range(20_000))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 200_000  # a set of these ids takes 3 MB
    assert not rows.is_new("questions", f"{7:032x}")
    assert rows.is_new("pairs", f"{7:032x}")
    assert [rows.is_new("questions", id) for id in ("no hex digits", "", "no hex digits")] == [True, True, False]


def test_a_clean_build_is_proved(small_build: SmallBuild, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(small_build.out), "--verify"]) == 0
    told = capsys.readouterr().out
    assert "verified" in told
    assert "problem" not in told


def test_a_flipped_byte_is_found_in_every_file(copy: Path) -> None:
    names = {path.relative_to(copy).as_posix() for path in files_of(copy)}
    assert {"manifest.json", "README.md", "build.json"} < names
    assert {name.split("/")[0] for name in names} > {"index", "questions", "pairs", "rejects"}
    for path in files_of(copy):
        whole = path.read_bytes()
        for place in (0, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            assert path.relative_to(copy).as_posix() in named_problems(copy), (path, place)
        path.write_bytes(whole)
    assert named_problems(copy) == set()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(choice=st.integers(0, 10**6), place=st.integers(0, 10**9), mask=st.integers(1, 255))
def test_whatever_byte_is_changed_it_is_found(copy: Path, choice: int, place: int, mask: int) -> None:
    # A third of the tries go to the manifest, which has no one but itself to vouch for it.
    paths = files_of(copy)
    path = copy / "manifest.json" if choice % 3 == 0 else paths[choice % len(paths)]
    whole = path.read_bytes()
    place %= len(whole)
    try:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ mask]) + whole[place + 1 :])
        assert path.relative_to(copy).as_posix() in named_problems(copy)
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize(
    ("spoil", "where", "what"),
    [
        (lambda out: next((out / "pairs").iterdir()).unlink(), "pairs/part-", "is missing"),
        (lambda out: (out / "README.md").unlink(), "README.md", "is missing"),
        (lambda out: (out / "build.json").unlink(), "build.json", "is missing"),
        (lambda out: (out / "pairs/part-99999-of-00001.parquet").write_bytes(b""), "pairs/part-99999", "no file of"),
        (lambda out: (out / "README.md").write_bytes(b"more" + (out / "README.md").read_bytes()), "README.md", "chang"),
        (lambda out: edit(out, lambda tree: tree.pop("seal")), "manifest.json", "no checksum of its own"),
        (lambda out: edit(out, lambda tree: tree["recipe"].update(seed=8)), "manifest.json", "was changed"),
        (lambda out: edit(out, lambda tree: tree.pop("files")), "manifest.json", "was changed"),
        (lambda out: edit(out, lambda tree: tree["texts"].pop("README.md")), "README.md", "has no checksum"),
        (lambda out: edit(out, lambda tree: tree["files"].update({"../x": {}})), "manifest.json", "outside of the"),
    ],
)
def test_what_is_missing_or_strange(
    scratch: Path, spoil: Callable[[Path], None], where: str, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(scratch)
    assert main([str(scratch), "--verify"]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if where in line and what in line]
    assert lines
    assert any(remedy in lines[0] for remedy in ("restore it from a copy", "delete it"))


def edit(out: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest as an editor would."""
    tree = json.loads((out / "manifest.json").read_text())
    change(tree)
    write_json(out / "manifest.json", tree)


def rewrite(out: Path, folder: str, noun: Any, change: Callable[[Any], Any]) -> None:
    """Change the first row of a folder that ``change`` wants to change (it gives None for the others), then make
    checksums fit again, as somebody would who wants to hide it."""
    for path in sorted((out / folder).glob("*.parquet")):
        rows = list(read_rows(path, noun))
        for place, row in enumerate(rows):
            new = change(row)
            if new is not None:
                rows[place : place + 1] = new if isinstance(new, list) else [new]
                counts = read_counts(path)
                path.unlink()
                write_parquet(path, noun, rows, counts)
                reseal(out)
                return
    pytest.fail(f"no row of {folder} is of the kind that this test needs")


def reseal(out: Path) -> None:
    told = read_manifest(out)
    names = ("mmpr", "recipe", "model_revision", "adjudicate", "prompts", "fingerprints")
    about = {name: told[name] for name in names if name in told}
    counts = {
        stage: {f"{source}/{what}": by for source, named in sources.items() for what, by in named.items()}
        for stage, sources in told["counts"].items()
    }
    write_manifest(out, about, counts)
    assert named_problems(out) == set()


def swapped(row: PreferenceRow) -> PreferenceRow | None:
    """Chosen and rejected the other way round."""
    first, *rest = row.pairs
    turned = replace(first, chosen=first.rejected, rejected=first.chosen)
    return replace(row, pairs=(turned, *rest))


def first_response(row: PreferenceRow, **changes: Any) -> PreferenceRow:
    first, *rest = row.responses
    return replace(row, responses=(replace(first, **changes), *rest))


def first_pair(row: PreferenceRow, **changes: Any) -> PreferenceRow:
    first, *rest = row.pairs
    return replace(row, pairs=(replace(first, **changes), *rest))


def closed(change: Callable[[PreferenceRow], Any]) -> Callable[[PreferenceRow], Any]:
    return lambda row: change(row) if row.answer is not None else None


def open_ended(change: Callable[[PreferenceRow], Any]) -> Callable[[PreferenceRow], Any]:
    return lambda row: change(row) if row.answer is None else None


def broken_picture(question: Question) -> Question | None:
    if not question.images:
        return None
    data = question.images[0]
    return replace(question, images=(data[: len(data) // 2], *question.images[1:]))


def other_prefix(row: Completions) -> Completions | None:
    if not row.completions:
        return None
    first, *rest = row.completions
    return replace(row, completions=(replace(first, prefix="Quite another beginning"), *rest))


FAULTS = [
    ("pairs", PreferenceRow, closed(swapped), "not correct"),
    ("pairs", PreferenceRow, open_ended(swapped), "does not continue the chosen one"),
    (
        "pairs",
        PreferenceRow,
        closed(lambda row: first_response(row, text="Final answer: 12345")),
        "not the one that was",
    ),
    ("pairs", PreferenceRow, closed(lambda row: replace(row, answer="12345")), "its answer is not that of questions/"),
    ("pairs", PreferenceRow, closed(lambda row: replace(row, prompt="Why?")), "its prompt is not that of rollouts/"),
    ("pairs", PreferenceRow, lambda row: replace(row, images=()) if row.images else None, "its images is not that"),
    ("pairs", PreferenceRow, closed(lambda row: first_response(row, sample=99)), "was never sampled"),
    ("pairs", PreferenceRow, lambda row: first_pair(row, rejected=99), "does not name two of"),
    ("pairs", PreferenceRow, closed(lambda row: first_response(row, finish_reason="length")), "not the one that was"),
    ("pairs", PreferenceRow, lambda row: [row, row], "stands in pairs/ twice"),
    ("pairs", PreferenceRow, lambda row: replace(row, id="0" * 32), "has no question"),
    ("pairs", PreferenceRow, lambda row: replace(row, pairs=(*row.pairs, row.pairs[0])), "the rows add up to"),
    ("pairs", PreferenceRow, lambda row: replace(row, pairs=()), "has no pair"),
    ("pairs", PreferenceRow, closed(lambda row: first_pair(row, method="dropout")), "is a dropout pair, but"),
    ("pairs", PreferenceRow, open_ended(lambda row: first_pair(row, method="format")), "is a format pair, but"),
    ("completions", Completions, other_prefix, "is not the continuation that was sampled"),
    ("questions", Question, broken_picture, "does not decode"),
    ("questions", Question, lambda row: [row, row], "stands in the build twice"),
    ("questions", Question, lambda row: replace(row, question="<image>" * 9 + "?"), "other marks in its text"),
    ("rollouts", Rollout, lambda row: replace(row, id="0" * 32), "answers no question"),
    ("questions", Question, lambda row: [], "neither here nor in rejects/"),
    ("rollouts", Rollout, lambda row: [], "has no responses, and is not in rejects/"),
    ("rollouts", Rollout, lambda row: [row, row], "stands there twice"),
    ("rollouts", Rollout, lambda row: replace(row, responses=row.responses[:-1]), "7 responses, the recipe asks for 8"),
    ("rollouts", Rollout, lambda row: replace(row, responses=row.responses[::-1]), "other seeds than the recipe's"),
    (
        "rollouts",
        Rollout,
        lambda row: first_response(row, finish_reason="error"),
        "is no answer (finish_reason 'error')",
    ),
    ("rejects", Reject, lambda row: [], "the rows add up to"),
]


@pytest.mark.parametrize(("folder", "noun", "change", "what"), FAULTS)
def test_planted_faults_are_found_though_all_checksums_fit(
    folder: str,
    noun: Any,
    change: Callable[[Any], Any],
    what: str,
    scratch: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rewrite(scratch, folder, noun, change)
    assert main([str(scratch)]) == 0
    capsys.readouterr()
    assert main([str(scratch), "--verify"]) == 1
    told = capsys.readouterr().out
    assert what in told
    assert "; " in told.splitlines()[0]


@pytest.mark.parametrize("side", ["chosen", "rejected"])
def test_a_truncated_response_is_in_no_pair(side: str, scratch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoilt: dict[str, set[int]] = {}

    def truncated(row: Any) -> Any:
        if isinstance(row, PreferenceRow) and not spoilt:
            spoilt[row.id] = {row.responses[getattr(pair, side)].sample for pair in row.pairs}
        if row.id not in spoilt:
            return None
        samples = [getattr(item, "sample", place) for place, item in enumerate(row.responses)]
        cut = ["length" if sample in spoilt[row.id] else "stop" for sample in samples]
        return replace(
            row, responses=tuple(replace(r, finish_reason=how) for r, how in zip(row.responses, cut, strict=True))
        )

    rewrite(scratch, "pairs", PreferenceRow, closed(truncated))
    rewrite(scratch, "rollouts", Rollout, truncated)
    assert main([str(scratch), "--verify"]) == 1
    assert f"its {side} response is truncated" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("prefix", "what"), [("Quite another beginning", "do not share the beginning"), ("", "are the same")]
)
def test_dropout_pairs_share_a_beginning_and_no_more(
    prefix: str, what: str, scratch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The continuation is changed in both places that hold it; ``prefix`` empty: it becomes the chosen text itself."""
    spoilt: dict[str, PreferenceRow] = {}

    def in_pairs(row: PreferenceRow) -> PreferenceRow:
        chosen, rejected = row.responses[row.pairs[0].chosen], row.responses[row.pairs[0].rejected]
        kept = prefix or chosen.text
        other = replace(rejected, text=kept + (" end" if prefix else " "), prefix_chars=len(kept))
        spoilt[row.id] = replace(row, responses=(chosen, other), pairs=(Pair(0, 1, "dropout"),))
        return spoilt[row.id]

    def in_completions(row: Completions) -> Completions | None:
        if row.id not in spoilt:
            return None
        chosen, other = spoilt[row.id].responses
        first = next(item for item in row.completions if item.response == chosen.sample)
        end = replace(first.continuation, text=other.text[other.prefix_chars :], seed=other.seed)
        end = replace(end, finish_reason=other.finish_reason, tokens=other.tokens - first.prefix_tokens)
        kept = replace(first, prefix=other.text[: other.prefix_chars], continuation=end)
        return replace(row, completions=(kept,))

    rewrite(scratch, "pairs", PreferenceRow, open_ended(in_pairs))
    rewrite(scratch, "completions", Completions, in_completions)
    assert main([str(scratch), "--verify"]) == 1
    assert what in capsys.readouterr().out


def test_a_shard_that_cannot_be_read_does_not_stop_the_proof(scratch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, *_ = sorted((scratch / "rollouts").iterdir())
    first.write_bytes(b"PAR1 and no more")
    second.unlink()
    assert main([str(scratch), "--verify"]) == 1
    told = capsys.readouterr().out
    assert told.count("cannot be read as Rollout rows") == 2
    assert "the rows add up to" in told


def test_many_problems_are_counted_not_printed(scratch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(150):
        (scratch / f"pairs/part-{number:05d}-of-99999.parquet").write_bytes(b"")
    assert main([str(scratch)]) == 1
    told = capsys.readouterr().out
    assert told.count("problem    ") == 100
    assert "and 50 more" in told
    assert "150 problems" in told


def test_what_is_shown(small_build: SmallBuild, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(small_build.out), "--pairs", "5"]) == 0
    told = capsys.readouterr().out
    for words in ("recipe small, seed 7", "responses", "list<struct<chosen", "correctness", "integrity  all files"):
        assert words in told
    assert told.count("\nchosen ") == told.count("\nrejected ") == 5
    assert main([str(small_build.out), "--pairs", "5"]) == 0
    assert capsys.readouterr().out == told
    assert main([str(small_build.out), "--pairs", "5", "--seed", "1"]) == 0
    assert capsys.readouterr().out != told


def test_random_pairs_are_drawn_from_all(small_build: SmallBuild) -> None:
    def drawn(count: int, seed: int) -> Iterator[tuple[str, Pair]]:
        for _, row, pair in random_pairs(small_build.out, small_build.manifest, count, seed):
            yield row.id, pair

    everything = list(drawn(10**6, 0))
    in_files = [
        (row.id, pair)
        for path in sorted((small_build.out / "pairs").iterdir())
        for row in read_rows(path, PreferenceRow)
        for pair in row.pairs
    ]
    assert everything == in_files
    assert len(set(drawn(20, 3))) == 20
    assert {id for seed in range(20) for id, _ in drawn(20, seed)} > {id for id, _ in drawn(20, 0)}


HOSTILE = "a\x1b[31mred\x1b]0;title\x07\x9b2J\r\b\u202egnp\u2028\x00 中文　🙂\tend\ud800"


def test_model_output_never_reaches_the_terminal_raw(scratch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def hostile(row: PreferenceRow) -> PreferenceRow:
        words = HOSTILE.replace("\x00", "").replace("\ud800", "")
        text = f"[bold]{words}[/bold][/nothing]"
        return replace(row, responses=tuple(replace(item, text=text) for item in row.responses), question=text)

    for path in sorted((scratch / "pairs").iterdir()):
        rows = [hostile(row) for row in read_rows(path, PreferenceRow)]
        counts = read_counts(path)
        path.unlink()
        write_parquet(path, PreferenceRow, rows, counts)
    assert main([str(scratch), "--pairs", "2"]) == 1
    told = capsys.readouterr().out
    assert "[bold]a\\x1b[31mred\\x1b]0;title\\x07\\x9b2J" in told
    assert "中文 🙂 end[/bold]" in told
    assert all(char.isprintable() or char == "\n" for char in told)


@given(st.text())
def test_printable_text_holds_nothing_else(text: str) -> None:
    shown = printable(text)
    assert all(char.isprintable() or char == "\n" for char in shown)
    shown.encode()
    if text.isprintable():
        assert shown == text


@pytest.mark.parametrize("options", [[], ["--verify"]])
def test_no_build(tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), *options]) == 1
    assert "run the build to its end" in capsys.readouterr().err


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["recipe", "counts", "files", "texts", "model_revision"]),
    value=st.none() | st.integers() | st.text(max_size=3) | st.lists(st.none(), max_size=2) | st.just({"a": {"b": []}}),
)
def test_a_manifest_of_any_shape_ends_with_a_message(copy: Path, name: str, value: Any) -> None:
    whole = (copy / "manifest.json").read_bytes()
    try:
        edit(copy, lambda tree: tree.update({name: value}))
        assert main([str(copy)]) == 1
        assert main([str(copy), "--verify"]) == 1
    finally:
        (copy / "manifest.json").write_bytes(whole)


@pytest.mark.parametrize(("prompts", "shown"), [("2", 2), ("0", 0)])
def test_prompts_that_nobody_compared_are_no_success(
    prompts: str, shown: int, small_build: SmallBuild, capsys: pytest.CaptureFixture[str]
) -> None:
    """The replay engine has no tokenizer, so nothing can be compared; neither can no prompt at all."""
    model = Path(__file__).resolve().parents[1] / "data" / "demo_model"
    assert main([str(small_build.out), "--model", str(model), "--prompts", prompts]) == 1
    told = capsys.readouterr().out
    assert told.count("not compared: the build was sampled with another tokenizer") == shown
    assert f"prompts    0 of {shown} are" in told
