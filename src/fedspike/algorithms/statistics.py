"""Running statistics of a normalised network, which travel beside the model and are no part of it.

An algorithm corrects, averages and steps on parameters; a mean or a variance is no such thing. So statistics
are a group of their own, "statistics", in the server's state and in what is sent and answered if they are
pooled, or in the clients' memories if they are local. This works with any algorithm and changes none.
"""

from dataclasses import replace

from jaxtyping import Int64
from torch import Tensor

from fedspike.algorithms.algorithm import Algorithm, Tree
from fedspike.networks import Parameters, SizedNetwork
from fedspike.rules.mean import pooled

STATISTICS = "statistics"


def with_statistics(algorithm: Algorithm, network: SizedNetwork) -> Algorithm:
    """The same algorithm, which also does with a network's statistics what its normalisation says.

    Of a network without any it is the algorithm itself.

    >>> from fedspike.algorithms import fedavg
    >>> from fedspike.networks import ANN
    >>> algorithm = fedavg()
    >>> with_statistics(algorithm, ANN().over((784,), 10)) is algorithm
    True
    """
    initial = network.statistics()
    if not initial:
        return algorithm
    if network.pools_statistics:
        return _pooling(algorithm, initial)

    def start_client(model: Parameters) -> Tree:
        return algorithm.start_client(model) | {STATISTICS: _like(initial, model)}

    return replace(algorithm, start_client=start_client)


def _pooling(algorithm: Algorithm, initial: Parameters) -> Algorithm:
    """With statistics that are sent to the clients, and put together from what they answer."""

    def start_server(model: Parameters) -> Tree:
        return algorithm.start_server(model) | {STATISTICS: _like(initial, model)}

    def send(server: Tree) -> Tree:
        return algorithm.send(server) | {STATISTICS: server[STATISTICS]}

    def aggregate(
        server: Tree, replies: Tree, weights: Int64[Tensor, " client"], participation: float
    ) -> Tree:
        after = algorithm.aggregate(server, replies, weights, participation)
        return after | {STATISTICS: pooled(replies[STATISTICS], weights)}

    def combine(
        replies: Tree, samples: Int64[Tensor, " reply"], clients: Int64[Tensor, " reply"]
    ) -> Tree:
        one = algorithm.combine(replies, samples, clients)
        return one | {STATISTICS: pooled(replies[STATISTICS], samples)}

    return replace(
        algorithm, start_server=start_server, send=send, aggregate=aggregate, combine=combine
    )


def _like(initial: Parameters, model: Parameters) -> Parameters:
    """In the model's type."""
    dtype = next(iter(model.values())).dtype
    return {name: numbers.to(dtype) for name, numbers in initial.items()}
