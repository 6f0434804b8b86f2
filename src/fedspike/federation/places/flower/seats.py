"""The seats of a fleet, one for each client: how much those hold that came, and who is waited for.

How much a client holds is settled when the training begins, or when it joins, and stays so: a training that
goes on after a break has the same clients, whoever of them is there. A seat that nobody has taken yet is not
in the file, and its client is in no round.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fedspike.errors import InputError
from fedspike.federation.client_numbers import spelled
from fedspike.files import json_bytes, read_json, write_whole

FILE = "clients.json"  # client -> its samples of each class
MOST_NAMED = 10  # clients of a sentence
Counts = tuple[int, ...]


def read(folder: Path, seats: int = 2**31, classes: int | None = None) -> dict[int, Counts]:
    """What was settled; nothing before the training began. Raises InputError where the file is damaged."""
    file = folder / FILE
    if not file.exists():
        return {}
    fix = "restore it; or delete it, and the folder run, to start the training again"
    counts: dict[int, Counts] = read_json(file, dict[int, Counts], fix=fix)
    if fault := _fault(counts, seats, classes):
        raise InputError(f"{file}: {fault}", expected="the file as fedspike wrote it", fix=fix)
    return counts


def _fault(counts: Mapping[int, Counts], seats: int, classes: int | None) -> str:
    """What cannot be of these seats and classes; "" if nothing."""
    if not all(0 <= client < seats for client in counts):
        return f"clients that are none of 0 to {seats - 1}"
    for own in counts.values():
        if len(own) != (classes or len(own)) or min(own, default=0) < 0 or not any(own):
            return f"samples {own[:20]}, not of {classes} classes"
    return ""


def write(folder: Path, counts: Mapping[int, Counts]) -> None:
    """Settle how much each of these clients holds."""
    content = json_bytes({str(client): list(own) for client, own in sorted(counts.items())})
    write_whole(folder / FILE, content, folder)


def awaited(missing: Sequence[int], seats: int, at_least: int) -> str:
    """What a training that has not begun waits for.

    >>> awaited([2], seats=4, at_least=4)
    '3 of 4 clients are there; the training begins when 4 are. Not there: 2'
    >>> awaited(range(3, 20), seats=20, at_least=5)
    '3 of 20 clients are there; the training begins when 5 are'
    """
    there = seats - len(missing)
    sentence = f"{there} of {seats} clients are there; the training begins when {at_least} are"
    if at_least < seats or len(missing) > MOST_NAMED:
        return sentence
    return f"{sentence}. Not there: {spelled(missing)}"
