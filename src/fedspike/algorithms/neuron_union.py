"""The union of all clients' neurons, as many of them as there is room for.

Each client trains all neurons of the model that it received. The server looks at everybody's, those that were
used most first, and takes each that is unlike all that it has taken so far, until the network is full. So
what one client has learned is kept beside what another has made of the same neuron.

    model = the first H of N_1, ..., N_K in the order of their use that are unlike those before them

Source: Motta, Nanni, arXiv 2603.13037: where neurons are learned by competition an average destroys them, and
their union keeps what each has learned. There the model grows; here it has a budget, and what is left out
first is ours.
"""

from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor

from fedspike.algorithms.algorithm import Tree
from fedspike.algorithms.neurons import OverNeurons, chosen, directions, layers, of_neurons
from fedspike.rules import exact_mean


class NeuronUnion(OverNeurons, tag="neuron-union"):
    """Keeps the hidden neurons of all clients beside each other, the most used first, none twice.

    The use of a neuron is how much its threshold has risen in the round or, where it has none, how much its
    weights have changed. What belongs to no neuron is averaged, all clients alike. Takes one hidden layer.
    """

    alike: Annotated[
        float, Meta(ge=0, le=1, description="cosine of weights above which two neurons are one")
    ] = 0.9

    def next_state(self, server: Tree, joined: Tree, participation: float) -> Tree:
        """The union."""
        del participation
        model, update = server["model"], joined["update"]
        (hidden, output), own = layers(model), of_neurons(model)
        change = update[f"{hidden}.weight"].abs().sum(2)
        if f"{hidden}.threshold" in own:
            change = update[f"{hidden}.threshold"]
        everybody = {name: model[name] + tensor for name, tensor in update.items()}
        rows = {name: everybody[name].flatten(0, 1) for name in own}
        read = f"{output}.weight"
        rows[read] = everybody[read].movedim(0, 1).flatten(1, 2)
        kept = self._unlike(
            rows[f"{hidden}.weight"], change.flatten(), len(model[f"{hidden}.weight"])
        )
        rest = {
            name: exact_mean([*tensor], [1] * len(tensor)).to(tensor.dtype)
            for name, tensor in everybody.items()
            if name not in rows
        }
        union = chosen(rows, kept) | rest
        return {"model": {name: union[name] for name in model}}

    def _unlike(self, weight: Tensor, use: Tensor, room: int) -> Tensor:
        """The neurons that are kept: the most used, but those that are like one before them come last."""
        kept, spare, toward = list[int](), list[int](), directions(weight)
        taken = torch.empty_like(toward[:room])
        for j in use.argsort(descending=True, stable=True).tolist():
            if len(kept) == room:
                break
            if (taken[: len(kept)] @ toward[j] > self.alike).any():
                spare.append(j)
            else:
                taken[len(kept)] = toward[j]
                kept.append(j)
        return torch.tensor((kept + spare)[:room]).sort().values
