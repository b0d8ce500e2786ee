"""An export: part after part, each whole or absent, then the other files that the format's reader wants.

DIR/export.json    what is exported and how; with its counts once it is finished
DIR/pairs/         one Parquet file a part (trl with bytes, llama-factory, ms-swift)
DIR/parts/         the same, until they are joined: annotations/SOURCE.jsonl (mmpr), metadata.parquet (trl with files)
DIR/images/        pictures as files, named by their content, each once
DIR/rejects/       pairs that the format cannot hold, and lines of a release that are no pairs
DIR/README.md      how to read it
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import pyarrow.parquet as pq

import mmpr
from mmpr.errors import OutputError
from mmpr.export.formats import (
    IMAGES,
    SCHEMAS,
    Format,
    Images,
    TrlRow,
    data_uri,
    has_place,
    picture_path,
    record,
    reserved_mark,
    trl_row,
)
from mmpr.export.parts import Parts, check_source, open_parts
from mmpr.export.readme import Annotations, dataset_info, readme
from mmpr.pipeline.progress import Steps
from mmpr.schema import Pair, PreferenceRow, Reject
from mmpr.sources.mmpr_pairs import OnReject
from mmpr.storage.shards import locked, remove_temporaries, whole_or_absent, write_json, write_text
from mmpr.storage.tables import write_parquet, write_records

_OURS = {".lock", "export.json", "pairs", "parts", "images", "rejects", "annotations"}


def export(source: Path, format: Format, to: Path, images: Images | None = None) -> dict[str, Any]:
    """Write ``source`` (a build or a release) to ``to``, or continue; returns the contents of ``export.json``.

    Raises:
        OutputError: ``to`` holds something else, is in use or cannot be written, or the build is damaged.
        SourceError: ``source`` is neither a build nor a release.
    """
    images = images or IMAGES[format][0]
    if images not in IMAGES[format]:
        raise OutputError(f"{format} reads pictures as {IMAGES[format][0]} only; leave out --images {images}")
    check_source(source)
    inside = source.resolve() if source.is_dir() else source.resolve().parent
    if inside in (to.resolve(), *to.resolve().parents):
        raise OutputError(f"{to}: lies in what is exported; name a folder elsewhere with --to")
    with locked(to):
        begun = _begun(to)
        remove_temporaries(to)
        with _reject_lines(to / "rejects" / "reading.jsonl") as tell:
            parts = open_parts(source, tell)
        about = {
            "mmpr": mmpr.__version__,
            "format": format,
            "images": images,
            "from": {"name": parts.name, "sha256": parts.sha256},
            **({"without_system_prompt": True} if parts.system and format == "mmpr" else {}),
            "parts": parts.count,
        }
        _check_begun(to, begun, about)
        if begun is None or "counts" not in begun:
            if not parts.count:
                raise OutputError(f"{source}: holds no pairs")
            write_json(to / "export.json", about)
            _write_parts(parts, to, format, images)
            counts = _finish(parts, to, format, images)
            rejects = _count_rejects(to)
            if not any(counts.values()):
                why = ", ".join(f"{many:,} x {reason}" for reason, many in rejects.items())
                raise OutputError(f"{to}: {format} can hold none of the pairs: {why}, see {to / 'rejects'}")
            about["counts"] = {"pairs": sum(counts.values()), "sources": counts, "rejects": rejects}
            write_text(to / "README.md", readme(about, _annotations(to), has_pictures=(to / "images").is_dir()))
            write_json(to / "export.json", about)
            begun = about
        shutil.rmtree(to / "parts", ignore_errors=True)
        with contextlib.suppress(OSError):  # it holds something
            (to / "rejects").rmdir()
    return begun


def _begun(to: Path) -> dict[str, Any] | None:
    """What ``export.json`` says of an earlier run; None for a new folder."""
    path = to / "export.json"
    if not path.exists():
        strangers = [item.name for item in to.iterdir() if item.name not in _OURS]
        if strangers:
            raise OutputError(f"{to}: is not empty and holds no export ({strangers[0]}); name a new folder with --to")
        return None
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: is damaged ({error}); name a new folder with --to") from None
    return tree if isinstance(tree, dict) else {}


def _check_begun(to: Path, begun: dict[str, Any] | None, about: dict[str, Any]) -> None:
    """Raise an OutputError when the folder holds another export."""
    for name in ("format", "images", "from", "parts", "mmpr"):
        if begun is not None and begun.get(name) != about[name]:
            what = {"from": "from another build", "parts": "from another build"}.get(name, f"with another {name}")
            raise OutputError(f"{to}: was exported {what}; name a new folder with --to, or delete this one")


def _write_parts(parts: Parts, to: Path, format: Format, images: Images) -> None:
    """Write the parts that are missing; the rejects of a part are written before it."""
    folder = to / ("parts" if _is_joined(format, images) else "pairs")
    names = [f"part-{part:05d}-of-{parts.count:05d}" for part in range(parts.count)]
    suffix = "jsonl" if format == "mmpr" else "parquet"
    missing = [part for part, name in enumerate(names) if not (folder / f"{name}.{suffix}").exists()]
    with Steps(sys.stderr) as steps:
        steps.begin("export", parts.count, parts.count - len(missing))
        for part in missing:
            with (
                whole_or_absent(folder / f"{names[part]}.{suffix}") as target,
                _reject_lines(to / "rejects" / f"{names[part]}.jsonl") as tell,
            ):
                pairs = _pairs(parts.rows(part, tell), format, tell)
                if format == "trl" and images == "bytes":
                    write_parquet(target, TrlRow, (trl_row(row, pair, parts.system) for row, pair in pairs), {})
                elif format == "mmpr":
                    with target.open("wb") as file:
                        file.writelines(map(_line, _records(pairs, to, format, images)))
                else:
                    write_records(target, SCHEMAS[format], _records(pairs, to, format, images, parts.system))
            steps.advance()


def _pairs(rows: Iterator[PreferenceRow], format: Format, tell: OnReject) -> Iterator[tuple[PreferenceRow, Pair]]:
    """The pairs that the format can hold; ``tell`` is told of the others."""
    for row in rows:
        if not has_place(format, row):
            detail = f"{len(row.pairs)} pairs: {format} has one text for a question, this one follows other turns"
            tell(Reject("export", row.source, row.id, "turns", detail))
            continue
        for pair in row.pairs:
            mark = reserved_mark(format, row, pair)
            if mark is None:
                yield row, pair
            else:
                detail = (
                    f"pair {pair.chosen}, {pair.rejected}: its text holds {mark}, which {format} reads as a command"
                )
                tell(Reject("export", row.source, row.id, "reserved_mark", detail))


def _records(
    pairs: Iterator[tuple[PreferenceRow, Pair]], to: Path, format: Format, images: Images, system: str = ""
) -> Iterator[dict[str, Any]]:
    """Each pair as the format has it; the pictures of a question are written with its first pair."""
    last: PreferenceRow | None = None
    pictures: list[str] = []
    for row, pair in pairs:
        if row is not last:
            pictures = [data_uri(data) if images == "bytes" else _store(to, data) for data in row.images]
            last = row
        yield record(format, row, pair, pictures, system)


def _store(to: Path, data: bytes) -> str:
    """Write a picture as a file under ``to``; returns its path there."""
    name = picture_path(data)
    path = to / name
    if not (path.exists() and path.read_bytes() == data):
        with whole_or_absent(path) as temporary:
            temporary.write_bytes(data)
    return name


def _finish(parts: Parts, to: Path, format: Format, images: Images) -> dict[str, int]:
    """Join parts where the format wants one file, and write the files beside them; returns pairs by source."""
    if format == "mmpr":
        return _join_by_source(parts, to)
    if _is_joined(format, images):
        path = to / "metadata.parquet"
        with whole_or_absent(path) as target, pq.ParquetWriter(target, SCHEMAS[format], compression="zstd") as file:
            for part in sorted((to / "parts").glob("*.parquet")):
                with pq.ParquetFile(part) as opened:
                    for group in range(opened.num_row_groups):
                        file.write_table(opened.read_row_group(group))
        return {parts.name: _rows_of(path)}
    if format == "llama-factory":
        write_json(to / "dataset_info.json", dataset_info(parts.name, has_system=bool(parts.system)))
    counts = {path: _rows_of(path) for path in sorted((to / "pairs").glob("*.parquet"))}
    for path, count in counts.items():
        if not count and any(counts.values()):
            path.unlink()  # ms-swift stops at an empty file
    return {parts.name: sum(counts.values())}


def _join_by_source(parts: Parts, to: Path) -> dict[str, int]:
    """Write MMPR's annotations/ and meta.json; returns pairs by source."""
    counts: dict[str, int] = {}
    names: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        files: dict[str, IO[bytes]] = {}
        for part in sorted((to / "parts").glob("*.jsonl")):
            with part.open("rb") as lines:
                for line in lines:
                    source = json.loads(line)["source"]
                    if source not in files:
                        names[source] = _file_name(source, names.values())
                        path = stack.enter_context(whole_or_absent(to / "annotations" / names[source]))
                        files[source] = stack.enter_context(path.open("wb"))
                    files[source].write(line)
                    counts[source] = counts.get(source, 0) + 1
    meta = {
        source: {
            "root": "images",
            "annotation": f"annotations/{names[source]}",
            "data_augment": False,
            "repeat_time": parts.repeat_time(source),
            "length": count,
        }
        for source, count in counts.items()
    }
    write_json(to / "meta.json", meta)
    return counts


