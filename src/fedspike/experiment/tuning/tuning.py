"""All searches of an experiment's file, as an iterator of what happens, which can stop and go on."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from fedspike.data import Dataset
from fedspike.errors import InputError
from fedspike.experiment.run import demand_trainable
from fedspike.experiment.tuning.crew import Crew
from fedspike.experiment.tuning.objective import Job, Outcome, Working
from fedspike.experiment.tuning.searches import Search, Tuning
from fedspike.experiment.tuning.suggestion import suggest
from fedspike.experiment.tuning.trials import Journal, Trial

OWN = 0  # the trial of the file's own settings


@dataclass(frozen=True)
class Standing:
    """What a search has found: its trials in order. The `best` is the first of the most accurate, if any."""

    search: Search
    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial | None:
        """The trial with the highest accuracy, the earliest of several; None where all failed."""
        sound = [trial for trial in self.trials if trial.accuracy is not None]
        return max(sound, key=lambda trial: (trial.accuracy, -trial.number), default=None)

    @property
    def own(self) -> Trial | None:
        """The trial of the file's own settings."""
        return next((trial for trial in self.trials if trial.number == OWN), None)


@dataclass(frozen=True)
class Tried:
    """A trial is over and stored, or was found stored; of how many, and the search it is of as it stands."""

    trial: Trial
    standing: Standing
    stored: bool


Event = Working | Tried


def demand_searchable(tuning: Tuning, dataset: Dataset) -> None:
    """Raise InputError where data, network and algorithm of a search do not go together."""
    for search in tuning.searches:
        demand_trainable(replace(search.plan, data=dataset), tuning.experiment.source)


def perform(tuning: Tuning, journal: Journal, crew: Crew) -> Iterator[Event]:
    """Train what the journal does not hold yet, and tell what happens; everything told is stored.

    The searches take turns. A trial is suggested from those before it; where a crew has more members than
    there are searches and seeds, the last few of these count as not finished, whether or not they are: so the
    trials of a crew of one size are always the same. Raises InputError where in all searches all trials fail.
    """
    seeds = sum(len(search.seeds) for search in tuning.searches)
    at_once = -(-crew.size // seeds)
    going = {
        search.name: _Going(search, tuning.budget.trials, at_once) for search in tuning.searches
    }
    for trial in journal.trials:
        if trial.search in going and trial.number <= tuning.budget.trials:
            going[trial.search].trials[trial.number] = trial
            yield Tried(trial, going[trial.search].standing, stored=True)
    jobs: deque[Job] = deque()
    running = 0
    while True:
        for one in going.values():
            jobs.extend(one.jobs())
        while jobs and running < crew.size:
            crew.start(jobs.popleft())
            running += 1
        if not running:
            break
        event = crew.next()
        if isinstance(event, Working):
            yield event
            continue
        running -= 1
        one = going[event.job.search]
        if (finished := one.take(event)) is not None:
            journal.append(finished)
            yield Tried(finished, one.standing, stored=False)
    _demand_any([one.standing for one in going.values()])


class _Going:
    """A search that is going on."""

    def __init__(self, search: Search, budget: int, at_once: int) -> None:
        self.search, self.budget, self.at_once = search, budget, at_once
        self.trials: dict[int, Trial] = {}
        self.settings: dict[int, dict[str, Any]] = {}  # of the trials that are trained now
        self.outcomes: dict[int, dict[int, Outcome]] = {}
        self.ended = False  # all settings that there are were asked for

    @property
    def standing(self) -> Standing:
        """What it has found so far."""
        return Standing(self.search, tuple(self.trials[number] for number in sorted(self.trials)))

    def jobs(self) -> Iterator[Job]:
        """The trainings of all trials that can begin now."""
        for number in range(self.budget + 1):
            if number in self.trials or number in self.settings:
                continue
            if self.ended or not all(n in self.trials for n in range(1, number - self.at_once + 1)):
                return
            settings = {} if number == OWN else self._suggested(number)
            if settings is None:
                self.ended = True
                return
            self.settings[number], self.outcomes[number] = settings, {}
            for seed in self.search.seeds:
                chosen = {**self.search.chosen, **settings, "seed": seed}
                yield Job(self.search.name, number, seed, chosen)

    def take(self, outcome: Outcome) -> Trial | None:
        """Take a training's outcome; the trial, if that was its last one."""
        number = outcome.job.trial
        of_seeds = self.outcomes[number]
        of_seeds[outcome.job.seed] = outcome
        if len(of_seeds) < len(self.search.seeds):
            return None
        ordered = [of_seeds[seed] for seed in self.search.seeds]
        failed = next((one.failed for one in ordered if one.failed), "")
        self.trials[number] = Trial(
            search=self.search.name,
            number=number,
            settings=self.settings.pop(number),
            accuracies=[] if failed else [one.accuracy or 0.0 for one in ordered],
            seconds=sum(one.seconds for one in ordered),
            failed=failed,
        )
        return self.trials[number]

    def _suggested(self, number: int) -> dict[str, Any] | None:
        before: list[tuple[dict[str, Any], float | None]] = []
        for n in range(1, number):
            told = n <= number - self.at_once
            settings = self.trials[n].settings if n in self.trials else self.settings[n]
            before.append((settings, self.trials[n].accuracy if told else None))
        return suggest(self.search.axes, before, number, self.budget)


def _demand_any(standings: list[Standing]) -> None:
    if not any(one.best for one in standings):
        first = standings[0].trials[0]
        raise InputError(
            f"all trials failed, the first one of {first.search} so: {first.failed}",
            expected="settings with which a network learns",
            fix="try other ranges in [tune], lower learning rates perhaps, in another folder",
        )
