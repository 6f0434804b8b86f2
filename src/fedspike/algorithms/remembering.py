"""What a client's learner remembers from round to round, as the moments of its optimiser.

It is a group of the client's memory, beside what the algorithm has there, and reaches the learner with the
parameters that it starts from. No algorithm sees it, and it never leaves the client.
"""

from typing import Any

from fedspike.algorithms.algorithm import Algorithm, Client, LocalModel, Tree
from fedspike.algorithms.changed import Changed
from fedspike.errors import InputError
from fedspike.learning import Learner
from fedspike.networks import Parameters

LEARNER = "learner"


def with_memory(algorithm: Algorithm, learner: Learner) -> Algorithm:
    """The same algorithm, whose clients remember what their learner does; itself where that is nothing.

    Raises InputError where a round has more than one training, after which of which it would go on.
    """
    if not learner.remembers({}):
        return algorithm
    if algorithm.trainings > 1:
        raise InputError(
            f"{algorithm.kind} with a learner that goes on where it ended",
            expected="one training a round",
            fix='set learner.optimiser_memory = "forgotten"',
            keys=("optimiser_memory", "algorithm"),
        )
    return _Remembering(algorithm, learner)


class _Remembering(Changed):
    own: Any

    def remember(self, received: Tree) -> Tree:
        nothing: Parameters = self.own.remembers(received["model"])
        return self.algorithm.remember(received) | {LEARNER: nothing}

    def begin(self, client: Client) -> Parameters:
        return self.algorithm.begin(client) | client.memory[LEARNER]

    def answer(self, client: Client, trained: LocalModel) -> tuple[Tree, Tree]:
        names = client.memory[LEARNER].keys()
        reply, memory = self.algorithm.answer(client, trained.without(names))
        return reply, memory | {LEARNER: {name: trained.parameters[name] for name in names}}
