"""Updates clipped to a norm.

    u <- u * min(1, S / |u|)        |u| over all tensors of a client's update

Source: McMahan, Ramage, Talwar, Zhang, "Learning Differentially Private Recurrent Language Models", ICLR
2018, flat clipping. Without noise it is no privacy: it bounds what one client can move.
"""

from typing import Annotated

import torch
from msgspec import Meta

from fedspike.algorithms import Algorithm, Changed, Client, LocalModel, Tree
from fedspike.networks import Parameters
from fedspike.parts.sums import total
from fedspike.remedies.remedy import UPDATE, Remedy, demand_update

Positive = Annotated[float, Meta(gt=0)]


class Clipping(Remedy, tag="clipping"):
    """The norm of every client's update is at most `norm`."""

    norm: Positive = 1.0

    def over(self, algorithm: Algorithm) -> Algorithm:
        """Raises InputError where clients answer with no group "update"."""
        demand_update(algorithm, self.kind)
        return _Clipped(algorithm, self.norm)


class _Clipped(Changed):
    norm: Positive

    def answer(self, client: Client, trained: LocalModel) -> tuple[Tree, Tree]:
        reply, memory = self.algorithm.answer(client, trained)
        return reply | {UPDATE: clipped(reply[UPDATE], self.norm)}, memory


def clipped(update: Parameters, norm: float) -> Parameters:
    """The equation, of each client; an update of zeros stays as it is.

    >>> clipped({"w": torch.tensor([[3.0, 4.0], [0.3, 0.4]])}, norm=1.0)["w"]
    tensor([[0.6000, 0.8000],
            [0.3000, 0.4000]])
    """
    squares = [total(tensor.flatten(1).square(), 1) for tensor in update.values()]
    length = total(torch.stack(squares), 0).sqrt()
    # A number through a tensor would be its reciprocal times the number, and not 1 where nothing is clipped.
    factor = torch.full_like(length, norm) / length.clamp(min=norm)
    return {n: t * factor.reshape(-1, *[1] * (t.dim() - 1)) for n, t in update.items()}
