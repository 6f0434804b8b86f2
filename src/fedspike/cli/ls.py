"""`fedspike ls`: experiments and runs in folders, from what `--json` prints."""

import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from fedspike.cli.columns import size, table, wrapped
from fedspike.cli.commands import print_json
from fedspike.cli.options import add_json, new_command

HEADER = ("", "state", "rounds", "accuracy", "changed", "size")
USUAL = Path("runs")


def add(commands_of: Any) -> None:
    """The command and its options."""
    made = new_command(commands_of, "ls", ls, "list experiments and runs, and how far they are")
    made.add_argument("folders", metavar="DIR", type=Path, nargs="*", help="default: runs/")
    add_json(made, "print them as JSON")


def ls(options: Namespace) -> int:
    """List what is in the folders; nothing in them is changed, and nobody is kept from training."""
    from fedspike.records import inventory

    experiments = inventory.listed(options.folders or [USUAL])
    if options.json:
        print_json(experiments)
    elif experiments:
        sys.stdout.write(text(experiments))
    else:
        sys.stdout.write("no experiments\n")
    return 0


def text(experiments: Sequence[Any]) -> str:
    """A line for each experiment and each run, and what is wrong with which."""
    rows = [row for one in experiments for row in _rows(one)]
    return "\n".join([*table(HEADER, rows, names=2, repeated=1), *_faults(experiments), ""])


def _rows(experiment: Any) -> Iterator[list[str]]:
    runs = len(experiment.runs)
    many = f"{runs} run{'s' if runs > 1 else ''}" if runs else ""
    about = (_when(experiment.changed), size(experiment.bytes))
    yield [experiment.folder, experiment.state, many, "", *about]
    for run in experiment.runs:
        rounds = "" if run.rounds is None else f"{run.rounds_done} of {run.rounds}"
        accuracy = "" if run.accuracy is None else f"{run.accuracy:.1%}"
        much = size(run.bytes) if run.bytes else ""
        yield [f"  {run.run}", run.state, rounds, accuracy, _when(run.changed), much]


def _faults(experiments: Sequence[Any]) -> Iterator[str]:
    for one in experiments:
        if one.fault:
            yield from wrapped(f"{one.folder}: {one.fault}")
        for run in one.runs:
            if run.fault:
                yield from wrapped(run.fault)


def _when(changed: str) -> str:
    """In the time of this place."""
    return f"{datetime.fromisoformat(changed).astimezone():%Y-%m-%d %H:%M}" if changed else ""
