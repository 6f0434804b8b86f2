"""Progress as it happens: a bar on a terminal, now and then a line elsewhere."""

import math
import time
from collections.abc import Mapping, Sequence
from statistics import mean
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from fedspike.records import health
from fedspike.records.events import Event, Finished, Skipped, Started, Trained
from fedspike.records.schema import RoundRecord

DIVERGED = ("not finite", "too large")  # what replies are rejected for when their training diverged
LINE_SECONDS = 10.0  # at most one line in this time where there is no terminal


class Progress:
    """Shows the events of an experiment on stderr; a context manager, for the bar must be closed.

    `rounds` and `variants` are by the name of a run: how many rounds it has, and what is the same where runs
    take as long. What users write is shown as it is, never as markup.
    """

    def __init__(self, rounds: Mapping[str, int], variants: Mapping[str, str]) -> None:
        self.rounds, self.variants = rounds, variants
        self.left, self.rates = dict(self.rounds), Rates()
        self.total = sum(self.left.values())
        self.console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
        self.bar = Bar(
            BarColumn(bar_width=20),
            TextColumn("{task.completed}/{task.total} rounds", markup=False),
            TextColumn("{task.description}", markup=False),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.task = self.bar.add_task("", total=self.total)
        self.last_line = float("-inf")
        self.complained: set[tuple[str, str]] = set()  # run, and layer or what else was wrong

    def __enter__(self) -> "Progress":
        self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.stop()

    def say(self, text: str) -> None:
        """Show a line of text."""
        self.console.print(text)

    def show(self, event: Event) -> None:
        """Show what happened."""
        name = event.run
        match event:
            case Skipped(summary=summary):
                self.left[name] = 0
                self.say(f"{name}: finished before, accuracy {summary.final_accuracy:.1%}")
            case Started(rounds_done=rounds):
                if rounds > self.rounds[name] - self.left[name]:  # what is not from this process
                    self.say(f"{name}: goes on after round {rounds}")
                self.left[name] = self.rounds[name] - rounds
            case Trained(record=record):
                self.left[name] -= 1
                self.rates.count(self.variants[name])
                self._round(name, record.round, describe(record))
                self._complain(name, record)
            case Finished(summary=summary):
                words = [f"accuracy {summary.final_accuracy:.1%} after {summary.rounds} rounds"]
                if summary.skipped_rounds:
                    words.append(f"of which {summary.skipped_rounds} were skipped")
                if rejected := sum(summary.rejected.values()):
                    words.append(f"{rejected} replies rejected")
                self.say(f"{name}: {', '.join([*words, clock(summary.seconds)])}")
        self.rates.begin()
        self.bar.update(self.task, completed=self.total - sum(self.left.values()))

    def _complain(self, run: str, record: RoundRecord) -> None:
        """Say once of each layer that it is dead or saturated, and of each reason for a rejection."""
        complaints = refusals(record)
        for layer, rate in record.firing_rates.items():
            if complaint := health.complaint(layer, rate):
                complaints[layer] = complaint
        for about, complaint in complaints.items():
            if (run, about) not in self.complained:
                self.complained.add((run, about))
                self.say(f"{run} round {record.round}: {complaint}")

    def _round(self, run: str, number: int, words: str) -> None:
        left = self.rates.left([(self.variants[name], n) for name, n in self.left.items() if n])
        text = f"{left} left | {run} round {number}: {words}"
        self.bar.update(self.task, description=text)
        now = time.monotonic()
        if not self.console.is_terminal and (number == 1 or now - self.last_line >= LINE_SECONDS):
            self.last_line = now
            finished = self.total - sum(self.left.values())
            self.say(f"{finished}/{self.total} rounds, {text}")


class Rates:
    """How long a round takes, for each variant of a run, as measured so far."""

    def __init__(self) -> None:
        self.measured: dict[str, list[float]] = {}
        self.since = time.monotonic()

    def begin(self) -> None:
        """A round begins, of whichever run."""
        self.since = time.monotonic()

    def count(self, variant: str) -> None:
        """A round of this variant is over."""
        self.measured.setdefault(variant, []).append(time.monotonic() - self.since)

    def left(self, rounds: Sequence[tuple[str, int]]) -> str:
        """The time that so many rounds of each variant need, or what is known of it so far.

        First rounds take longer than the others and count only where there is no other.
        """
        timed = [(n, self.measured[one]) for one, n in rounds if one in self.measured]
        seconds = math.fsum(n * mean(spent[1:] or spent) for n, spent in timed)
        if len(timed) == len(rounds):
            return clock(seconds)
        return f"over {clock(seconds)}" if timed else "unknown time"


def describe(record: RoundRecord) -> str:
    """A round in a few words."""
    loss = record.training_loss
    words = [f"accuracy {record.accuracy:.1%}"]
    if not record.samples:
        words.append("nobody trained")
    else:
        words.append("loss not finite" if loss is None else f"loss {loss:.3g}")
    if record.firing_rates:
        each = [f"{layer} {rate:.1%}" for layer, rate in record.firing_rates.items()]
        words.append(f"firing {', '.join(each)}")
    return ", ".join([*words, f"{sum(record.seconds.values()):.2f} s"])


def refusals(record: RoundRecord) -> dict[str, str]:
    """What went wrong in a round: a sentence for each node and each reason, and one if it was skipped.

    Of a node that was asked nothing there is none: that it takes no part is said when it begins.
    """
    sentences: dict[str, str] = {}
    for node in record.nodes:
        if node.error is not None and node.clients:
            sentences[f"{node.node}: {node.error}"] = f"{node.node}: {node.error}"
    for reply in record.rejected:
        sentence = f"rejected client {reply.sender}: {reply.reason} ({reply.detail})"
        fix = ". Usual fix: lower the learning rate" if reply.reason in DIVERGED else ""
        sentences.setdefault(f"rejected: {reply.reason}", sentence + fix)
    if record.skipped:
        sentences["skipped"] = (
            f"skipped, because too few clients were accepted ({len(record.rejected)} rejected, "
            f"{len(record.missing)} missing); the model stays as it was"
        )
    return sentences


def clock(seconds: float) -> str:
    """A time to read: 7 s, 3 min 20 s, 1 h 5 min.

    >>> clock(200.0)
    '3 min 20 s'
    """
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
