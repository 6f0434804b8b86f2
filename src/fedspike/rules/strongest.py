"""Each neuron as the client has it that changed it most.

    k(j) = argmax over k of the sum of |u_k| over all that neuron j has,    w_j = u_k(j),j

Source: Motta, Nanni, arXiv 2603.13037, "selective" aggregation by the L1 norm.
"""

from typing import ClassVar

import torch
from torch import Tensor

from fedspike.rules.rule import Parameters, Replies, Rule


class Strongest(Rule, tag="strongest"):
    """Of each neuron all that belongs to it from one client, the one whose numbers changed most.

    >>> import torch
    >>> from fedspike.rules import joined
    >>> one = {"a.weight": torch.tensor([[3.0], [0.0]]), "a.bias": torch.tensor([1.0, 0.5])}
    >>> two = {"a.weight": torch.tensor([[-1.0], [-2.0]]), "a.bias": torch.tensor([0.0, 0.0])}
    >>> joined(Strongest(), [one, two], torch.tensor([1, 1]))
    {'a.weight': tensor([[ 3.],
            [-2.]]), 'a.bias': tensor([1., 0.])}
    """

    by_number: ClassVar[bool] = False

    def join(self, replies: Replies) -> Parameters:
        """The equation; of several clients that are alike the first."""
        every = {name: replies.stacked(name) for name in replies.trees[0]}
        changes: dict[tuple[str, int], Tensor] = {}
        for name, tensors in every.items():
            neurons = _of(name, tensors)
            own = tensors.abs().flatten(2).sum(2) if tensors.ndim > 2 else tensors.abs()
            changes[neurons] = changes.get(neurons, torch.zeros(())) + own
        strongest: Parameters = {}
        for name, tensors in every.items():
            best = changes[_of(name, tensors)].argmax(0)
            index = best.view(1, -1, *(1,) * (tensors.ndim - 2)).expand(1, *tensors.shape[1:])
            strongest[name] = tensors.gather(0, index).squeeze(0)
        return strongest


def _of(name: str, tensors: Tensor) -> tuple[str, int]:
    """The layer of a tensor, and how many of its neurons it has something for."""
    return name.rpartition(".")[0], tensors.shape[1]
