"""Algorithms without a server: each client has a model, and exchanges it with those to whom it has a link.

The state has all clients' models, and their mean as the group "model": nobody has that one, it is what would
be taken away from the training. In a simulation the state stands in one place. Real devices reach a server
alone, which stands between them: it makes what each would make of what it hears from its neighbours.

A client whose answer was lost, or that was not asked, keeps its model, and nothing went over its links.
"""

from collections.abc import Collection, Mapping

from jaxtyping import Float
from torch import Tensor

from fedspike.algorithms.algorithm import Algorithm, Client, LocalModel, Tree
from fedspike.algorithms.graphs import FleetGraph, Graph, Ring
from fedspike.errors import InputError
from fedspike.networks import Parameters
from fedspike.part import abstractmethod
from fedspike.rules import Rule, Seated, exact_mean

MODELS = "models"  # group of the server's state: [client, ...]


class Decentralised(Algorithm, kw_only=True):
    """An algorithm on a graph over the clients; a kind says what they make of each other's models."""

    graph: Graph = Ring()

    @property
    def personal(self) -> bool:
        """Each client has a model."""
        return True

    @property
    def decentralised(self) -> bool:
        """There is no server."""
        return True

    def among(self, clients: int, seed: int) -> Algorithm:
        """With the graph over these clients."""
        return self.on(self.graph.over(clients, seed))

    @abstractmethod
    def on(self, graph: FleetGraph) -> Algorithm:
        """The algorithm on a graph over clients."""

    @abstractmethod
    def exchanged(self, server: Tree, models: Parameters, there: list[int]) -> Tree:
        """The clients' new models, and what the state has beside them.

        Of the trained `models` [client, ...] of those who are `there`, float64; the others' are as before.
        """

    @property
    def fleet_graph(self) -> FleetGraph:
        """The graph over the clients. Raises InputError before there are any."""
        if isinstance(self.graph, FleetGraph):
            return self.graph
        raise InputError(
            f"{self.kind} on a graph over no clients yet",
            expected="an algorithm for a fleet",
            fix="ask algorithm.among(clients, seed) for it",
        )

    def carried(
        self, client: int, there: Collection[int], received: int, sent: int
    ) -> tuple[int, int]:
        """A model each way over each link to a client that answers, too."""
        del received
        links = len(self.fleet_graph.neighbours[client].intersection(there))
        return links * sent, links * sent

    def start(self, model: Parameters) -> Tree:
        """All clients begin with the same model, which is there once."""
        n = self.fleet_graph.clients
        return {"model": model, MODELS: {name: w.expand(n, *w.shape) for name, w in model.items()}}

    def order(self, server: Tree, client: int) -> Tree:
        """The client's own model."""
        return {"model": {name: w[client] for name, w in server[MODELS].items()}}

    def joining(self) -> Mapping[str, Rule]:
        """The trained models, each in its client's place."""
        return {"model": Seated()}

    def answer(self, client: Client, trained: LocalModel) -> tuple[Tree, Tree]:
        """The trained model."""
        names = client.received["model"]
        return {"model": {name: trained.parameters[name] for name in names}}, client.memory

    def next_state(self, server: Tree, joined: Tree, participation: float) -> Tree:
        """What is exchanged, and the mean of all models."""
        del participation
        there, models = _there(next(iter(joined["model"].values()))), {}
        for name, came in joined["model"].items():
            models[name] = server[MODELS][name].clone().double()
            models[name][there] = came[there].double()
        after = self.exchanged(server, models, there)
        mean = {
            name: exact_mean([*after[MODELS][name]], [1] * self.fleet_graph.clients).to(w.dtype)
            for name, w in server["model"].items()
        }
        return {"model": mean, **after}


def _there(came: Float[Tensor, "client *shape"]) -> list[int]:
    """Whose models came."""
    return [
        client for client, lost in enumerate(came.flatten(1)[:, 0].isnan().tolist()) if not lost
    ]
