"""What happens while an experiment is done, for whoever watches. Nothing here needs torch."""

from dataclasses import dataclass
from typing import Any

from fedspike.experiment.sweep import Run

Record = dict[str, Any]
"""A JSON object: a line of `rounds.jsonl`, or a summary."""


@dataclass(frozen=True)
class Skipped:
    """A run that was finished before."""

    run: Run
    summary: Record


@dataclass(frozen=True)
class Started:
    """A run begins, or goes on after so many rounds."""

    run: Run
    rounds_done: int


@dataclass(frozen=True)
class Trained:
    """A round is over; its line and its checkpoint are stored."""

    run: Run
    record: Record


@dataclass(frozen=True)
class Finished:
    """A run is over; its summary is stored."""

    run: Run
    summary: Record


Event = Skipped | Started | Trained | Finished
