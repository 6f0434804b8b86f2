"""The union of all clients' neurons.

Each client trains neurons of its own; the server puts them side by side. Where they are more than the network
has room for, neurons that are like another one are left out first, then those that were used least.

    model = N_1 + N_2 + ... + N_K,    N_k the neurons of client k

Source: Motta, Nanni, arXiv 2603.13037: where neurons are learned by competition an average destroys them, and
their union keeps what each has learned. The budget and what is left out first are ours.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor

from fedspike.algorithms.algorithm import Algorithm, Client, LocalModel, Tree
from fedspike.algorithms.neurons import chosen, layers, likeness
from fedspike.errors import InputError
from fedspike.networks import Parameters
from fedspike.rules import Apart, Mean, Rule


class NeuronUnion(Algorithm, tag="neuron-union", kw_only=True):
    """Clients train `each` hidden neurons of their own; the network holds the union, up to its own size.

    A client remembers its neurons, and begins in its first round with the first of the network's. Neurons
    that nobody has sent in a round stay, unless one like them was sent. In a network that is not full the
    places left have no weights. The bill counts all of the layer where a client runs its own neurons.
    """

    each: Annotated[int, Meta(ge=1, lt=2**31, description="neurons that each client trains")]
    alike: Annotated[
        float, Meta(ge=0, le=1, description="cosine of weights above which one neuron is enough")
    ] = 0.9

    def start(self, model: Parameters) -> Tree:
        """The model, none of whose neurons anybody has trained; InputError where it has too few."""
        hidden, _ = layers(model)
        room = len(model[f"{hidden}.weight"])
        if self.each > room:
            raise InputError(
                f"a union of {self.each} neurons from each client in a hidden layer of {room}",
                expected=f"at most {room}, which is what the network has room for",
                fix=f"set algorithm.each = {room} or less, or hidden = [{self.each}] or more",
                keys=("algorithm.each",),
            )
        return {"model": model, "trained": {"neurons": torch.zeros(room)}}

    def remember(self, received: Tree) -> Tree:
        """The first neurons of the model."""
        return {"own": self._own(received["model"], torch.arange(self.each))}

    def begin(self, client: Client) -> Parameters:
        """The client's own neurons, and what is not the hidden layer's as received."""
        first = chosen(client.received["model"], torch.arange(self.each))
        return first | client.memory["own"]

    def answer(self, client: Client, trained: LocalModel) -> tuple[Tree, Tree]:
        """The trained neurons, and how what is of no neuron has changed."""
        own, model = self._own(trained.parameters, torch.arange(self.each)), trained.parameters
        received = client.received["model"]
        rest = {name: model[name] - received[name] for name in model if name not in own}
        return {"own": own, "rest": rest}, {"own": own}

    def joining(self) -> Mapping[str, Rule]:
        """Neurons are kept apart, the rest is averaged."""
        return {"own": Apart(), "rest": Mean()}

    def next_state(self, server: Tree, joined: Tree, participation: float) -> Tree:
        """The union: what was sent, then what was there and is unlike, as far as there is room."""
        del participation
        model = server["model"]
        hidden, output = layers(model)
        weight, room = f"{hidden}.weight", len(model[f"{hidden}.weight"])
        sent = {name: tensor.flatten(0, 1) for name, tensor in joined["own"].items()}
        sent[f"{output}.weight"] = joined["own"][f"{output}.weight"].movedim(0, 1).flatten(1, 2)
        there = chosen(model, server["trained"]["neurons"].nonzero().flatten())
        new = torch.arange(len(sent[weight]))
        if len(new) > room:
            new = self._pruned(sent, hidden, room)
        kept = chosen(sent, new) if len(new) else sent
        unlike = likeness(there[weight], kept[weight]).amax(1) <= self.alike
        old = unlike.nonzero().flatten()[: room - len(new)]
        both = _beside(kept, chosen(there, old), hidden, output)
        filled = len(new) + len(old)
        empty = chosen(model, torch.zeros(room - filled, dtype=torch.int64))
        nobody = {name: torch.zeros_like(tensor) for name, tensor in empty.items()}
        rest = {name: model[name] + change for name, change in joined["rest"].items()}
        whole = model | rest | _beside(both, nobody, hidden, output)
        trained = torch.cat([torch.ones(filled), torch.zeros(room - filled)])
        return {"model": whole, "trained": {"neurons": trained}}

    def _own(self, model: Parameters, neurons: Tensor) -> Parameters:
        """What is the hidden layer's, of these neurons."""
        hidden, output = layers(model)
        taken = chosen(model, neurons)
        return {
            n: t for n, t in taken.items() if n.startswith(f"{hidden}.") or n == f"{output}.weight"
        }

    def _pruned(self, sent: Parameters, hidden: str, room: int) -> Tensor:
        """The neurons that stay, in their order: the most used, none like another while there is a choice."""
        weight = sent[f"{hidden}.weight"]
        # A threshold has risen with each spike; without thresholds it is the size of the weights.
        use = sent.get(f"{hidden}.threshold", weight.abs().sum(1))
        alike = likeness(weight, weight) > self.alike
        kept, spare = list[int](), list[int]()
        for j in use.argsort(descending=True, stable=True).tolist():
            (spare if alike[j, kept].any() else kept).append(j)
        return torch.tensor((kept + spare)[:room]).sort().values


def _beside(one: Parameters, other: Parameters, hidden: str, output: str) -> Parameters:
    """The neurons of both; each row is a neuron of the hidden layer, each column what reads it."""
    rows = {n: torch.cat([t, other[n]]) for n, t in one.items() if n.startswith(f"{hidden}.")}
    read = f"{output}.weight"
    return rows | {read: torch.cat([one[read], other[read]], dim=1)}
