"""Running statistics of a normalised network, which travel beside the model and are no part of it.

An algorithm corrects, joins and steps on parameters; a mean or a variance is no such thing. So statistics
are a group of their own, "statistics", in the server's state, its orders and the replies if they are pooled,
or in the clients' memories if they are local, as they always are under personal algorithms. This works
with any algorithm and changes none.
"""

from collections.abc import Mapping

from torch import Tensor

from fedspike.algorithms.algorithm import Algorithm, Client, LocalModel, Tree
from fedspike.algorithms.changed import Changed
from fedspike.networks import Parameters, SizedNetwork
from fedspike.rules import Pooled, Rule

STATISTICS = "statistics"


def with_statistics(algorithm: Algorithm, network: SizedNetwork) -> Algorithm:
    """The same algorithm, which also does with a network's statistics what its normalisation says.

    Of a network without any it is the algorithm itself.

    >>> from fedspike.algorithms import FedAvg
    >>> from fedspike.networks import ANN
    >>> with_statistics(FedAvg(), ANN().over((784,), 10))
    FedAvg()
    """
    initial = network.statistics()
    if not initial:
        return algorithm
    pooled = network.pools_statistics and not algorithm.personal
    return (_Pooled if pooled else _Local)(algorithm, initial)


class _Beside(Changed):
    """An algorithm whose clients start from, and train, statistics too."""

    initial: dict[str, Tensor]

    def _like(self, model: Parameters) -> Parameters:
        """The statistics before any training, in the model's type."""
        dtype = next(iter(model.values())).dtype
        return {name: numbers.to(dtype) for name, numbers in self.initial.items()}

    def _answer(self, client: Client, trained: LocalModel) -> tuple[Tree, Tree, Parameters]:
        """The algorithm's answer, and the trained statistics."""
        reply, memory = self.algorithm.answer(client, trained.without(self.initial))
        return reply, memory, {name: trained.parameters[name] for name in self.initial}


class _Pooled(_Beside):
    """Statistics are sent to the clients, and pooled from what they answer."""

    def start(self, model: Parameters) -> Tree:
        return self.algorithm.start(model) | {STATISTICS: self._like(model)}

    def order(self, server: Tree, client: int) -> Tree:
        return self.algorithm.order(server, client) | {STATISTICS: server[STATISTICS]}

    def joining(self) -> Mapping[str, Rule]:
        return {**self.algorithm.joining(), STATISTICS: Pooled()}

    def next_state(self, server: Tree, joined: Tree, participation: float) -> Tree:
        after = self.algorithm.next_state(server, joined, participation)
        return after | {STATISTICS: joined[STATISTICS]}

    def begin(self, client: Client) -> Parameters:
        return self.algorithm.begin(client) | client.received[STATISTICS]

    def answer(self, client: Client, trained: LocalModel) -> tuple[Tree, Tree]:
        reply, memory, statistics = self._answer(client, trained)
        return reply | {STATISTICS: statistics}, memory


class _Local(_Beside):
    """Every client keeps its own statistics."""

    def remember(self, received: Tree) -> Tree:
        return self.algorithm.remember(received) | {STATISTICS: self._like(received["model"])}

    def begin(self, client: Client) -> Parameters:
        return self.algorithm.begin(client) | client.memory[STATISTICS]

    def answer(self, client: Client, trained: LocalModel) -> tuple[Tree, Tree]:
        reply, memory, statistics = self._answer(client, trained)
        return reply, memory | {STATISTICS: statistics}

    def own(self, ordered: Tree, memory: Tree) -> Parameters:
        return self.algorithm.own(ordered, memory) | memory[STATISTICS]
