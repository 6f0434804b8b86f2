"""Who takes no part in a training, and why, as its process tells those who look on."""

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from fedspike.errors import InputError
from fedspike.files import json_bytes, read_json, write_whole

FILE = "absent.json"


class Refusal(Struct, frozen=True):
    """Why a node takes no part, and since when."""

    reason: str
    since: datetime


class Absent(Struct, frozen=True):
    """Nodes that are there and take no part, by their names, and the clients that a training waits for.

    `waiting` says in words for how many of these.
    """

    refused: dict[str, Refusal] = {}
    waiting_for: list[int] = []
    waiting: str = ""


def read(folder: Path) -> Absent:
    """What was told last; nobody is absent where nothing was. Raises InputError where the file is damaged."""
    file = folder / FILE
    if not file.exists():
        return Absent()
    absent: Absent = read_json(file, Absent, fix=f"delete {file}")
    return absent


def write(folder: Path, refused: dict[str, str], waiting_for: list[int], waiting: str = "") -> None:
    """Tell it, if it is new; who was refused for the same reason before is so since then."""
    before, kept, now = None, dict[str, Refusal](), datetime.now(UTC)
    with suppress(InputError):  # a damaged one is written anew
        before = read(folder)
        kept = before.refused
    told = {
        name: kept[name] if name in kept and kept[name].reason == reason else Refusal(reason, now)
        for name, reason in sorted(refused.items())
    }
    absent = Absent(told, waiting_for, waiting)
    if absent != before:
        write_whole(folder / FILE, json_bytes(absent), folder)
