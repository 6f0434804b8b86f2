"""Personal algorithms, in part: clients keep some of the parameters, which are never sent, nor joined.

    on client k:   begins with the received w, and with its own v_k
    on the server: w <- w + sum over k of (n_k / n) (w_k - w)

All v_k start as the server's initial model. So there is no model for all: each client's is (w, v_k), and the
one that a kind tests.
"""

from collections.abc import Mapping

from fedspike.algorithms.algorithm import Algorithm, Client, LocalModel, Tree, added, difference
from fedspike.networks import Parameters
from fedspike.part import abstractmethod
from fedspike.rules import Mean, Rule

OWN = "own"


class Personal(Algorithm, kw_only=True):
    """FedAvg of what clients do not keep."""

    rule: Rule = Mean()

    @abstractmethod
    def kept(self, model: Parameters) -> tuple[str, ...]:
        """The names of the parameters that a client keeps."""

    def again(self, ordered: Tree) -> Tree:
        """Without what the client keeps."""
        model, kept = ordered["model"], self.kept(ordered["model"])
        return ordered | {"model": {n: w for n, w in model.items() if n not in kept}}

    def joining(self) -> Mapping[str, Rule]:
        """The updates."""
        return {"update": self.rule}

    def next_state(self, server: Tree, joined: Tree, participation: float) -> Tree:
        """The server's equation."""
        del participation
        w = {name: server["model"][name] for name in joined["update"]}
        return {"model": server["model"] | added(w, joined["update"])}

    def remember(self, received: Tree) -> Tree:
        """What the client keeps, as received."""
        own = {name: received["model"][name] for name in self.kept(received["model"])}
        return {OWN: own} if own else {}

    def begin(self, client: Client) -> Parameters:
        """The client's equation."""
        return client.received["model"] | client.memory.get(OWN, {})

    def answer(self, client: Client, trained: LocalModel) -> tuple[Tree, Tree]:
        """The update of what is sent; the client remembers the rest."""
        kept = client.memory.get(OWN, {}).keys()
        w = {n: weight for n, weight in client.received["model"].items() if n not in kept}
        update = difference({name: trained.parameters[name] for name in w}, w)
        own = {name: trained.parameters[name] for name in kept}
        return {"update": update}, {OWN: own} if own else {}

    def own(self, ordered: Tree, memory: Tree) -> Parameters:
        """(w, v_k)."""
        return ordered["model"] | memory.get(OWN, {})


def of_last_layers(model: Parameters, layers: int) -> tuple[str, ...]:
    """The names of the parameters of so many layers at the end.

    >>> of_last_layers({"hidden.weight": None, "output.weight": None, "output.bias": None}, 1)
    ('output.weight', 'output.bias')
    """
    names = list(dict.fromkeys(name.rpartition(".")[0] for name in model))
    return tuple(name for name in model if name.rpartition(".")[0] in names[-layers:])
