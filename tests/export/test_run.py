"""Every format holds the same pairs as what was exported, byte for byte, and resumes after a kill at any moment."""

from __future__ import annotations

import base64
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from mmpr.errors import OutputError, SourceError
from mmpr.export.__main__ import main
from mmpr.export.formats import Format, Images
from mmpr.export.run import export
from mmpr.schema import PreferenceRow, Reject
from mmpr.sources.mmpr_pairs import read_pairs
from mmpr.storage.tables import read_rows
from mmpr.train.data.preference_data import read_train_rows
from tests.conftest import SmallBuild
from tests.export.builds import CASES, FlatPair, pairs_of


def lines_of(*paths: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(paths) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [row for path in sorted(folder.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def text_of(messages: list[dict[str, Any]]) -> str:
    """The prompt that messages stand for: a mark and a line break for each picture part that a text follows."""
    [turn] = messages
    return "".join("<image>" if part["type"] == "image" else part["text"] for part in turn["content"])


def read_trl_bytes(to: Path) -> list[FlatPair]:
    return [
        (
            row["id"],
            tuple(image["bytes"] for image in row["images"]),
            text_of(row["prompt"]),
            text_of(row["chosen"]),
            text_of(row["rejected"]),
        )
        for path in sorted((to / "pairs").iterdir())
        for row in pq.read_table(path).to_pylist()
    ]


def read_trl_files(to: Path) -> list[FlatPair]:
    return [
        (
            row["id"],
            tuple((to / name).read_bytes() for name in row["images_file_names"]),
            text_of(row["prompt"]),
            text_of(row["chosen"]),
            text_of(row["rejected"]),
        )
        for row in pq.read_table(to / "metadata.parquet").to_pylist()
    ]


def read_mmpr(to: Path) -> list[FlatPair]:
    found = []
    for source, entry in json.loads((to / "meta.json").read_text()).items():
        lines = lines_of(to / entry["annotation"])
        assert len(lines) == entry["length"]
        assert {line["source"] for line in lines} == {source}
        for row in lines:
            image = row.get("image", [])
            names = [image] if isinstance(image, str) else image
            assert isinstance(image, str) == (len(names) == 1)
            pictures = tuple((to / entry["root"] / name).read_bytes() for name in names)
            found.append((row["id"], pictures, row["question"], row["chosen"], row["rejected"]))
    return found


def read_llama_factory(to: Path) -> list[FlatPair]:
    [(name, about)] = json.loads((to / "dataset_info.json").read_text()).items()
    assert about["ranking"] is True
    assert about["formatting"] == "sharegpt"
    assert name.replace("_", "").replace("-", "").isalnum()
    found = []
    for row in rows_of(to / about["file_name"]):
        [turn] = row[about["columns"]["messages"]]
        assert (turn["from"], row["chosen"]["from"], row["rejected"]["from"]) == ("human", "gpt", "gpt")
        pictures = tuple((to / name).read_bytes() for name in row["images"])
        found.append((row["id"], pictures, turn["value"], row["chosen"]["value"], row["rejected"]["value"]))
    return found


def read_ms_swift(to: Path) -> list[FlatPair]:
    found = []
    for row in rows_of(to / "pairs"):
        user, assistant = row["messages"]
        assert (user["role"], assistant["role"]) == ("user", "assistant")
        pictures = tuple(
            base64.b64decode(image.split(",", 1)[1]) if image.startswith("data:image/") else (to / image).read_bytes()
            for image in row["images"]
        )
        found.append((row["id"], pictures, user["content"], assistant["content"], row["rejected_response"]))
    return found


READERS: dict[Format, Callable[[Path], list[FlatPair]]] = {
    "mmpr": read_mmpr,
    "llama-factory": read_llama_factory,
    "ms-swift": read_ms_swift,
}


def read_back(to: Path, format: Format, images: Images) -> list[FlatPair]:
    if format == "trl":
        return read_trl_bytes(to) if images == "bytes" else read_trl_files(to)
    return READERS[format](to)


def plain(pairs: list[FlatPair], format: Format) -> list[FlatPair]:
    """Pairs to compare; messages do not keep the line break after a picture, chat templates put their own."""
    if format != "trl":
        return sorted(pairs)
    return sorted(
        (id, images, prompt.replace("<image>\n", "<image>"), chosen, rejected)
        for id, images, prompt, chosen, rejected in pairs
    )


@pytest.mark.parametrize(("format", "images"), CASES)
def test_every_format_holds_the_same_pairs(
    format: Format, images: Images, small_build: SmallBuild, tmp_path: Path
) -> None:
    expected = pairs_of(small_build.out)
    assert {len(pair[1]) for pair in expected} == {0, 1, 2}
    done = export(small_build.out, format, tmp_path / "to", images)
    found = read_back(tmp_path / "to", format, images)
    assert plain(found, format) == plain(expected, format)
    assert done["counts"]["pairs"] == len(expected)
    assert done["counts"]["rejects"] == {}
    assert json.loads((tmp_path / "to/export.json").read_text()) == done
    assert "DIR" in (tmp_path / "to/README.md").read_text() or format == "mmpr"
    assert all(path.stat().st_size for path in (tmp_path / "to").rglob("*.jsonl"))
    assert all(pq.read_metadata(path).num_rows for path in (tmp_path / "to").rglob("*.parquet"))
    left = {path.name for path in (tmp_path / "to").rglob("*") if path.name.endswith(".tmp") or path.name == "parts"}
    assert not left


def test_a_system_prompt_goes_along_or_is_told_of(
    small_build: SmallBuild, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build = Path(shutil.copytree(small_build.out, tmp_path / "build"))
    manifest = json.loads((build / "manifest.json").read_text())
    manifest["recipe"]["chat"] = {"system": "Be brief."}
    (build / "manifest.json").write_text(json.dumps(manifest))
    for format, images in CASES:
        to = tmp_path / f"{format}-{images}"
        assert main([str(build), "--format", format, "--to", str(to), "--images", images]) == 0
        told = capsys.readouterr().err
        rows = read_train_rows(to)
        said = {rows[place].prompt[0]["content"][0].get("text") for place in range(len(rows))}
        if format == "mmpr":
            assert "left out   the build's system prompt" in told
            assert "has no place" in (to / "README.md").read_text()
        else:
            assert said == {"Be brief."}
            assert all(
                [turn["role"] for turn in rows[place].prompt] == ["system", "user"] for place in range(len(rows))
            )
    info = json.loads((tmp_path / "llama-factory-files/dataset_info.json").read_text())
    assert info["build"]["columns"]["system"] == "system"


def test_pictures_are_stored_once(small_build: SmallBuild, tmp_path: Path) -> None:
    export(small_build.out, "llama-factory", tmp_path / "to")
    pictures = {image for pair in pairs_of(small_build.out) for image in pair[1]}
    files = [path.read_bytes() for path in (tmp_path / "to/images").rglob("*") if path.is_file()]
    assert sorted(files) == sorted(pictures)


def test_an_export_as_mmpr_is_read_again_with_all_that_is_known(small_build: SmallBuild, tmp_path: Path) -> None:
    export(small_build.out, "mmpr", tmp_path / "to")
    rejects: list[Reject] = []
    found = {
        (row.source, row.prompt, row.answer, row.images): row for row in read_pairs(tmp_path / "to", rejects.append)
    }
    assert rejects == []
    rows = [row for path in (small_build.out / "pairs").iterdir() for row in read_rows(path, PreferenceRow)]
    assert len(found) == len(rows)
    for row in rows:
        again = found[row.source, row.prompt, row.answer, row.images]
        assert set(again.responses) == set(row.responses)
        assert [(again.responses[p.chosen], again.responses[p.rejected], p.method, p.reason) for p in again.pairs] == [
            (row.responses[p.chosen], row.responses[p.rejected], p.method, p.reason) for p in row.pairs
        ]


@pytest.mark.parametrize(("format", "images"), CASES)
def test_a_release_is_exported_too(format: Format, images: Images, small_build: SmallBuild, tmp_path: Path) -> None:
    export(small_build.out, "mmpr", tmp_path / "release")
    meta = tmp_path / "release/meta.json"
    tree = json.loads(meta.read_text())
    for entry in tree.values():
        entry.update(root="/far/away/images", annotation=f"/far/away/{entry['annotation']}", repeat_time=0.25)
    meta.write_text(json.dumps(tree))
    export(meta, format, tmp_path / "to", images)
    found = [pair[1:] for pair in plain(read_back(tmp_path / "to", format, images), format)]
    assert sorted(found) == sorted(pair[1:] for pair in plain(pairs_of(small_build.out), format))
    if format == "mmpr":
        again = json.loads((tmp_path / "to/meta.json").read_text())
        assert {name: entry["repeat_time"] for name, entry in again.items()} == dict.fromkeys(tree, 0.25)


def release_of(folder: Path, rows: list[dict[str, Any] | str], entry: str = "one") -> Path:
    folder.mkdir(parents=True)
    text = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
    (folder / "rows.jsonl").write_text(text)
    (folder / "meta.json").write_text(json.dumps({entry: {"root": ".", "annotation": "rows.jsonl"}}))
    return folder


@pytest.mark.parametrize("format", ["trl", "mmpr", "llama-factory", "ms-swift"])
def test_what_the_format_cannot_hold_is_left_out_with_a_reason(format: Format, tmp_path: Path) -> None:
    rows: list[dict[str, Any] | str] = [
        {"question": "Good?", "chosen": "yes", "rejected": "no", "answer_gt": "yes"},
        {"question": "Marked?", "chosen": "see <image>", "rejected": "no"},
        {"question": "Watched <video>?", "chosen": "yes", "rejected": "no"},
        "{broken",
        {"question": "Seen?", "image": "gone.png", "chosen": "yes", "rejected": "no"},
    ]
    done = export(release_of(tmp_path / "release", rows), format, tmp_path / "to")
    strict = format in ("llama-factory", "ms-swift")
    marks = 2 if strict else 1
    assert done["counts"]["rejects"] == {"reserved_mark": marks, "bad_json": 1, "image_missing": 1}
    assert done["counts"]["pairs"] == 3 - marks
    told = lines_of(*(tmp_path / "to/rejects").iterdir())
    assert len(told) == marks + 2
    assert all({"stage", "source", "id", "reason", "detail"} == set(line) for line in told)
    assert f"{marks + 2} were left out" in (tmp_path / "to/README.md").read_text()


def test_a_source_may_be_called_anything(tmp_path: Path) -> None:
    rows = [{"question": "Good?", "chosen": "yes", "rejected": "no"}]
    done = export(release_of(tmp_path / "release", [*rows], entry="../../é <b>\n"), "mmpr", tmp_path / "to")
    assert done["counts"]["pairs"] == 1
    [path] = (tmp_path / "to/annotations").iterdir()
    assert path.name == "_..____b__.jsonl"
    assert len(list(read_pairs(tmp_path / "to", lambda reject: pytest.fail(str(reject))))) == 1


SLOW = """
import sys, time
from pathlib import Path
from mmpr.export import run
for name in ("record", "trl_row"):
    def slow(*args, write=getattr(run, name)):
        time.sleep(0.01)
        return write(*args)
    setattr(run, name, slow)
run.export(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
"""


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


@pytest.mark.parametrize(("format", "parts"), [("trl", "pairs"), ("mmpr", "parts"), ("llama-factory", "pairs")])
def test_a_killed_export_goes_on(format: Format, parts: str, small_build: SmallBuild, tmp_path: Path) -> None:
    to = tmp_path / "to"
    for finished in (1, 2):
        process = subprocess.Popen([sys.executable, "-c", SLOW, str(small_build.out), format, str(to)])
        end_s = time.monotonic() + 120
        while len([*(to / parts).glob("part-*")]) < finished or not [*(to / parts).glob(".part-*.tmp")]:
            assert process.poll() is None
            assert time.monotonic() < end_s
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
    kept = {path.name: path.stat().st_mtime_ns for path in (to / parts).glob("part-*")}
    assert len(kept) >= 2
    if parts == "pairs":
        export(small_build.out, format, to)
        assert {name: (to / parts / name).stat().st_mtime_ns for name in kept} == kept
    else:
        assert main([str(small_build.out), "--format", format, "--to", str(to)]) == 0
    undisturbed = tmp_path / "undisturbed"
    export(small_build.out, format, undisturbed)
    assert content(to) == content(undisturbed)


def test_a_picture_that_was_cut_off_is_written_again(small_build: SmallBuild, tmp_path: Path) -> None:
    to = tmp_path / "to"
    export(small_build.out, "ms-swift", to)
    whole = content(to)
    picture = next(path for path in (to / "images").rglob("*.*") if path.is_file())
    picture.write_bytes(picture.read_bytes()[:10])
    about = json.loads((to / "export.json").read_text())
    del about["counts"]
    (to / "export.json").write_text(json.dumps(about))
    shutil.rmtree(to / "pairs")
    export(small_build.out, "ms-swift", to)
    assert content(to) == whole


def test_a_finished_export_is_told_again_and_another_one_refused(
    small_build: SmallBuild, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = str(tmp_path / "to")
    for _ in range(2):
        assert main([str(small_build.out), "--format", "ms-swift", "--to", to]) == 0
        assert f"{len(pairs_of(small_build.out)):,} pairs for ms-swift" in capsys.readouterr().out
    for more, words in (
        (["--format", "mmpr", "--to", to], "was exported with another format"),
        (["--format", "ms-swift", "--to", to, "--images", "bytes"], "was exported with another images"),
        (["--format", "mmpr", "--to", str(tmp_path)], "is not empty and holds no export"),
        (["--format", "mmpr", "--to", str(small_build.out / "x")], "lies in what is exported"),
        (["--format", "mmpr", "--to", f"{to}2", "--images", "bytes"], "reads pictures as files only"),
    ):
        assert main([str(small_build.out), *more]) == 1
        assert words in capsys.readouterr().err
    other = release_of(tmp_path / "release", [{"question": "Good?", "chosen": "yes", "rejected": "no"}])
    assert main([str(other), "--format", "ms-swift", "--to", to]) == 1
    assert "was exported from another build" in capsys.readouterr().err


def test_what_cannot_be_exported(small_build: SmallBuild, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file or folder"):
        export(tmp_path / "nowhere", "trl", tmp_path / "to")
    (tmp_path / "folder").mkdir()
    with pytest.raises(SourceError, match="neither a finished build"):
        export(tmp_path / "folder", "trl", tmp_path / "to")
    assert not (tmp_path / "to").exists()
    with pytest.raises(OutputError, match="holds no pairs"):
        export(release_of(tmp_path / "empty", []), "trl", tmp_path / "to")
    copy = Path(shutil.copytree(small_build.out, tmp_path / "copy"))
    shard = next((copy / "pairs").iterdir())
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    with pytest.raises(OutputError, match=r"was changed; python -m mmpr\.check"):
        export(copy, "trl", tmp_path / "other")


@pytest.mark.parametrize(
    "argv", [["OUT"], ["OUT", "--format", "trl"], ["OUT", "--to", "x"], ["OUT", "--format", "csv", "--to", "x"]]
)
def test_wrong_usage(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(argv)
    assert end.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize("module", ["mmpr.export", "mmpr.check"])
def test_help_answers_at_once(module: str) -> None:
    code = (
        "import json, runpy, sys\n"
        f"sys.argv = ['{module}', '--help']\n"
        f"try:\n    runpy.run_module('{module}', run_name='__main__')\n"
        "except SystemExit as end:\n    assert end.code == 0\n"
        "print(json.dumps(list(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    heavy = {"pydantic", "pyarrow", "datasets", "transformers", "PIL", "numpy", "sympy", "rich", "huggingface_hub"}
    assert not heavy & set(json.loads(done.stdout.splitlines()[-1]))
    assert "usage: mmpr " in done.stdout
