"""The rounds of a fleet, wherever its clients are trained, as an iterator.

    for round in rounds(plan):
        print(round.number, round.accuracy)

Logging, checkpoints and early stopping are ordinary code in that loop. `round.state` is all that the next
round needs: pass it back as `state` and the rounds go on with the same bits.
"""

import math
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from time import perf_counter
from typing import Any

import torch

from fedspike.algorithms import Algorithm, Tree, reply_form, trees
from fedspike.energy import pricing
from fedspike.energy.bill import Bill
from fedspike.energy.counts import synaptic
from fedspike.energy.levels import Level
from fedspike.energy.recorded import Recorded, by_clients, shares
from fedspike.engine.choice import demand_device
from fedspike.errors import InputError
from fedspike.federation import room
from fedspike.federation.clocks.clock import Spent
from fedspike.federation.cohort import Site
from fedspike.federation.evaluation import Examined, Tests, consensus_distance, evaluate, tested
from fedspike.federation.guard import (
    Rejection,
    Verdict,
    form_fault,
    joined,
    judge,
    number_fault,
)
from fedspike.federation.kept import Kept
from fedspike.federation.memories import Memories
from fedspike.federation.order import Answers, Order, Place, demand_place
from fedspike.federation.places.here import Here
from fedspike.federation.plan import Plan, demand_plan
from fedspike.federation.state import STATE_FIX, AtWork, State
from fedspike.layers.activity import Activity, firing_rates
from fedspike.layers.operations import NetworkOperations, Operations
from fedspike.part import demand_fit, within
from fedspike.randomness import stream

__all__ = ["Round", "rounds"]  # what `import fedspike` gives


@dataclass(frozen=True)
class Round:
    """What one round did.

    `activity` is what each client that took part did to train, and `tested` what the server did to test
    the new model. `spikes`, `operations` and, by layer, `firing_rates` are of the training, over all clients;
    operations and rates are empty where a module has layers that are not counted, rates if nobody trained.

    `rejections` are the replies that the guard refused: their clients trained and sent, but touched neither
    the model nor the `training_loss`, which is nan where nobody was accepted. `missing` clients dropped out.
    In a `skipped` round too few were accepted, and the server's state is that of the round before. `nodes`
    is the ledger of real devices, an entry for each node that was asked; see deploy/.

    Where a round does not wait for all, `at_work` are the clients that it did not wait for, and `staleness`
    says how many rounds ago an accepted client received its model, where that was not in this round.

    `uplink_bytes` is what was sent, and `unpacked_bytes` what the server made of that, where it was packed.

    Where there is simulated time, the round took `duration_s`, and `spent` says what each answer took.

    Where there is no server, `consensus_distance` says how far the clients' models are from their mean.

    Where clients train networks of different size, `sizes` has the accuracy of the new model's part that each
    size but the whole one holds, under the size's name.
    """

    number: int
    state: State
    accuracy: float
    training_loss: float
    activity: dict[int, Activity]
    tested: Activity
    spikes: dict[str, int]
    operations: Operations
    firing_rates: dict[str, float]
    uplink_bytes: int
    downlink_bytes: int
    seconds: dict[str, float]
    rejections: tuple[Rejection, ...]
    missing: tuple[int, ...]
    skipped: bool
    at_work: tuple[int, ...]
    staleness: dict[int, int]
    network: NetworkOperations
    sizes: dict[str, float]
    nodes: tuple[dict[str, Any], ...] = ()
    unpacked_bytes: int | None = None
    spent: dict[int, Spent] = field(default_factory=dict)
    duration_s: float | None = None
    consensus_distance: float | None = None

    def bill(self, profile: str, level: Level = "memory") -> Bill:
        """Modelled energy of the round's training, over all clients.

        The profile is one that ships, or a TOML file of your own. Raises InputError for an unknown profile or
        level, and where no layer of the network is counted.
        """
        profile = within("bill: profile", profile, str, 'write "horowitz45-int8", or "mine.toml"')
        level = within("bill: level", level, str, 'write "memory"')
        prices, up_to = pricing.profile(profile), pricing.level(level)
        if not self.network.layers:
            raise InputError(
                "a bill of a network of which no layer is counted",
                expected="layers that are counted",
                fix="see docs/own-networks.md for what is counted",
            )
        if not self.activity:
            nothing = Recorded(self.network, _nothing(self.tested))
            return nothing.bill(nothing.counts, prices, up_to)
        recorded = by_clients(self.network, self.activity.items())
        return recorded.bill(recorded.counts, prices, up_to)

    @property
    def clients(self) -> tuple[int, ...]:
        """The clients that took part."""
        return tuple(self.activity)

    @property
    def samples(self) -> int:
        """Samples trained on, once for each epoch."""
        return sum(work.samples for work in self.activity.values())


