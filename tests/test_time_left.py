"""The time that an experiment still takes, as whoever watches it is told."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pytest

from fedspike.records.time_left import RECENT, Left, TimeLeft


@dataclass
class Clock:
    """A clock that is put forward."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Trainings:
    """Runs whose times are known beforehand: of a round, of the first one beside it, and of the end."""

    a_round: dict[str, float]
    first: float = 0.0
    end: float = 0.0
    rounds: int = 100
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        names = dict.fromkeys(self.a_round, self.rounds)
        own = {run: run for run in names}
        self.time_left = TimeLeft(names, own, own, now=self.clock)

    def train(self, run: str, done: int, rounds: int) -> Iterator[float]:
        """The time after each of its rounds."""
        self.time_left.started(run, done)
        for number in range(rounds):
            self.clock.now += self.a_round[run] + (0 if number else self.first)
            self.time_left.trained(run)
            yield self.clock.now

    def all(self, done: int = 0) -> Iterator[float]:
        """The time after each round of all, the first two of each before the rest."""
        for run in self.a_round:
            yield from self.train(run, done, 2)
        for run in self.a_round:
            yield from self.train(run, done + 2, self.rounds - done - 2)
            self.clock.now += self.end
            self.time_left.finished(run)


def said_after(share: float, trainings: Trainings, done: int = 0) -> tuple[float, float]:
    """What is said to be left when such a share of the time is over, and what is left."""
    said = [(now, trainings.time_left.left().seconds) for now in trainings.all(done)]
    end = trainings.clock.now
    now, seconds = next(one for one in said if one[0] >= share * end)
    assert seconds is not None
    return seconds, end - now


STUDY = {"ann": 0.05, "ann-centralised": 0.06, "snn": 0.6, "snn-centralised": 0.76}
CODES = {f"code{number}": 0.1 * 2**number for number in range(8)}


@pytest.mark.parametrize("done", [0, 40])
@pytest.mark.parametrize("a_round", [STUDY, CODES, {"one": 1.0}])
def test_after_a_twentieth_it_is_nearly_right(a_round: dict[str, float], done: int) -> None:
    """Also where first rounds take longer, ends take a while, and a part was done before."""
    said, true = said_after(0.05, Trainings(a_round, first=0.5, end=0.8), done)
    assert said == pytest.approx(true, rel=0.25)


def test_every_kind_of_run_has_its_own_speed_and_first_rounds_count_only_alone() -> None:
    trainings = Trainings({"ann": 0.5, "snn": 30.0}, first=2.0, rounds=20)
    assert trainings.time_left.left() == Left(None, whole=False)
    spend(trainings.train("ann", 0, 1))
    assert trainings.time_left.left() == Left(19 * 2.5, whole=False)
    spend(trainings.train("ann", 1, 3))
    assert trainings.time_left.left() == Left(16 * 0.5, whole=False)
    spend(trainings.train("snn", 0, 1))
    assert trainings.time_left.left() == Left(16 * 0.5 + 19 * 32.0, whole=True)
    trainings.time_left.skipped("snn")
    assert trainings.time_left.left() == Left(16 * 0.5, whole=True)
    assert trainings.time_left.rounds_done == 24


def test_until_its_first_round_a_run_is_taken_for_those_of_its_network() -> None:
    clock, names = Clock(), ("ann", "snn5", "snn10", "snn25")
    own = {run: run for run in names}
    time_left = TimeLeft(dict.fromkeys(names, 10), own, {run: run[:3] for run in names}, now=clock)
    for run, seconds, words in (
        ("ann", 1.0, Left(9.0, whole=False)),
        ("snn5", 2.0, Left(9.0 + 9 * 2 + 20 * 2.0, whole=True)),
        ("snn10", 6.0, Left(9.0 + 9 * (2 + 6) + 10 * 4.0, whole=True)),
    ):
        time_left.started(run, 0)
        clock.now += seconds
        time_left.trained(run)
        assert time_left.left() == words


def test_a_run_that_gets_slower_is_soon_believed() -> None:
    trainings = Trainings({"snn": 1.0}, rounds=1000)
    spend(trainings.train("snn", 0, 100))
    trainings.a_round["snn"] = 2.0
    spend(trainings.train("snn", 100, RECENT))
    assert trainings.time_left.left().seconds == pytest.approx(2 * (900 - RECENT), rel=0.1)


def test_the_end_of_a_run_is_expected_of_the_others_too() -> None:
    trainings = Trainings({"ann": 1.0, "snn": 1.0}, end=7.0, rounds=3)
    told = trainings.all()
    for _ in range(6):
        next(told)  # the snn's last round, after the ann's end
    assert trainings.time_left.left() == Left(7.0, whole=True)
    spend(told)
    assert trainings.time_left.left() == Left(0.0, whole=True)


def test_runs_side_by_side_share_the_time_but_the_longest_takes_its_own() -> None:
    clock = Clock()
    names = ("a", "b", "c")
    same = dict.fromkeys(names, "snn")
    time_left = TimeLeft(dict.fromkeys(names, 11), same, same, 2, clock)
    for run in ("a", "b"):
        time_left.started(run, 0)
    for _ in range(2):
        clock.now += 3.0  # both took as long, side by side
        for run in ("a", "b"):
            time_left.trained(run)
    assert time_left.left() == Left(3.0 * (9 + 9 + 11) / 2, whole=True)
    time_left.skipped("a")
    time_left.skipped("b")
    assert time_left.left() == Left(33.0, whole=True)


def spend(rounds: Iterable[float]) -> None:
    for _ in rounds:
        pass