def _annotations(to: Path) -> list[Annotations]:
    """The files of ``annotations/`` and how each says what its pictures are; reads all of them once."""
    found = []
    for path in sorted((to / "annotations").glob("*.jsonl")):
        with path.open("rb") as lines:
            kinds = {type(json.loads(line).get("image")) for line in lines}
        found.append(Annotations(path.name, one=str in kinds, several=list in kinds))
    return found


def _file_name(source: str, taken: Any) -> str:
    """A file name for a source that none of the others has."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", source).lstrip(".")[:100] or "source"
    names = (f"{plain}{f'-{number}' if number else ''}.jsonl" for number in range(len(taken) + 1))
    return next(name for name in names if name not in taken)


def _is_joined(format: Format, images: Images) -> bool:
    return format == "mmpr" or (format == "trl" and images == "files")


@contextlib.contextmanager
def _reject_lines(path: Path) -> Iterator[Callable[[Reject], None]]:
    """A function that writes rejects as JSON lines; the file is removed when there are none."""
    with whole_or_absent(path) as temporary, temporary.open("wb") as file:

        def tell(reject: Reject) -> None:
            file.write(_line(asdict(reject)))

        yield tell
    if path.stat().st_size == 0:
        path.unlink()


def _count_rejects(to: Path) -> dict[str, int]:
    counts: dict[str, int] = {}
    for path in sorted((to / "rejects").glob("*.jsonl")):
        with path.open("rb") as lines:
            for line in lines:
                reason = json.loads(line)["reason"]
                counts[reason] = counts.get(reason, 0) + 1
    return counts


def _rows_of(path: Path) -> int:
    return int(pq.read_metadata(path).num_rows)


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
