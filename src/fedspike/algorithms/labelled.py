"""The output layer of competing neurons, which is no part of what an algorithm trains.

Clients train the neurons of the model that they receive, and beside that say how these, as received, respond
to each class. So the output layer that the server makes of all responses is of the received neurons: the
group "labelled" of its state, and the model that is tested. The next round sends the trained neurons.
"""

from collections.abc import Mapping
from typing import Any

from fedspike.algorithms.algorithm import Algorithm, Client, LocalModel, Tree
from fedspike.algorithms.changed import Changed
from fedspike.errors import InputError
from fedspike.learning import RECEIVED, Labels
from fedspike.networks import Parameters
from fedspike.rules import Mean, Rule

LABELS = "labels"
LABELLED = "labelled"


def with_labels(algorithm: Algorithm, labels: Labels | None) -> Algorithm:
    """The same algorithm, whose server labels neurons; the algorithm itself where a learner needs none.

    Raises InputError where each client has a model of its own.
    """
    if labels is None:
        return algorithm
    if algorithm.personal:
        raise InputError(
            f"{algorithm.kind} with neurons that the server labels",
            expected="an algorithm with one model for all",
            fix='set algorithm.kind = "fedavg"',
            keys=("algorithm", "learner"),
        )
    return _Labelled(algorithm, labels)


class _Labelled(Changed):
    labels: Any

    def start(self, model: Parameters) -> Tree:
        settled = self.labels.settled(model)
        return self.algorithm.start(settled) | {LABELLED: settled}

    def joining(self) -> Mapping[str, Rule]:
        return {**self.algorithm.joining(), LABELS: Mean()}

    def next_state(self, server: Tree, joined: Tree, participation: float) -> Tree:
        after = self.algorithm.next_state(server, joined, participation)
        labelled = self.labels.labelled(server["model"], joined[LABELS])
        return after | {"model": self.labels.settled(after["model"]), LABELLED: labelled}

    def begin(self, client: Client) -> Parameters:
        model = client.received["model"]
        nothing: Parameters = self.labels.nothing(model)
        received = {f"{RECEIVED}{name}": tensor for name, tensor in model.items()}
        return self.algorithm.begin(client) | received | nothing

    def answer(self, client: Client, trained: LocalModel) -> tuple[Tree, Tree]:
        nothing = self.labels.nothing(client.received["model"])
        beside = [n for n in trained.parameters if n in nothing or n.startswith(RECEIVED)]
        reply, memory = self.algorithm.answer(client, trained.without(beside))
        return reply | {LABELS: {name: trained.parameters[name] for name in nothing}}, memory
