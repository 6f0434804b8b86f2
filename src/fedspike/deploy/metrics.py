"""A fleet's status as Prometheus reads it, from the server itself.

The form is Prometheus' text format 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats), the
names follow https://prometheus.io/docs/practices/naming: base units, and `_total` for what only grows.
"""

import threading
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Literal, NamedTuple, get_args

from starlette.responses import PlainTextResponse, Response

from fedspike.deploy import control
from fedspike.deploy.control_client import presences
from fedspike.deploy.folder import FleetFolder
from fedspike.deploy.status import Observer, View
from fedspike.errors import InputError
from fedspike.records.fleet_status import NodeStatus, Status, Training

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
ESCAPED = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
Values = Sequence[tuple[dict[str, str], float | None]]


class Family(NamedTuple):
    """A metric: its name, its type, what it is, and its values by their labels; None is left out."""

    name: str
    kind: Literal["gauge", "counter"]
    text: str
    values: Values

    def lines(self) -> Iterator[str]:
        """The metric as text.

        >>> of_run = {"run": 'a "b"'}
        >>> print(*Family("x_seconds", "gauge", "One.", [(of_run, 0.5), ({}, 3)]).lines(), sep="\\n")
        # HELP x_seconds One.
        # TYPE x_seconds gauge
        x_seconds{run="a \\"b\\""} 0.5
        x_seconds 3.0
        """
        yield f"# HELP {self.name} {self.text}"
        yield f"# TYPE {self.name} {self.kind}"
        for labels, value in self.values:
            if value is not None:
                pairs = ",".join(
                    f'{key}="{word.translate(ESCAPED)}"' for key, word in labels.items()
                )
                yield f"{self.name}{f'{{{pairs}}}' if pairs else ''} {float(value)!r}"


class Metrics:
    """The page of a running server; one is made at a time, whoever asks."""

    def __init__(self, folder: FleetFolder) -> None:
        self._folder, self._turn = folder, threading.Lock()

    def page(self, state: Any) -> Response:
        """The page, from the folder and Flower's state; with status 500 and the reason where that fails."""
        try:
            with self._turn:
                text = render(self._observer.status(self._view(state)))
        except (InputError, OSError) as error:
            return PlainTextResponse(f"the fleet's folder cannot be read: {error}\n", 500)
        return Response(text, media_type=CONTENT_TYPE)

    @cached_property
    def _observer(self) -> Observer:
        """With the experiment, which stays as it is while its server runs."""
        return Observer(self._folder, self._folder.experiment.rounds)

    def _view(self, state: Any) -> View:
        number, training = control.run_id(self._folder), ("", "")
        for run in [] if number is None else state.get_run_info(run_ids=[number]):
            training = run.status.status, run.status.sub_status
        return View(training, presences(state.get_node_info()))


def render(now: Status) -> str:
    """All metrics as text."""
    families = (*_of_training(now), *_of_nodes(now.nodes))
    return "".join(f"{line}\n" for family in families for line in family.lines())


def _of_training(now: Status) -> Iterator[Family]:
    states = [({"state": one}, one == now.training) for one in get_args(Training)]
    runs = [({"run": run.run}, run) for run in now.runs]
    parts = [
        ({**of, "part": part}, spent) for of, run in runs for part, spent in run.seconds.items()
    ]
    gauges: list[tuple[str, str, Values]] = [
        ("training_state", "1 for the state that the training is in.", states),
        ("round", "Rounds that are done.", [(of, run.rounds_done) for of, run in runs]),
        ("rounds", "Rounds that the run has.", [(of, run.rounds) for of, run in runs]),
        ("accuracy_ratio", "After the newest round.", [(of, run.accuracy) for of, run in runs]),
        ("round_seconds", "Seconds of the newest round, by part.", parts),
        ("clients_awaited", "Clients that are waited for.", [({}, len(now.waiting_for))]),
    ]
    for name, text, values in gauges:
        yield Family(f"fedspike_{name}", "gauge", text, values)


def _of_nodes(all_nodes: Sequence[NodeStatus]) -> Iterator[Family]:
    nodes = [({"node": node.node}, node) for node in all_nodes]
    last_seen = [(of, node.last_seen.timestamp() if node.last_seen else None) for of, node in nodes]
    held = [(of, sum(node.samples.values())) for of, node in nodes]
    up = [(of, None if node.revoked else node.online) for of, node in nodes]
    joules = [({**of, "sensor": one}, j) for of, node in nodes for one, j in node.joules.items()]
    gauges: list[tuple[str, str, Values]] = [
        ("up", "1 for a node that is there.", up),
        ("last_seen_timestamp_seconds", "When the server last heard of the node.", last_seen),
        ("refused", "1 for one that takes no part.", [(of, bool(n.refused)) for of, n in nodes]),
        ("clients", "Clients that live on the node.", [(of, len(n.clients)) for of, n in nodes]),
        ("samples", "Samples that they hold.", held),
        ("samples_per_second", "Of training.", [(of, n.samples_per_second) for of, n in nodes]),
    ]
    counters: list[tuple[str, str, Values]] = [
        ("rounds_total", "Rounds that the node answered.", [(of, n.rounds) for of, n in nodes]),
        ("failed_rounds_total", "Rounds that it did not.", [(of, n.failed) for of, n in nodes]),
        ("joules_total", "What its sensors counted while it trained.", joules),
    ]
    for name, text, values in gauges:
        yield Family(f"fedspike_node_{name}", "gauge", text, values)
    for name, text, values in counters:
        yield Family(f"fedspike_node_{name}", "counter", text, values)
