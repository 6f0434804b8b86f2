"""What a node says that it did, held against what it was asked and what its network can do.

Counts of a round are added up, priced and stored; one that no network can reach would spoil them for good. A
node that lies within the bounds is believed, as in guard.py.
"""

from collections.abc import Mapping, Sequence

from fedspike.algorithms.trees import count_bytes
from fedspike.errors import InputError
from fedspike.federation.client_numbers import spelled
from fedspike.federation.order import Exam, Order
from fedspike.federation.places.flower.messages import (
    BESIDE_NUMBERS,
    SAME_VERSION,
    ExamReport,
    Report,
)
from fedspike.layers.activity import Activity
from fedspike.layers.operations import NetworkOperations
from fedspike.rules import MOST_PARTS

MOST_PASSES = 1000  # over a sample that is shown once: learners of one's own may need several
MOST_LOSS = 1e30  # sums of a round's losses stay finite


class NotFinite(InputError):
    """A loss that is not finite, or as good as that: the training diverged."""


def most_bytes(order: Order, clients: Sequence[int]) -> int:
    """The bytes of an answer for these clients at most: sums are in float64, of a few parts."""
    sizes = [count_bytes(order.forms[client]) for client in clients]
    sums = 2 * MOST_PARTS * max(sizes) if len(sizes) > 1 else 0
    return sums + sum(2 * size + BESIDE_NUMBERS for size in sizes)


def demand_plausible(report: Report, clients: Sequence[int], order: Order) -> None:
    """Raise InputError where a report is not about what was asked, or says what cannot have been."""
    told = report.samples.keys()
    if not told <= set(clients) or not told == report.activity.keys() == report.losses.keys():
        raise InputError(
            f"an answer for the clients {spelled(told)}",
            expected=f"one for those that were asked, {spelled(clients)}, or some of them",
            fix=SAME_VERSION,
        )
    if "training" not in report.seconds:
        raise InputError(
            "an answer without seconds", expected="those of training", fix=SAME_VERSION
        )
    site, learner = order.site, order.site.learner
    for client, activity in report.activity.items():
        shown = min(report.samples[client], order.samples[client]) * learner.epochs
        network = site.operations.of(client)
        if fault := _impossible(activity, network, shown, steps=learner.takes_gradients):
            raise InputError(
                f"{fault} of client {client}",
                expected="counts that its network and its samples can have",
                fix=SAME_VERSION,
            )
    for client, loss in report.losses.items():
        if not abs(loss) <= MOST_LOSS:
            raise NotFinite(
                f"a loss of {loss} of client {client}",
                expected=f"a loss up to {MOST_LOSS:g}",
                fix="lower the learning rate",
            )


def demand_tested(report: ExamReport, samples: Mapping[int, int], exam: Exam) -> None:
    """Raise InputError where a report is not about this exam of so many samples, or says what cannot be."""
    if report.round != exam.round or report.activity.keys() != samples.keys():
        raise InputError(
            f"an answer to an exam of round {report.round}, for the clients {spelled(report.activity)}",
            expected=f"one of round {exam.round}, for {spelled(samples)}",
            fix=SAME_VERSION,
        )
    for client, activity in report.activity.items():
        fault = _impossible(activity, exam.site.operations.of(client), samples[client], steps=False)
        if activity.samples != samples[client] or activity.steps or activity.updates:
            fault = f"{activity.samples} samples in {activity.steps} steps"
        if fault:
            raise InputError(
                f"{fault} in the test of client {client}",
                expected="counts that its network and its samples can have",
                fix=SAME_VERSION,
            )


def _impossible(activity: Activity, network: NetworkOperations, shown: int, *, steps: bool) -> str:
    """What a client that was shown so many samples cannot have done; empty if nothing is wrong.

    It makes `steps` of an optimiser, or may make none.
    """
    if (
        not 1 <= activity.samples <= MOST_PASSES * shown
        or not int(steps) <= activity.steps <= activity.samples
    ):
        return f"{activity.samples} samples in {activity.steps} steps"
    entered, layers = network.entered, network.layers
    if activity.events_in.keys() != set(entered) or not activity.synapses_met.keys() <= set(
        entered
    ):
        return "counts of other layers"
    if not activity.updates.keys() <= set(entered):
        return "updates of other layers"
    times = activity.samples * (network.time_steps or 1)
    for name, events in activity.events_in.items():
        if not 0 <= events <= times * layers[name].inputs:
            return f"{events} events in {name}"
    for name, updates in activity.updates.items():
        # At each step, and once more when the sample is over.
        if not 0 <= updates <= (times + activity.samples) * layers[name].synapses:
            return f"{updates} updates in {name}"
    for name, met in activity.synapses_met.items():
        events, layer = activity.events_in[name], layers[name]
        if not events * layer.least_met <= met <= events * layer.most_met:
            return f"{met} synapses met in {name}"
    if not 0 <= activity.events_out <= times * layers[entered[-1]].outputs:
        return f"{activity.events_out} events out"
    rates = activity.firing_rates(network)
    return "" if all(0 <= rate <= 1 for rate in rates.values()) else f"firing rates {rates}"
