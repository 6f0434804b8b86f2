"""Progress as it happens: a bar on a terminal, now and then a line elsewhere."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Column

from fedspike.records import health
from fedspike.records.events import Event, Finished, Skipped, Started, Trained
from fedspike.records.schema import RoundRecord
from fedspike.records.time_left import Left, TimeLeft

DIVERGED = ("not finite", "too large")  # what replies are rejected for when their training diverged
LINE_SECONDS = 10.0  # at most one line in this time where there is no terminal


class Progress:
    """Shows the events of an experiment on stderr; a context manager, for the bar must be closed.

    What users write is shown as it is, never as markup.
    """

    def __init__(self, time_left: TimeLeft) -> None:
        self.time_left = time_left
        self.total = sum(time_left.rounds.values())
        self.console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
        in_what_is_left = Column(ratio=1, no_wrap=True, overflow="ellipsis")
        self.bar = Bar(
            BarColumn(bar_width=20 if self.console.width >= 80 else 8),
            TextColumn("{task.completed}/{task.total} rounds", markup=False),
            TextColumn("{task.description}", markup=False, table_column=in_what_is_left),
            expand=True,
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
                self.time_left.skipped(name)
                self.say(f"{name}: finished before, accuracy {summary.final_accuracy:.1%}")
            case Started(rounds_done=rounds):
                if rounds > self.time_left.done(name):  # what is not from this process
                    self.say(f"{name}: goes on after round {rounds}")
                self.time_left.started(name, rounds)
            case Trained(record=record):
                self.time_left.trained(name)
                self._round(name, record.round, describe(record))
                self._complain(name, record)
            case Finished(summary=summary):
                self.time_left.finished(name)
                words = [f"accuracy {summary.final_accuracy:.1%} after {summary.rounds} rounds"]
                if summary.skipped_rounds:
                    words.append(f"of which {summary.skipped_rounds} were skipped")
                if rejected := sum(summary.rejected.values()):
                    words.append(f"{rejected} replies rejected")
                self.say(f"{name}: {', '.join([*words, clock(summary.seconds)])}")
        self.bar.update(self.task, completed=self.time_left.rounds_done)

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
        text = f"{remaining(self.time_left.left())} | {run} round {number}: {words}"
        self.bar.update(self.task, description=text)
        now = time.monotonic()
        if not self.console.is_terminal and (number == 1 or now - self.last_line >= LINE_SECONDS):
            self.last_line = now
            self.say(f"{self.time_left.rounds_done}/{self.total} rounds, {text}")


def remaining(left: Left) -> str:
    """The time that is left, in words; with "more than" where the speed of some runs is not known yet.

    >>> remaining(Left(200.0, whole=False))
    'more than 3 min 20 s left'
    """
    if left.seconds is None or (left.seconds < 1 and not left.whole):
        return "unknown time left"
    return f"{'' if left.whole else 'more than '}{clock(left.seconds)} left"


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
