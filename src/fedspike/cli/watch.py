"""Progress as it happens: a bar on a terminal, now and then a line elsewhere."""

import math
import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from fedspike.experiment.sweep import Run
from fedspike.records import health
from fedspike.records.events import Event, Finished, Record, Skipped, Started, Trained

DIVERGED = ("not finite", "too large")  # what replies are rejected for when their training diverged
LINE_SECONDS = 10.0  # at most one line in this time where there is no terminal


class Watch:
    """Shows the events of an experiment on stderr; a context manager, for the bar must be closed.

    What users write is shown as it is, never as markup.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self.left = {run.name: run.settings.rounds for run in runs}
        self.networks = {run.name: run.settings.network for run in runs}
        self.total, self.rates = sum(self.left.values()), Rates()
        self.console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
        self.progress = Progress(
            BarColumn(bar_width=20),
            TextColumn("{task.completed}/{task.total} rounds", markup=False),
            TextColumn("{task.description}", markup=False),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.task = self.progress.add_task("", total=self.total)
        self.said = float("-inf")
        self.complained: set[tuple[str, str]] = set()  # run, and layer or what else was wrong

    def __enter__(self) -> "Watch":
        self.progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.progress.stop()

    def say(self, text: str) -> None:
        """Show a line of text."""
        self.console.print(text)

    def show(self, event: Event) -> None:
        """Show what happened."""
        name = event.run.name
        match event:
            case Skipped(summary=summary):
                self.left[name] = 0
                self.say(f"{name}: finished before, accuracy {summary['final_accuracy']:.1%}")
            case Started(rounds_done=done):
                self.left[name] = event.run.settings.rounds - done
                self.rates.begin(event.run.settings.network)
                if done:
                    self.say(f"{name}: goes on after round {done}")
            case Trained(record=record):
                self.left[name] -= 1
                self.rates.count()
                self._round(event.run, record["round"], describe(record))
                self._complain(event.run, record)
            case Finished(summary=summary):
                words = [
                    f"accuracy {summary['final_accuracy']:.1%} after {summary['rounds']} rounds"
                ]
                if skipped := summary["skipped_rounds"]:
                    words.append(f"of which {skipped} were skipped")
                if rejected := sum(summary["rejected"].values()):
                    words.append(f"{rejected} replies rejected")
                self.say(f"{name}: {', '.join([*words, clock(summary['seconds'])])}")
        self.progress.update(self.task, completed=self.total - sum(self.left.values()))

    def _complain(self, run: Run, record: Record) -> None:
        """Say once of each layer that it is dead or saturated, and of each reason for a rejection."""
        complaints = refusals(record)
        for layer, rate in record["firing_rates"].items():
            if complaint := health.complaint(layer, rate):
                complaints[layer] = complaint
        for about, complaint in complaints.items():
            if (run.name, about) not in self.complained:
                self.complained.add((run.name, about))
                self.say(f"{run.name} round {record['round']}: {complaint}")

    def _round(self, run: Run, number: int, words: str) -> None:
        left = self.rates.left([(self.networks[name], n) for name, n in self.left.items() if n])
        text = f"{left} left | {run.name} round {number}: {words}"
        self.progress.update(self.task, description=text)
        now = time.monotonic()
        if not self.console.is_terminal and (number == 1 or now - self.said >= LINE_SECONDS):
            self.said = now
            done = self.total - sum(self.left.values())
            self.say(f"{done}/{self.total} rounds, {text}")


class Rates:
    """How long a round takes, for each kind of network, as measured so far."""

    def __init__(self) -> None:
        self.measured: dict[str, tuple[int, float]] = {}
        self.network, self.since = "", time.monotonic()

    def begin(self, network: str) -> None:
        """Rounds of this network follow."""
        self.network, self.since = network, time.monotonic()

    def count(self) -> None:
        """A round is over."""
        now = time.monotonic()
        rounds, seconds = self.measured.get(self.network, (0, 0.0))
        self.measured[self.network] = (rounds + 1, seconds + now - self.since)
        self.since = now

    def left(self, rounds: Sequence[tuple[str, int]]) -> str:
        """The time that so many rounds of each network need, or what is known of it so far."""
        known = [(n, *self.measured[network]) for network, n in rounds if network in self.measured]
        seconds = math.fsum(n * spent / done for n, done, spent in known)
        if len(known) == len(rounds):
            return clock(seconds)
        return f"over {clock(seconds)}" if known else "unknown time"


def describe(record: Record) -> str:
    """A round in a few words."""
    loss = record["training_loss"]
    words = [f"accuracy {record['accuracy']:.1%}"]
    if not record["samples"]:
        words.append("nobody trained")
    else:
        words.append("loss not finite" if loss is None else f"loss {loss:.3g}")
    if record["firing_rates"]:
        each = [f"{layer} {rate:.1%}" for layer, rate in record["firing_rates"].items()]
        words.append(f"firing {', '.join(each)}")
    return ", ".join([*words, f"{sum(record['seconds'].values()):.2f} s"])


def refusals(record: Record) -> dict[str, str]:
    """What the guard refused in a round: a sentence for each reason, and one if the round was skipped.

    >>> nan = {"sender": 3, "reason": "not finite", "detail": "update output.bias has a value nan"}
    >>> for sentence in refusals({"rejected": [nan], "missing": [], "skipped": False}).values():
    ...     print(sentence)
    rejected client 3: not finite (update output.bias has a value nan). Usual fix: lower the learning rate
    """
    found: dict[str, str] = {}
    for refused in record["rejected"]:
        sender, reason, detail = (refused[name] for name in ("sender", "reason", "detail"))
        sentence = f"rejected client {sender}: {reason} ({detail})"
        fix = ". Usual fix: lower the learning rate" if reason in DIVERGED else ""
        found.setdefault(f"rejected: {reason}", sentence + fix)
    if record["skipped"]:
        found["skipped"] = (
            f"skipped, for too few clients were accepted ({len(record['rejected'])} rejected, "
            f"{len(record['missing'])} missing); the model stays as it was"
        )
    return found


def clock(seconds: float) -> str:
    """A time to read: 7 s, 3 min 20 s, 1 h 5 min.

    >>> clock(200.0)
    '3 min 20 s'
    """
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
