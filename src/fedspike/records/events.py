"""What happens while an experiment is done, for whoever watches. `run` is the name of the run."""

from dataclasses import dataclass

from fedspike.records.schema import RoundRecord, RunSummary


@dataclass(frozen=True)
class Skipped:
    """A run that was finished before."""

    run: str
    summary: RunSummary


@dataclass(frozen=True)
class Started:
    """A run begins, or goes on after so many rounds."""

    run: str
    rounds_done: int


@dataclass(frozen=True)
class Trained:
    """A round is over; its record and its checkpoint are stored."""

    run: str
    record: RoundRecord


@dataclass(frozen=True)
class Finished:
    """A run is over; its summary is stored."""

    run: str
    summary: RunSummary


Event = Skipped | Started | Trained | Finished
