"""What a federated algorithm is: pure functions over named groups of tensors, in two halves.

A round, in the simulator, in the reference loop and on real devices alike:

    server             received = order(server, client)
    each client        parameters = begin(received, memory)
                       gradients = correct(gradients, parameters, received, memory)    before every step
                       reply, memory = answer(received, trained, memory, steps, learning_rate)
    server             joined = each group of the replies by its rule in joining()
                       server = next_state(server, joined, participation)

On the clients' side every tensor carries the clients as first axis; what all clients receive alike carries an
axis of length 1 there, so that plain arithmetic broadcasts. On the server's side no tensor has it.
"""

from collections.abc import Mapping

from jaxtyping import Int64
from torch import Tensor

from fedspike.networks import Parameters
from fedspike.part import Part, abstractmethod
from fedspike.rules import Rule

Tree = dict[str, Parameters]
"""Named groups of parameter-like tensors, such as {"model": ..., "control": ...}."""


class Algorithm(Part):
    """A federated algorithm; `algorithms.fedavg` is the smallest example.

    Members that a kind does not write: the server keeps the model alone and sends it to all, clients
    remember nothing, start from the model that they received, train with their own gradients, and answer with
    a group "update": trained minus received. Orders and replies may differ in form from client to client.
    """

    @property
    def needs_sgd(self) -> bool:
        """Whether its mathematics holds for plain SGD on the clients only."""
        return False

    def start(self, model: Parameters) -> Tree:
        """The server's state before round 1; its group "model" is the global model."""
        return {"model": model}

    def order(self, server: Tree, client: int) -> Tree:
        """What a client of the round's cohort receives."""
        del client
        return {"model": server["model"]}

    @abstractmethod
    def joining(self) -> Mapping[str, Rule]:
        """Group of a reply -> the rule that makes one of all clients'."""

    @abstractmethod
    def next_state(self, server: Tree, joined: Tree, participation: float) -> Tree:
        """The server's state after a round in which the share `participation` of all clients took part."""

    def remember(self, received: Tree) -> Tree:
        """What a client remembers before its first round, in which it `received` this, no client axis."""
        del received
        return {}

    def begin(self, received: Tree, memory: Tree) -> Parameters:
        """The parameters, all that the network has, that the clients start from."""
        del memory
        return received["model"]

    def correct(
        self, gradients: Parameters, parameters: Parameters, received: Tree, memory: Tree
    ) -> Parameters:
        """The gradients that the local optimiser uses."""
        del parameters, received, memory
        return gradients

    def answer(
        self,
        received: Tree,
        trained: Parameters,
        memory: Tree,
        steps: Int64[Tensor, " client"],
        learning_rate: float,
    ) -> tuple[Tree, Tree]:
        """What each client sends back, and what it remembers. `steps[client]` counts local steps."""
        del steps, learning_rate
        return {"update": difference(trained, received["model"])}, memory


def difference(a: Parameters, b: Parameters) -> Parameters:
    """a - b, tensor by tensor."""
    return {name: a[name] - b[name] for name in a}


def added(model: Parameters, update: Parameters, factor: float = 1.0) -> Parameters:
    """model + factor * update, tensor by tensor."""
    return {name: weight + factor * update[name] for name, weight in model.items()}
