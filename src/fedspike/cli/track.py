"""`fedspike track`: what runs stored, sent to programs that show the course of runs."""

import shlex
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fedspike.cli.commands import print_json, say
from fedspike.cli.options import add_json, new_command
from fedspike.trackers import TRACKERS

KINDS = ", ".join(tracker.kind for tracker in TRACKERS)


def add(commands_of: Any) -> None:
    """The command and its options."""
    text = "show runs in MLflow, trackio, Weights & Biases or TensorBoard"
    track = new_command(commands_of, "track", track_runs, text)
    track.add_argument("folders", type=Path, metavar="DIR", nargs="+")
    add_trackers(track, "--to", "to these trackers", required=True)
    track.add_argument(
        "--into", type=Path, metavar="PATH", help="default: trackers/KIND beside the first DIR"
    )
    add_json(track, "print what was sent as JSON")


def add_trackers(
    command: ArgumentParser, option: str, text: str, *, required: bool = False
) -> None:
    """Which trackers get something."""
    help = f"{text}: {KINDS}; can be given again"
    command.add_argument(
        option, metavar="KIND", action="append", default=[], required=required, help=help
    )


def track_runs(options: Namespace) -> int:
    """Send what each tracker does not have of each run yet; say where it is and how to look."""
    from fedspike.trackers import feed

    trackers = chosen(options.to, "--to")
    homes = [home for folder in options.folders for home in feed.homes(folder)]
    sent = []
    for tracker in trackers:
        into = feed.place(tracker, options.folders[0], options.into)
        for home in homes:
            rounds, finished = feed.send(tracker, home, into)
            say(f"{home}: {rounds} new rounds, {'finished' if finished else 'not finished yet'}")
            own = {"run": str(home), "to": tracker.kind, "rounds": rounds, "finished": finished}
            sent.append(own | dict(zip(("where", "show"), tracker.shown(into), strict=True)))
    if options.json:
        print_json({"sent": sent})
    else:
        places = [where(one, feed.place(one, options.folders[0], options.into)) for one in trackers]
        sys.stdout.write("".join(f"{line}\n" for line in places))
    return 0


def chosen(names: Sequence[str], option: str) -> list[Any]:
    """The trackers of these names. Raises InputError where one is unknown or not installed."""
    from fedspike.trackers.tracker import named

    return named(TRACKERS, names, option)


def where(tracker: Any, into: Path) -> str:
    """Where a tracker has its runs, and the command that shows them."""
    folder, words = tracker.shown(into)
    return f"{tracker.title}: {folder}; to look: {shlex.join(words)}"
