"""Looks at experiments that others run: read alone, without a lock, each part of a file once."""

import math
import os
import shlex
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import fmean

from fedspike.errors import InputError
from fedspike.files import MOST_SMALL, content_of, held
from fedspike.records import health, parts_at_work, reader
from fedspike.records.curve import Curve
from fedspike.records.schema import Agenda, RoundRecord
from fedspike.records.stored_rounds import GrowingRounds
from fedspike.records.time_left import Durations, Left, side_by_side, usual_of_runs
from fedspike.records.views import ExperimentView, RunView, State, View
from fedspike.shell import command

DEPTH = 5  # folders below the one that was named, in which experiments are looked for
LOOK_S = 1.0  # what is not read in this time is read at the next look
SEARCH_S = 5.0  # between two searches for new experiments
FRESH_S, FRESH_ROUNDS = (
    10.0,
    3,
)  # how long after its last sign a run counts as running, if no lock tells


class Watcher:
    """Whoever looks at these folders: of a run, of an experiment, or with some of these anywhere below."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders
        self._experiments: dict[Path, _Experiment] = {}
        self._absent: tuple[str, ...] = ()
        self._searched = float("-inf")

    def look(self, *, whole: bool = False) -> View:
        """What there is now. Of long files a part is read at each look, unless the `whole` is asked for."""
        begin = time.monotonic()
        if begin - self._searched >= SEARCH_S or self._absent:
            self._search()
            self._searched = begin
        until = float("inf") if whole else begin + LOOK_S
        views = [one.look(until) for one in self._experiments.values()]
        return View(experiments=tuple(views), absent=self._absent)

    def _search(self) -> None:
        absent, there = [], dict[Path, set[str] | None]()
        for named in self._folders:
            named = named if named.name not in ("", "..") else named.resolve()
            if (named / reader.CONFIG).is_file():
                only = there.setdefault(named.parent, set())
                if only is not None:
                    only.add(named.name)
                continue
            below = list(_experiments(named, DEPTH))
            there |= dict.fromkeys(below)
            if not below:
                absent.append(str(named))
        self._absent = tuple(absent)
        self._experiments = {
            folder: self._experiments.get(folder) or _Experiment(folder, only)
            for folder, only in there.items()
        }


def _experiments(folder: Path, depth: int) -> Iterator[Path]:
    """The folders of experiments in a folder, itself among them; links are not followed."""
    try:
        with os.scandir(folder) as entries:
            inner = sorted(one.name for one in entries if one.is_dir(follow_symlinks=False))
    except OSError:
        return
    inner = [name for name in inner if not name.startswith(".")]
    runs = [name for name in inner if (folder / name / reader.CONFIG).is_file()]
    if runs or (folder / reader.AGENDA).is_file():
        yield folder
    for name in inner if depth else ():
        if name not in runs:
            yield from _experiments(folder / name, depth - 1)


class _Experiment:
    """An experiment's folder as it was at the last look; of its runs `only` these are asked for, if any."""

    def __init__(self, folder: Path, only: set[str] | None) -> None:
        self.folder, self.only = folder, only
        self.runs: dict[str, _Run] = {}

    def look(self, until: float) -> ExperimentView:
        """How it is: first who is at it, then the files, or what just ended would seem to have stopped."""
        lock, remarks, agenda = held(self.folder), list[str](), None
        try:
            agenda = reader.agenda(self.folder)
        except InputError as error:
            remarks.append(error.passed)
        names = self._names(agenda)
        self.runs = {name: self.runs.get(name) or _Run(self.folder / name) for name in names}
        for name, run in self.runs.items():
            planned = agenda.runs.get(name) if agenda else None
            run.look(until, planned.rounds if planned else None, ask=lock is not False)
        busy = self._is_fresh() if lock is None else lock
        in_hand = parts_at_work.in_hand(self.folder, [*agenda.runs]) if busy and agenda else None
        states = {
            name: run.state(busy=busy and (in_hand is None or name in in_hand or bool(run.lock)))
            for name, run in self.runs.items()
        }
        rates = self._rates(agenda)
        views = [run.view(states[name], rates.get(name)) for name, run in self.runs.items()]
        is_finished = bool(states) and {*states.values()} == {"finished"}
        state: State = "finished" if is_finished else "running" if busy else "stopped"
        return ExperimentView(
            folder=str(self.folder),
            state=state,
            runs=tuple(views),
            left=_left(views) if state == "running" else None,
            command=_command(agenda, self.folder) if state == "stopped" else None,
            remarks=tuple(remarks),
            fixes=tuple(dict.fromkeys(fix for run in self.runs.values() for fix in run.fixes())),
        )

    def _names(self, agenda: Agenda | None) -> list[str]:
        """Those of its runs: all that it will have, and those that have begun."""
        begun = sorted(path.parent.name for path in self.folder.glob(f"*/{reader.CONFIG}"))
        names = dict.fromkeys([*(agenda.runs if agenda else ()), *begun])
        return [name for name in names if self.only is None or name in self.only]

    def _is_fresh(self) -> bool:
        """Whether anything of it has changed of late."""
        of_runs = any(run.is_fresh() for run in self.runs.values())
        return of_runs or _age(self.folder / reader.AGENDA) < FRESH_S

    def _rates(self, agenda: Agenda | None) -> dict[str, float]:
        """How long a round of each run takes: as before, or as in others that are like it."""
        usual = {name: run.times.usual for name, run in self.runs.items()}
        own = {name: rate for name, rate in usual.items() if rate is not None}
        planned = agenda.runs if agenda else {}
        variants = dict(zip(own, own, strict=True))
        variants |= {name: run.variant for name, run in planned.items()}
        networks = variants | {name: run.network or run.variant for name, run in planned.items()}
        alike: dict[str, list[float]] = {}
        for name, rate in own.items():
            alike.setdefault(variants[name], []).append(rate)
        means = {variant: fmean(rates) for variant, rates in alike.items()}
        return usual_of_runs(means, variants, networks) | own


