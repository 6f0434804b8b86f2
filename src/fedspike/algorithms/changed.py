"""An algorithm that does as another one does, but for what a subclass changes."""

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
from msgspec.structs import replace

from fedspike.algorithms.algorithm import Algorithm, Client, LocalModel, Tree
from fedspike.learning import Learner
from fedspike.networks import Parameters, SizedNetwork
from fedspike.parts.tensors import PerClient, Present, Representations
from fedspike.rules import Rule


def layers(algorithm: Algorithm) -> Iterator[Algorithm]:
    """The algorithm, and below it what it is made from."""
    yield algorithm
    while isinstance(algorithm, Changed):
        algorithm = algorithm.algorithm
        yield algorithm


class Changed(Algorithm):
    """`algorithm`, member by member; a remedy writes those that differ."""

    algorithm: Algorithm

    @property
    def kind(self) -> str:
        """That of the algorithm."""
        return self.algorithm.kind

    @property
    def needs_sgd(self) -> bool:
        """As the algorithm."""
        return self.algorithm.needs_sgd

    @property
    def corrects(self) -> bool:
        """As the algorithm, or because the remedy does."""
        return type(self).correct is not Changed.correct or self.algorithm.corrects

    @property
    def models_compared(self) -> int:
        """As the algorithm."""
        return self.algorithm.models_compared

    @property
    def models_remembered(self) -> int:
        """As the algorithm."""
        return self.algorithm.models_remembered

    @property
    def trainings(self) -> int:
        """As the algorithm."""
        return self.algorithm.trainings

    @property
    def personal(self) -> bool:
        """As the algorithm."""
        return self.algorithm.personal

    @property
    def decentralised(self) -> bool:
        """As the algorithm."""
        return self.algorithm.decentralised

    @property
    def waits_for(self) -> int | None:
        """As the algorithm."""
        return self.algorithm.waits_for

    @property
    def takes_back(self) -> bool:
        """As the algorithm."""
        return self.algorithm.takes_back

    def fitted(self, network: SizedNetwork) -> "Algorithm":
        """As the algorithm."""
        return replace(self, algorithm=self.algorithm.fitted(network))

    def among(self, clients: int, seed: int) -> "Algorithm":
        """As the algorithm."""
        return replace(self, algorithm=self.algorithm.among(clients, seed))

    def sub_network(self, network: SizedNetwork, client: int) -> SizedNetwork:
        """As the algorithm."""
        return self.algorithm.sub_network(network, client)

    def learner(self, learner: Learner, client: int) -> Learner:
        """As the algorithm."""
        return self.algorithm.learner(learner, client)

    @property
    def sized(self) -> bool:
        """As the algorithm, or because this one makes something of some clients."""
        return type(self).own_size is not Changed.own_size or self.algorithm.sized

    def size(self, client: int) -> str:
        """As the algorithm, behind what this one makes of the client."""
        return ", ".join(filter(None, [self.own_size(client), self.algorithm.size(client)]))

    def own_size(self, client: int) -> str:
        """What this one makes of the client; "" where that is nothing."""
        del client
        return ""

    def start(self, model: Parameters) -> Tree:
        """As the algorithm."""
        return self.algorithm.start(model)

    def order(self, server: Tree, client: int) -> Tree:
        """As the algorithm."""
        return self.algorithm.order(server, client)

    def again(self, ordered: Tree) -> Tree:
        """As the algorithm."""
        return self.algorithm.again(ordered)

    def carried(
        self, client: int, there: Collection[int], received: int, sent: int
    ) -> tuple[int, int]:
        """As the algorithm."""
        return self.algorithm.carried(client, there, received, sent)

    def joining(self) -> Mapping[str, Rule]:
        """As the algorithm."""
        return self.algorithm.joining()

    def next_state(self, server: Tree, joined: Tree, participation: float) -> Tree:
        """As the algorithm."""
        return self.algorithm.next_state(server, joined, participation)

    def aged(self, group: str, tensors: Parameters, staleness: int) -> Parameters:
        """As the algorithm."""
        return self.algorithm.aged(group, tensors, staleness)

    def welcome(self, server: Tree, share: float) -> Tree:
        """As the algorithm."""
        return self.algorithm.welcome(server, share)

    def remember(self, received: Tree) -> Tree:
        """As the algorithm."""
        return self.algorithm.remember(received)

    def begin(self, client: Client) -> Parameters:
        """As the algorithm."""
        return self.algorithm.begin(client)

    def frozen(self, client: Client) -> tuple[Parameters, ...]:
        """As the algorithm."""
        return self.algorithm.frozen(client)

    def comparison(
        self, z: Representations, frozen: Sequence[Representations], present: Present
    ) -> PerClient:
        """As the algorithm."""
        return self.algorithm.comparison(z, frozen, present)

    def correct(self, gradients: Parameters, parameters: Parameters, client: Client) -> Parameters:
        """As the algorithm."""
        return self.algorithm.correct(gradients, parameters, client)

    def answer(self, client: Client, trained: LocalModel) -> tuple[Tree, Tree]:
        """As the algorithm."""
        return self.algorithm.answer(client, trained)

    def packed(self, reply: Tree, memory: Tree, draws: np.random.Generator) -> tuple[Tree, Tree]:
        """As the algorithm."""
        return self.algorithm.packed(reply, memory, draws)

    def unpacked(self, reply: Tree, form: Tree) -> Tree:
        """As the algorithm."""
        return self.algorithm.unpacked(reply, form)

    def own(self, ordered: Tree, memory: Tree) -> Parameters:
        """As the algorithm."""
        return self.algorithm.own(ordered, memory)
