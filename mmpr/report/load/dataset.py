"""The dataset that a report is about: a finished build or a release of MMPR. Both have

info                 what is known before any row is read
units()              all questions, a unit at a time (``LoadedUnit``)
heldout()            the held-out questions in batches; None where there can be none
ids(unit, places)    the ids of the questions at these positions of a unit
rows(unit, places)   all that is stored of them, pictures too
lost()               how many rows the sources have, and how many were unusable, by reason
dropped()            some of the unusable rows, where no other file lists them
audited()            what people say of the verdicts, where there are some
"""

from __future__ import annotations

from pathlib import Path

from mmpr.inputs.kinds import kind_of
from mmpr.report.load.build import BuildDataset
from mmpr.report.load.release import ReleaseDataset

Dataset = BuildDataset | ReleaseDataset


def open_dataset(path: Path) -> Dataset:
    """A finished build, or a release of MMPR (``meta.json`` or its folder).

    Raises:
        OutputError: it is a folder without a finished build.
        SourceError: it is a release that cannot be read.
    """
    return ReleaseDataset(path) if kind_of(path) == "release" else BuildDataset(path)