class _Run:
    """A run's folder as it was at the last look."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.rounds: int | None = None
        self.lock: bool | None = False
        self._growing = GrowingRounds(home / reader.ROUNDS)
        self._begin()

    def _begin(self) -> None:
        self.done, self.fault = 0, ""
        self.curve, self.times = Curve(), Durations()
        self.last: RoundRecord | None = None
        self.trained: RoundRecord | None = None  # the last one in which anybody trained

    def look(self, until: float, rounds: int | None, *, ask: bool) -> None:
        """Read what was appended, until this time; `ask` first whether a process has it.

        It is to have so many `rounds`, if anybody says so.
        """
        self.lock = ask and self.home.is_dir() and held(self.home)
        self.rounds, self.fault = rounds or self.rounds or self._configured(), ""
        try:
            self._read(until)
        except InputError as error:
            self.fault = error.passed

    def state(self, *, busy: bool) -> State:
        """Its state at the last look, in an experiment at which a process is, or not."""
        has_all = self.unread or self.fault or self.done >= (self.rounds or 0)
        if has_all and (self.home / reader.SUMMARY).is_file():
            return "finished"
        if not busy:
            return "stopped" if self.home.is_dir() else "waiting"
        return "running" if (self.is_fresh() if self.lock is None else self.lock) else "waiting"

    def _read(self, until: float) -> None:
        while True:
            anew, records = self._growing.more()
            if anew:
                self._begin()
            for record in records:
                self._add(record)
            if not self._growing.unread or time.monotonic() >= until:
                return

    def _add(self, record: RoundRecord) -> None:
        self.done, self.last = record.round, record
        self.curve.add(record.round, record.accuracy)
        self.times.add(math.fsum(record.seconds.values()), first=record.round == 1)
        if record.samples:
            self.trained = record

    @property
    def unread(self) -> bool:
        """Whether more rounds are stored than were read."""
        return self._growing.unread

    def _configured(self) -> int | None:
        """How many rounds its configuration says, the one with which it goes on if there is one."""
        for name in (reader.MORE_ROUNDS, reader.CONFIG):
            with suppress(OSError, ValueError):
                text = content_of(self.home / name, MOST_SMALL).decode()
                rounds = tomllib.loads(text).get("rounds")
                return rounds if type(rounds) is int else None
        return None

    def is_fresh(self) -> bool:
        """Whether something in it has changed not much longer ago than a round takes."""
        return _age(self.home, self.home / reader.ROUNDS) < max(
            FRESH_S, FRESH_ROUNDS * (self.times.usual or 0)
        )

    def view(self, state: State, rate: float | None) -> RunView:
        last, trained = self.last, self.trained
        left = (
            None if rate is None or self.rounds is None else rate * max(0, self.rounds - self.done)
        )
        return RunView(
            run=self.home.name,
            state=state,
            spiking=bool(trained.firing_rates) if trained else None,
            rounds=self.rounds,
            rounds_done=self.done,
            accuracy=last.accuracy if last else None,
            loss=trained.training_loss if trained else None,
            curve=self.curve.points(),
            round_s=self.times.usual,
            left_s=left if state in ("running", "waiting") and not self.unread else None,
            unread=self.unread,
            remarks=tuple(self._remarks()),
        )

    def _remarks(self) -> Iterator[str]:
        if self.fault:
            yield self.fault
        if self.trained is not None and self.trained.training_loss is None:
            yield "the loss is not finite"
        yield from (health.finding(layer, rate) for layer, rate in self._ill())

    def _ill(self) -> list[tuple[str, float]]:
        """Layers that were dead or saturated in the last round with training, and their firing rates."""
        rates = self.trained.firing_rates if self.trained else {}
        return [(layer, rate) for layer, rate in rates.items() if health.state(rate)]

    def fixes(self) -> Iterator[str]:
        """The usual fix of each thing that is wrong."""
        if self.trained is not None and self.trained.training_loss is None:
            yield "usual fix of a loss that is not finite: lower the learning rate"
        for _, rate in self._ill():
            if wrong := health.state(rate):
                yield f"usual fix of a layer that is {wrong}: {health.CURES[wrong]}"


def _left(runs: Sequence[RunView]) -> Left:
    """How long runs still take, as many side by side as there are at it now."""
    left = [run.left_s for run in runs if run.state in ("running", "waiting")]
    seconds = [one for one in left if one is not None]
    if left and not seconds:
        return Left(None, whole=False)
    at_once = sum(run.state == "running" for run in runs)
    return Left(side_by_side(seconds, at_once), whole=None not in left)


def _age(*paths: Path) -> float:
    """How long ago the newest of them was changed, in seconds; without end where none is there."""
    changed = float("-inf")
    for path in paths:
        with suppress(OSError):
            changed = max(changed, path.stat().st_mtime)
    return time.time() - changed


def _command(agenda: Agenda | None, folder: Path) -> str | None:
    """The command that goes on with what stopped, as far as the folder says it."""
    if agenda is None:
        return None
    words = shlex.split(agenda.command)
    if words[:2] == ["fedspike", "run"]:
        usual = folder == Path("runs") / agenda.name
        return command(*words[1:], *([] if usual else ["--output", folder]))
    if words[:3] == ["fedspike", "fleet", "run"]:
        return command("fleet", "run", folder.parent)
    return agenda.command
