"""A run's records on their way to a tracker: afterwards, or live while they are stored.

Whatever stands in the run's folder is sent and what the tracker has already is not: asked again, or after
a break, it gets what is new. Its own records say what it has.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from itertools import islice
from pathlib import Path

import msgspec

from fedspike.errors import InputError
from fedspike.experiment import document
from fedspike.files import claimed
from fedspike.reading import nearest
from fedspike.records import reader, stored_rounds
from fedspike.records.events import Event, Finished, Skipped, Started, Trained
from fedspike.records.schema import RoundRecord, RunSummary
from fedspike.records.stored_rounds import StoredRounds
from fedspike.shell import command
from fedspike.trackers import record_metrics
from fedspike.trackers.tracker import About, Tracker

BESIDE = "trackers"  # the folder beside those of experiments
IN_USE = ".in-use"  # has a folder for each run, held while it is sent, so that nobody else sends it


class Feed:
    """A run in a tracker, opened, with all that is stored of it so far. To be closed.

    Raises InputError where the run's folder cannot be read, where another process sends the same run, and
    where the tracker fails.
    """

    def __init__(self, tracker: Tracker, home: Path, into: Path) -> None:
        records, about = stored(home)
        self.tracker, self.rounds, self.final = tracker, 0, False
        with ExitStack() as stack:
            busy = claimed(into / IN_USE / about.id, into, fix="wait for the other one")
            stack.enter_context(busy)
            for name, value in tracker.quiet.items():
                os.environ.setdefault(name, value)
            with failing(tracker):
                self._tracked = tracker.open(about, into)
                stack.callback(self._close)
                self._last = self._tracked.last(record_metrics.ROUND)
                self._last_final = self._tracked.last(record_metrics.FINAL)
            for record in islice(records, self._last, None):
                self.add(record)
            self._stack = stack.pop_all()

    def add(self, record: RoundRecord) -> None:
        """A round that is stored; nothing, if the tracker has it."""
        if record.round > self._last:
            with failing(self.tracker):
                self._tracked.add(record.round, record_metrics.of_round(record))
            self._last, self.rounds = record.round, self.rounds + 1

    def end(self, summary: RunSummary) -> None:
        """The run is finished, unless there are more rounds than its summary is of."""
        if summary.rounds < self._last:
            return
        if summary.rounds > self._last_final:
            with failing(self.tracker):
                self._tracked.add(summary.rounds, record_metrics.of_run(summary))
            self._last_final = summary.rounds
        self.final = True

    def close(self) -> None:
        """The tracker keeps what it got."""
        self._stack.close()

    def _close(self) -> None:
        with failing(self.tracker):
            self._tracked.close(self.final)


def stored(home: Path) -> tuple[StoredRounds, About]:
    """The rounds of a run, finished or not, and what it is.

    Its id is a hash of its name and its first record, which has the times of this training: it stays when the
    run goes on, is copied or gets more rounds. Raises InputError where no round is stored.
    """
    path = home / reader.ROUNDS
    records = stored_rounds.unread(path) if path.exists() else StoredRounds(path)
    if not records:
        raise InputError(
            f"{home}: no round is stored yet",
            expected="a run with a round, at least",
            fix="let it train, then ask again",
        )
    config = document.read(home / reader.CONFIG).values
    first = msgspec.json.encode([home.name, msgspec.to_builtins(records[0], str_keys=True)])
    return records, About(
        hashlib.sha256(first).hexdigest()[:32],
        str(config.pop("name")),
        home.name,
        {name: record_metrics.setting(value) for name, value in document.leaves(config).items()},
    )


def homes(folder: Path) -> list[Path]:
    """The folders of the runs in a folder, which is an experiment's or a run's.

    Raises InputError where there is none.
    """
    if (folder / reader.CONFIG).exists():
        return [folder]
    if inside := sorted(path.parent for path in folder.glob(f"*/{reader.CONFIG}")):
        return inside
    beside = {path.parent.parent.name for path in folder.parent.glob(f"*/*/{reader.CONFIG}")}
    raise InputError(
        f"{folder}: {'no run is in it' if folder.exists() else 'no such folder'}",
        expected="the folder of an experiment or of a run, such as runs/study",
        fix=nearest(folder.name, beside, "name a folder that `fedspike run` wrote to"),
    )


def place(tracker: Tracker, folder: Path, into: Path | None = None) -> Path:
    """Where a tracker has the runs of a folder: `into` this one, or beside that of their experiment."""
    if into is not None:
        return into.absolute()
    own = Path(os.path.normpath(folder.absolute()))
    return (own.parent if (own / reader.CONFIG).exists() else own).parent / BESIDE / tracker.kind


def send(tracker: Tracker, home: Path, into: Path) -> tuple[int, bool]:
    """Send what a tracker does not have of a run: how many rounds that were, and whether the run is finished.

    Raises what `Feed` raises.
    """
    summary = reader.run(home)
    with closing(Feed(tracker, home, into)) as feed:
        if summary is not None:
            feed.end(summary)
        return feed.rounds, feed.final


class Live:
    """Trackers that get the runs of an experiment while they are trained; a context manager.

    One that fails is left out from then on: `say` hears it once, and the training goes on.
    """

    def __init__(
        self, trackers: Sequence[Tracker], folder: Path, say: Callable[[str], None]
    ) -> None:
        self.fed, self._folder, self._say = [*trackers], folder, say
        self._feeds: dict[tuple[str, str], Feed] = {}

    def __enter__(self) -> "Live":
        return self

    def __exit__(self, *_: object) -> None:
        for tracker in [*self.fed]:
            with self._said(tracker):
                for name in [run for kind, run in self._feeds if kind == tracker.kind]:
                    self._feeds.pop((tracker.kind, name)).close()

    def show(self, event: Event) -> None:
        """Something happened, and is stored."""
        for tracker in [*self.fed]:
            with self._said(tracker):
                self._tell(tracker, event)

    def _tell(self, tracker: Tracker, event: Event) -> None:
        home, into = self._folder / event.run, place(tracker, self._folder)
        match event:
            case Skipped():
                send(tracker, home, into)
            case Trained(record=record):
                self._feed(tracker, home, into).add(record)
            case Finished(summary=summary):
                feed = self._feed(tracker, home, into)
                feed.end(summary)
                del self._feeds[tracker.kind, home.name]
                feed.close()
            case Started():
                return

    def _feed(self, tracker: Tracker, home: Path, into: Path) -> Feed:
        name = tracker.kind, home.name
        if name not in self._feeds:
            self._feeds[name] = Feed(tracker, home, into)
        return self._feeds[name]

    @contextmanager
    def _said(self, tracker: Tracker) -> Iterator[None]:
        try:
            yield
        except InputError as error:
            self.fed.remove(tracker)
            again = command("track", self._folder, "--to", tracker.kind)
            self._say(f"{error}\nThe training goes on without it; to send the rest later: {again}")


@contextmanager
def failing(tracker: Tracker) -> Iterator[None]:
    """Whatever a tracker's package raises is no defect of ours: it becomes an InputError."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{tracker.title} failed: {type(error).__name__}: {error}",
            expected="a tracker that takes what it is told",
            fix=f"see what its message says, and whether its server or folder can be reached; "
            f"or pip install -U 'fedspike[{tracker.kind}]'",
        ) from error
