"""What a federated algorithm is: pure functions over named groups of tensors, in two halves.

A round, in the simulator, in the reference loop and on real devices alike:

    server             received = order(server, client)
    each client        parameters = begin(client)                   client: received, memory
                       loss + comparison(z, z of frozen(client), present)    z: what enters the last layer
                       gradients = correct(gradients, parameters, client)    before every step
                       both again where a round has several `trainings`; client: trained, too
                       reply, memory = answer(client, trained)      trained: parameters, steps, learning_rate
                       reply, memory = packed(reply, memory, draws)          what travels
    server             reply = unpacked(reply, form)
                       joined = each group of the replies by its rule in joining()
                       server = next_state(server, joined, participation)

On the clients' side every tensor carries the clients as first axis; what all clients receive alike carries an
axis of length 1 there, so that plain arithmetic broadcasts. On the server's side no tensor has it, nor where
one client packs what it answered.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from fedspike.data.partition.likeness import AccuracyOf
from fedspike.learning import Learner
from fedspike.networks import Parameters, SizedNetwork
from fedspike.part import Part, abstractmethod
from fedspike.parts.tensors import Counts, PerClient, Present, Representations
from fedspike.rules import Rule

Tree = dict[str, Parameters]
"""Named groups of parameter-like tensors, such as {"model": ..., "control": ...}."""


@dataclass(frozen=True)
class Client:
    """What the clients of a round begin with: what they received, and what they remember.

    Where they train several times in a round, `trained` is what came of the times before.
    """

    received: Tree
    memory: Tree
    trained: tuple[Parameters, ...] = ()


@dataclass(frozen=True)
class LocalModel:
    """What came of local training, after `steps[client]` steps of a learner with this rate."""

    parameters: Parameters
    steps: Counts
    learning_rate: float

    def without(self, names: Collection[str]) -> "LocalModel":
        """The same, without numbers that stood among the parameters and are none."""
        model = {name: w for name, w in self.parameters.items() if name not in names}
        return replace(self, parameters=model)


class Algorithm(Part):
    """A federated algorithm; `algorithms.fedavg` is the smallest example.

    Members that a kind does not write: the server keeps the model alone and sends it to all, clients
    remember nothing, start from the model that they received, train with their own loss and gradients, and
    answer with a group "update": trained minus received. The server waits for all that it asked. Orders and
    replies may differ in form from client to client.
    """

    @property
    def needs_sgd(self) -> bool:
        """Whether its mathematics holds for plain SGD on the clients only."""
        return False

    @property
    def corrects(self) -> bool:
        """Whether it changes the clients' gradients, so that they must be trained by some."""
        return type(self).correct is not Algorithm.correct

    @property
    def models_compared(self) -> int:
        """How many models that do not learn it compares with the one that does, in each minibatch."""
        return 0

    @property
    def models_remembered(self) -> int:
        """How many models of numbers a client remembers; layers of its own are in the one it received."""
        return 0

    @property
    def trainings(self) -> int:
        """How often a client trains on its samples of a round, one time after the other."""
        return 1

    @property
    def personal(self) -> bool:
        """Whether each client ends with a model of its own, and none is for all."""
        return type(self).own is not Algorithm.own

    @property
    def decentralised(self) -> bool:
        """Whether there is no server: clients exchange models, and all of these are for the same task."""
        return False

    @property
    def accuracy_of(self) -> AccuracyOf:
        """Which models are tested, and on which samples."""
        if self.decentralised:
            return "own models, all samples"
        return "own models, own samples" if self.personal else "global model"

    @property
    def waits_for(self) -> int | None:
        """Answers with which the server steps, while others are at work; None: it waits for all it asked."""
        return None

    @property
    def takes_back(self) -> bool:
        """Whether a client whose answer the server did not use goes on from what it remembered before.

        So what it remembers fits the server's state; a model of its own is its own whatever the server does.
        """
        return self.models_remembered > 0 and not self.personal

    def fitted(self, network: SizedNetwork) -> "Algorithm":
        """The algorithm for this network. Raises InputError where it cannot be."""
        del network
        return self

    def among(self, clients: int, seed: int) -> "Algorithm":
        """The algorithm for a fleet of so many clients. Raises InputError where it cannot be."""
        del clients, seed
        return self

    def sub_network(self, network: SizedNetwork, client: int) -> SizedNetwork:
        """What a client trains: the network, or a smaller one. Raises InputError where there is none."""
        del client
        return network

    def learner(self, learner: Learner, client: int) -> Learner:
        """What trains a client: the experiment's learner, or another one in its place."""
        del client
        return learner

    @property
    def sized(self) -> bool:
        """Whether some clients train a network of another size, or with another learner."""
        return type(self).size is not Algorithm.size

    def size(self, client: int) -> str:
        """What a client's network and learner are called beside others'; empty of the usual ones."""
        del client
        return ""

    def start(self, model: Parameters) -> Tree:
        """The server's state before round 1; its group "model" is the global model."""
        return {"model": model}

    def order(self, server: Tree, client: int) -> Tree:
        """What a client of the round's cohort receives."""
        del client
        return {"model": server["model"]}

    def again(self, ordered: Tree) -> Tree:
        """What of an order goes to a client that remembers something: the rest it has."""
        return ordered

    def carried(
        self, client: int, there: Collection[int], received: int, sent: int
    ) -> tuple[int, int]:
        """Bytes that a client receives and sends for an order and a reply of so many, as these answer."""
        del client, there
        return received, sent

    @abstractmethod
    def joining(self) -> Mapping[str, Rule]:
        """Group of a reply -> the rule that makes one of all clients'."""

    @abstractmethod
    def next_state(self, server: Tree, joined: Tree, participation: float) -> Tree:
        """The server's state after a round in which the share `participation` of all clients took part."""

    def aged(self, group: str, tensors: Parameters, staleness: int) -> Parameters:
        """A group of a reply to an order of so many rounds ago, as it is joined with the others'.

        Asked only where the server does not wait for all; the tensors may be a sum over several clients.
        """
        del group, staleness
        return tensors

    def welcome(self, server: Tree, share: float) -> Tree:
        """The server's state as clients join that remember nothing; the `share` of all was there before."""
        del share
        return server

    def remember(self, received: Tree) -> Tree:
        """What a client remembers before its first round, in which it `received` this, no client axis."""
        del received
        return {}

    def begin(self, client: Client) -> Parameters:
        """The parameters, all that the network has, that the clients start from."""
        return client.received["model"]

    def frozen(self, client: Client) -> tuple[Parameters, ...]:
        """The models that do not learn, all parameters of each; asked where some are compared."""
        del client
        return ()

    def comparison(
        self, z: Representations, frozen: Sequence[Representations], present: Present
    ) -> PerClient:
        """What is added to each client's mean loss, of what enters the last layer: z, and that of models that
        do not learn. It is a mean over the samples present.
        """
        del frozen, present
        return z.new_zeros(len(z))

    def correct(self, gradients: Parameters, parameters: Parameters, client: Client) -> Parameters:
        """The gradients that the local optimiser uses; parameters that are left out stay as they are."""
        del parameters, client
        return gradients

    def answer(self, client: Client, trained: LocalModel) -> tuple[Tree, Tree]:
        """What each client sends back, and what it remembers."""
        return {"update": difference(trained.parameters, client.received["model"])}, client.memory

    def packed(self, reply: Tree, memory: Tree, draws: np.random.Generator) -> tuple[Tree, Tree]:
        """What one client sends of its reply, in whatever form, and what it remembers; no client axis.

        `draws` are this client's own in this round. A group in another form has a rule that is not `partial`.
        """
        del draws
        return reply, memory

    def unpacked(self, reply: Tree, form: Tree) -> Tree:
        """The reply that was packed, in the form that was ordered. Raises InputError where it is none."""
        del form
        return reply

    def own(self, ordered: Tree, memory: Tree) -> Parameters:
        """The parameters that a client uses, of a whole order and what it remembers; no client axis."""
        del memory
        return ordered["model"]


def zeros(model: Parameters) -> Parameters:
    """0 in the place of each number."""
    return {name: torch.zeros_like(weight) for name, weight in model.items()}


def scaled(model: Parameters, factor: float) -> Parameters:
    """factor * model, tensor by tensor."""
    return {name: factor * weight for name, weight in model.items()}


def difference(a: Parameters, b: Parameters) -> Parameters:
    """a - b, tensor by tensor."""
    return {name: a[name] - b[name] for name in a}


def added(model: Parameters, update: Parameters, factor: float = 1.0) -> Parameters:
    """model + factor * update, tensor by tensor."""
    return {name: weight + factor * update[name] for name, weight in model.items()}