def rounds(
    plan: Plan,
    place: Place | None = None,
    state: State | None = None,
    *,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Iterator[Round]:
    """Yield the rounds up to the plan's last, from the start or from a `state` reached before.

    Clients are trained at the `place`, by default in this process. There, and to test the model, torch
    computes on `device`; the server and its states stay on the CPU. Accuracy is a fraction of all test
    images. Raises InputError, before any work, if the plan's parts do not fit together,
    or need more memory than this machine has, and for another `dtype` than float32 and float64.
    """
    demand_plan(plan)
    place = Here() if place is None else place
    demand_place(place)
    demand_device(device, dtype)
    plan = plan.loaded().fitted()
    site = plan.site(device, dtype)
    network = site.network
    room.demand(room.training(plan, network, site.devices.cohort_size))
    tests = Tests.of(plan, site, plan.data.x_test, dtype, device)
    if state is None:
        state = State(0, _start(plan, site, dtype))
    else:
        demand_state(plan, site, state, dtype)
        start = _start(plan, site, dtype)
        past = {round: trees.in_order(start, server) for round, server in state.past.items()}
        state = replace(state, server=trees.in_order(start, state.server), past=past)
    state = _with_newcomers(site, state)
    for number in range(state.round + 1, plan.rounds + 1):
        began = perf_counter()
        order = order_for(plan, site, state, number)
        answers = order.sorted(place.work(order))
        verdict = judge(order, answers)
        state = _after(order, state, answers, verdict)
        spent = sum(answers.seconds.values())
        aggregation = max(0.0, perf_counter() - began - spent)
        yield _tested(site, tests, state, answers, verdict, aggregation, place)


def demand_state(plan: Plan, site: Site, state: State, dtype: torch.dtype = torch.float32) -> None:
    """Raise InputError where a plan cannot go on from a state: of another form, or not finite."""
    fits = isinstance(state, State)
    demand_fit("state", state, fits, expected="a State", fix=STATE_FIX)
    algorithm, start = site.algorithm, _start(plan, site, dtype)
    clients, wrong = len(site.devices.shards), ""
    for server in (state.server, *state.past.values()):
        if fault := form_fault(start, server) or number_fault(start, server):
            wrong = fault[1]
    if state.past and algorithm.waits_for is None:
        wrong = wrong or "clients are at work, and its algorithm waits for all"
    wrong = wrong or state.fault(clients)
    memories = Memories.of(state.clients)
    for client in (
        memories.loose() if not wrong else ()
    ):  # others are stored, and checked where they are
        ordered = algorithm.order(trees.in_order(start, state.server), client)
        remembers = algorithm.remember(ordered)
        if fault := form_fault(remembers, memories[client]):
            wrong = f"of client {client}, {fault[1]}"
            break
    if wrong:
        raise InputError(
            f"a state that is not of this plan: {wrong}",
            expected="a state that rounds of this plan reached",
            fix="begin without a state",
        )


def _start(plan: Plan, site: Site, dtype: torch.dtype) -> Tree:
    """What the server has before the first round."""
    model = site.network.init(stream(plan.seed, "init"))
    return site.algorithm.start({name: weight.to(dtype) for name, weight in model.items()})


def _with_newcomers(site: Site, state: State) -> State:
    """The state of a fleet with open seats, of which some may have been taken since it was reached."""
    members, before, server = len(site.devices.members), state.members, state.server
    if not site.devices.open_seats or before == members:
        return state
    server = site.algorithm.welcome(server, before / members) if before else server
    return replace(state, server=server, members=members)


def order_for(plan: Plan, site: Site, state: State, number: int) -> Order:
    """What the cohort of a round is asked for, beside those that are at work since rounds before."""
    devices, waits_for = site.devices, site.algorithm.waits_for
    clock_s = state.clock_s if devices.fleet.clock.runs else None
    cohort = devices.cohort(plan.seed, number, state.at_work, state.losses, clock_s)
    order = _order(plan, site, state, state.server, number, cohort)
    if waits_for is None:
        return replace(order, enough=devices.enough)
    by_round: dict[int, list[int]] = {}
    for client, work in state.at_work.items():
        by_round.setdefault(work.round, []).append(client)
    return replace(
        order,
        enough=min(waits_for, len(cohort) + len(state.at_work)),
        goes_on=True,
        earlier={
            asked: _order(plan, site, state, state.past[asked], asked, devices.in_order(clients))
            for asked, clients in by_round.items()
        },
        needs={client: work.needs for client, work in state.at_work.items()},
    )


def _order(
    plan: Plan, site: Site, state: State, server: Tree, number: int, cohort: list[int]
) -> Order:
    """What these clients are asked for in a round that began with this part of the server's."""
    algorithm = site.algorithm
    ordered = {client: algorithm.order(server, client) for client in cohort}
    by_form: dict[trees.Form, Tree] = {}
    for tree in ordered.values():
        if (form := trees.form(tree)) not in by_form:
            by_form[form] = _reply_form(algorithm, tree)
    remembered = {k: state.remembered[k] for k in cohort if k in state.remembered}
    return Order(
        plan,
        site,
        number,
        {client: site.devices.samples(client) for client in cohort},
        {k: algorithm.again(tree) if k in remembered else tree for k, tree in ordered.items()},
        {client: by_form[trees.form(tree)] for client, tree in ordered.items()},
        algorithm.joining(),
        remembered,
        {client: state.clients[client] for client in cohort if client in state.clients},
    )


def _reply_form(algorithm: Algorithm, received: Tree) -> Tree:
    form = reply_form(algorithm, received)
    if form.keys() != algorithm.joining().keys():
        raise InputError(
            f"{algorithm.kind}: replies with {', '.join(form)}, rules for {', '.join(algorithm.joining())}",
            expected="a rule for each group of a reply",
            fix=f"name all groups in joining() of {algorithm.kind}",
        )
    return form


def _after(order: Order, state: State, answers: Answers, verdict: Verdict) -> State:
    """The state after a round: the server's made of what the guard accepts, and what clients remember."""
    algorithm, server = order.site.algorithm, state.server
    if not verdict.skipped:
        share = len(verdict.clients) / len(order.site.devices.members)
        server = algorithm.next_state(server, joined(order, verdict.accepted), share)
    asked_in = {client: asked.round for asked in order.all for client in asked.samples}
    ordered = algorithm.order(state.server, order.clients[0]) if order.clients else {}
    used = () if verdict.skipped else verdict.clients
    kept = used if algorithm.takes_back else answers.activity
    remembers = {}
    if ordered and algorithm.remember(ordered):  # whoever it is, the same is remembered
        remembers = {client: asked_in[client] for client in kept}
    at_work = {
        client: AtWork(asked_in[client], needs)
        for client, needs in answers.at_work.items()
        if order.goes_on
    }
    before = {**state.past, order.round: state.server}
    return State(
        order.round,
        server,
        Memories.of(state.clients).changed(
            {k: own for k, own in answers.memories.items() if k in kept}
        ),
        Kept.of(state.remembered).changed(remembers),
        at_work,
        {work.round: before[work.round] for work in at_work.values()},
        state.members,
        Kept.of(state.losses).changed(_losses(order, answers, verdict)),
        state.clock_s + (answers.duration_s or 0.0),
    )


def _losses(order: Order, answers: Answers, verdict: Verdict) -> dict[int, float]:
    """Those of the accepted clients, where the next round's are selected by them."""
    if not order.plan.fleet.selection.by_loss:
        return {}
    own = {client: answers.losses[client] for client in verdict.clients}
    return {client: loss for client, loss in own.items() if math.isfinite(loss)}


def _tested(
    site: Site,
    tests: Tests,
    state: State,
    answers: Answers,
    verdict: Verdict,
    aggregation: float,
    place: Place,
) -> Round:
    """The round that led to this state, after the test of its model, or at their place of the clients'."""
    began, network = perf_counter(), site.network
    test = tested(site, state, tests, place)
    trained = reduce(operator.add, answers.activity.values(), _nothing(test.activity))
    operations = site.operations
    each = shares(operations, answers.activity.items())
    return Round(
        number=state.round,
        state=state,
        accuracy=test.accuracy(tests.samples[1]),
        training_loss=answers.mean_loss(verdict.clients),
        activity=dict(answers.activity),
        tested=test.activity,
        spikes={name: trained.events_in[name] for name in network.spiked},
        operations=_synaptic(operations, each),
        firing_rates=firing_rates(each),
        uplink_bytes=answers.uplink_bytes,
        unpacked_bytes=answers.unpacked_bytes,
        spent=dict(answers.spent),
        duration_s=answers.duration_s,
        downlink_bytes=answers.downlink_bytes,
        seconds={
            **answers.seconds,
            "aggregation": aggregation,
            "evaluation": perf_counter() - began,
        },
        rejections=verdict.rejections,
        missing=verdict.missing,
        skipped=verdict.skipped,
        at_work=tuple(answers.at_work),
        staleness=dict(verdict.staleness),
        nodes=(*answers.nodes, *test.nodes),
        network=operations,
        sizes=_sizes(site, tests, state, place),
        consensus_distance=consensus_distance(state) if site.algorithm.decentralised else None,
    )


def _sizes(site: Site, tests: Tests, state: State, place: Place) -> dict[str, float]:
    """The accuracy of what the clients of each size but the whole one would receive now."""
    one_of_each = {size: client for client, size in reversed(site.operations.sizes.items())}
    accuracies = {}
    for size, client in sorted(one_of_each.items(), key=lambda item: item[1]):
        model = site.algorithm.order(state.server, client)["model"]
        held = Examined(site.network_of(client), partial(dict, model), tests.all)
        accuracies[size] = evaluate(held, tests, state.round, place)
    return accuracies


def _nothing(activity: Activity) -> Activity:
    """The activity of a network that did nothing, with the same layers."""
    none = [dict.fromkeys(counts, 0) for counts in (activity.events_in, activity.synapses_met)]
    return Activity(samples=0, steps=0, events_in=none[0], synapses_met=none[1])


def _synaptic(
    operations: NetworkOperations, each: Sequence[tuple[NetworkOperations, Activity]]
) -> Operations:
    """Of all clients together; nothing where no layer is counted."""
    if not operations.layers:
        return {}
    total: Operations = {"mac": 0, "ac": 0}
    for network, activity in each:
        for kind, number in synaptic(network, activity).items():
            total[kind] += number
    return total
