"""What a tracker is: a program that shows the course of runs, in which a run is opened and added to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from fedspike import extras
from fedspike.errors import InputError

Setting = bool | int | float | str


@dataclass(frozen=True)
class About:
    """A run as trackers know it. `id` is of this one training, wherever its folder lies (`feed.py`)."""

    id: str
    experiment: str
    name: str
    settings: Mapping[str, Setting]


@runtime_checkable
class Tracked(Protocol):
    """A run in a tracker, open to be added to."""

    def last(self, metric: str) -> int:
        """The last round that has this metric; 0 where none has."""
        ...

    def add(self, round: int, metrics: Mapping[str, float]) -> None:
        """More metrics of a round. The rounds come in their order."""
        ...

    def close(self, finished: bool, /) -> None:
        """No more for now, or ever if the run is finished; what was added is kept."""
        ...


@runtime_checkable
class Tracker(Protocol):
    """A program that shows the course of runs; its `package` is what Python imports of it.

    `quiet` are variables of the environment with which it keeps to this machine; those that are set stay.
    """

    kind: str
    title: str
    package: str
    quiet: Mapping[str, str]

    def open(self, about: About, into: Path) -> Tracked:
        """A run, new or as it was left, in a folder that is there."""
        ...

    def shown(self, into: Path) -> tuple[str, list[str]]:
        """Where the runs lie, and the words of the command that shows them."""
        ...


def named(trackers: Sequence[Tracker], names: Sequence[str], option: str) -> list[Tracker]:
    """The trackers of these kinds, each once, all of them installed. Raises InputError where one is not."""
    from fedspike.reading import nearest  # who only asks for help does not wait for it

    kinds = {tracker.kind: tracker for tracker in trackers}
    for name in names:
        if name not in kinds:
            raise InputError(
                f"{option} {name}: no such tracker",
                expected=f"one of {', '.join(kinds)}",
                fix=nearest(name, kinds),
            )
        package, missing = kinds[name].package, f"{kinds[name].title} is not installed"
        wanted = f"the Python package {package}"
        extras.demand([package], name, f"{option} {name}: {missing}", expected=wanted)
    return [kinds[name] for name in dict.fromkeys(names)]
