"""The server's side of the fleet: the rounds of real devices, an iterator like that of simulated ones.

cohort -> a task for each node that hosts some of it -> replies -> guard -> aggregation -> test
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from flwr.app import MessageType

from fedspike.algorithms import Algorithm, Tree, reply_form, with_statistics
from fedspike.algorithms.trees import count_bytes, stack
from fedspike.experiment import build
from fedspike.experiment.config import Configuration
from fedspike.federation.cohort import Samples, Work
from fedspike.federation.devices import Fleet
from fedspike.federation.guard import Order, Verdict, judge
from fedspike.federation.places.flower.answers import Heard, hear
from fedspike.federation.places.flower.exchange import Exchange, exchange
from fedspike.federation.places.flower.messages import Task, pack
from fedspike.federation.places.flower.nodes import NOBODY, Nodes
from fedspike.federation.rounds import Round, State, concluded
from fedspike.networks import SizedNetwork
from fedspike.randomness import stream
from fedspike.rules.mean import narrowed

REMEMBERED = "remembered"


@dataclass(frozen=True)
class RealDevices:
    """Devices that train elsewhere, `nodes`; the model is tested here, with the `test_set`."""

    nodes: Nodes
    test_set: Samples
    deadline_s: float

    def fleet(self, settings: Configuration) -> Fleet:
        """The clients of a run, with as many samples as their nodes say."""
        return build.fleet_of(settings, self.nodes.shards())

    def class_counts(self, fleet: Fleet) -> list[list[int]]:
        """How many samples of each class every client holds, as their nodes say."""
        return [list(self.nodes.counts[client]) for client in range(len(fleet.shards))]

    def rounds(
        self, settings: Configuration, network: SizedNetwork, fleet: Fleet, state: State | None
    ) -> Iterator[Round]:
        """The rounds that are left after `state`."""
        algorithm = with_statistics(build.algorithm(settings), network)
        if state is None:
            model = network.init(stream(settings.seed, "init"))
            state = State(round=0, server=algorithm.start_server(model), clients={})
        for number in range(state.round + 1, settings.rounds + 1):
            began = time.monotonic()
            received = algorithm.send(state.server)
            order = self._order(settings, fleet, algorithm, state, number)
            tasks = {
                node: pack(self._task(settings, state, number, list(hosted)), received)
                for node, hosted in order.asked.items()
                if node != NOBODY
            }
            done = exchange(self.nodes.grid, tasks, MessageType.TRAIN, number, self.deadline_s)
            heard = hear(order, done.answers, network, self.nodes.names, count_bytes(received))
            verdict = judge(order, heard.replies)
            server = next_server(algorithm, state.server, verdict, heard, len(fleet.shards))
            remember = heard.samples if algorithm.start_client(state.model) else {}
            memories = {k: {REMEMBERED: {"round": torch.tensor(number)}} for k in remember}
            state = State(number, server, state.clients | memories)
            spent = time.monotonic() - began
            yield concluded(
                network,
                state,
                Work({}, {}, heard.activity, heard.losses),
                verdict,
                self.test_set,
                settings.seed,
                uplink_bytes=sum(count_bytes(tree) for tree in heard.trees.values()),
                downlink_bytes=len(tasks) * count_bytes(received),
                seconds=where_it_went(done, heard, spent),
                nodes=tuple(heard.ledger),
            )

    def _order(
        self, settings: Configuration, fleet: Fleet, algorithm: Algorithm, state: State, number: int
    ) -> Order:
        hosting = self.nodes.hosting(fleet.cohort(settings.seed, number))
        return Order(
            number,
            {node: {k: fleet.samples(k) for k in hosted} for node, hosted in hosting.items()},
            reply_form(algorithm, state.server),
            fleet.quorum,
            self.deadline_s,
        )

    def _task(self, settings: Configuration, state: State, number: int, clients: list[int]) -> Task:
        """What a node is to do. A client's state here is only which round it remembers."""
        remembered = {
            k: int(state.clients[k][REMEMBERED]["round"]) if k in state.clients else 0
            for k in clients
        }
        return Task(settings, self.nodes.classes, number, remembered)


def next_server(
    algorithm: Algorithm, server: Tree, verdict: Verdict, heard: Heard, clients: int
) -> Tree:
    """The server's state after a round of a fleet of so many clients.

    Where a node answered for many, its reply is a float64 mean; the mean of all is made of these and only
    then rounded, so that the model is the one that a single machine would have computed.
    """
    if verdict.skipped:
        return server
    share, accepted = len(verdict.clients) / clients, set(verdict.clients)
    nodes = [node for node in heard.trees if accepted & heard.reports[node].samples.keys()]
    if all(len(heard.reports[node].samples) == 1 for node in nodes):
        return algorithm.aggregate(server, verdict.replies, verdict.weights, share)
    wide = stack(
        [
            {g: {name: tensor.double() for name, tensor in ts.items()} for g, ts in tree.items()}
            for tree in (heard.trees[node] for node in nodes)
        ]
    )
    samples = torch.tensor([sum(heard.reports[node].samples.values()) for node in nodes])
    hosted = torch.tensor([len(heard.reports[node].samples) for node in nodes])
    one = algorithm.combine(wide, samples, hosted)
    narrow = {
        group: {
            name: narrowed(tensor, verdict.replies[group][name].dtype)
            for name, tensor in ts.items()
        }
        for group, ts in one.items()
    }
    return algorithm.aggregate(server, stack([narrow]), samples.sum().reshape(1), share)


def where_it_went(done: Exchange, heard: Heard, seconds: float) -> dict[str, float]:
    """The seconds of a round, as the node that answered last spent them.

    "starting" is a new process on the node that imports torch, "transport" our handing out and fetching, and
    "waiting" all else: Flower asks for work and answers only every so often, and carries them.
    """
    spent = {"training": 0.0, "starting": 0.0}
    if heard.reports:
        last = [answer for answer in done.answers if answer.node in heard.reports][-1]
        told = heard.reports[last.node].seconds
        spent["training"] = min(told.get("training", 0.0), last.seconds)
        spent["starting"] = min(told.get("starting", 0.0), last.seconds - spent["training"])
    spent["transport"] = done.transport_seconds
    spent["waiting"] = max(0.0, done.seconds - sum(spent.values()))
    return spent | {"aggregation": seconds - done.seconds}
