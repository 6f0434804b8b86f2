"""Which runs the processes of `--part I/N` are at: each holds a folder that says its part."""

import re
from collections.abc import Sequence
from pathlib import Path

from fedspike.files import held

FOLDER = re.compile(r"\.part-([1-9]\d{0,8})-of-([1-9]\d{0,8})")


def folder_of(part: int, parts: int) -> str:
    """The folder, in an experiment's, that whoever trains this part of it holds meanwhile.

    >>> folder_of(2, 3)
    '.part-2-of-3'
    """
    return f".part-{part}-of-{parts}"


def in_hand(experiment: Path, runs: Sequence[str]) -> set[str] | None:
    """Those of an experiment's runs, in their order, that belong to parts at which processes are.

    None where no process trains a part of it, or nobody can know.
    """
    theirs, is_any = set[str](), False
    for folder in experiment.glob(".part-*"):
        if part := FOLDER.fullmatch(folder.name):
            lock = held(folder)
            if lock is None:
                return None
            if lock:
                is_any = True
                theirs |= {*runs[int(part[1]) - 1 :: int(part[2])]}
    return theirs if is_any else None
