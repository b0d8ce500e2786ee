"""A finished build, or an export, on the Hugging Face hub with its card: one commit, so that nobody sees a half."""

from __future__ import annotations

import re
from pathlib import Path

from mmpr.errors import MmprError, OutputError
from mmpr.storage.integrity import check_files

_NOT_SENT = [".lock", "*.tmp", "logs/**", "parts/**", "survey/**", "reference/**", "audit.jsonl"]
_TOKEN = re.compile(r"hf_[A-Za-z0-9]+|(?i:bearer|token)[ =:]+\S+")
_LONGEST = 300


def push_folder(folder: Path, name: str, *, private: bool = False) -> str:
    """Send a finished build or export to the data set ``name`` (``user/name``); returns its address.

    The token is the one that ``huggingface_hub`` finds (``hf auth login``, ``HF_TOKEN``); it is never shown.

    Raises:
        OutputError: the folder holds neither, or a file of the build is not as it was written.
        MmprError: the hub refuses, or cannot be reached.
    """
    _check(folder)

    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HFValidationError

    if get_token() is None:
        raise MmprError("the hub wants a token: run `hf auth login`, or set HF_TOKEN")
    api = HfApi()
    try:
        address = api.create_repo(name, repo_type="dataset", private=private or None, exist_ok=True)
        api.upload_folder(
            repo_id=name,
            repo_type="dataset",
            folder_path=folder,
            ignore_patterns=_NOT_SENT,
            commit_message=f"Add {folder.resolve().name}",
        )
    except HFValidationError:
        raise MmprError(f"{name!r} is no name of a data set; write user/name") from None
    except Exception as error:  # noqa: BLE001 - the hub's client passes on whatever its network library raises
        raise MmprError(f"the hub did not take {name}: {_said(error)}; run the same command again") from None
    return str(address)


def _check(folder: Path) -> None:
    """Only what is whole is sent."""
    if (folder / "export.json").exists():
        if not (folder / "README.md").exists():
            raise OutputError(f"{folder}: the export is not finished; run it to its end first")
        return
    problem = next(check_files(folder), None)
    if problem is not None:
        raise OutputError(f"{folder}: is not sent, it is damaged: {problem}")


def _said(error: Exception) -> str:
    """The first words of an error, without anything that may be a token."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return _TOKEN.sub("(token)", lines[0])[:_LONGEST]
