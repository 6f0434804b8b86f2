"""What goes into a network, and what comes out of it."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Float64, Int64, Real
from torch import Tensor

from fedspike.encoding import Address
from fedspike.networks.architecture import Parameters


@dataclass(frozen=True)
class Batch:
    """A minibatch of every client: images of one data set, by their positions in it, and their labels.

    A position of -1 pads the batch of a client that has fewer images; nothing of it is counted or learned.
    """

    pixels: Float[Tensor, "image pixel"]
    positions: Int64[Tensor, "client batch"]
    labels: Int64[Tensor, "client batch"]
    address: Address

    @property
    def present(self) -> Bool[Tensor, "client batch"]:
        """Where the batch is not padded."""
        return self.positions >= 0

    @property
    def x(self) -> Float[Tensor, "client batch pixel"]:
        """The images themselves; zero where the batch is padded."""
        return self.pixels[self.positions.clamp(min=0)] * self.present.unsqueeze(2)

    @classmethod
    def of(
        cls,
        x: Float[Tensor, "client batch pixel"],
        address: Address,
        labels: Int64[Tensor, "client batch"] | None = None,
        present: Bool[Tensor, "client batch"] | None = None,
    ) -> "Batch":
        """The batch that consists of these images."""
        positions = torch.arange(x.shape[0] * x.shape[1], device=x.device).view(x.shape[:2])
        if present is not None:
            positions = positions.masked_fill(~present, -1)
        labels = torch.zeros_like(positions) if labels is None else labels
        return cls(x.flatten(0, 1), positions, labels, address)


@dataclass(frozen=True)
class Forward:
    """What a forward pass returns.

    `events_in[layer][client]` is the exact number of events that entered the layer, over all time steps
    and all samples present: spikes, or for an ANN values that are not zero. `events_out` are the spikes
    that left the last layer; an ANN's scores are no events. `synapses_met[layer]` are the synapses that
    the events into a convolution met.
    """

    scores: Float[Tensor, "client batch class"]
    events_in: dict[str, Int64[Tensor, " client"]]
    events_out: Int64[Tensor, " client"]
    synapses_met: dict[str, Int64[Tensor, " client"]] = field(default_factory=dict)


@dataclass(frozen=True)
class Learned:
    """What a minibatch taught: its forward pass, every client's mean loss, and the gradients."""

    forward: Forward
    losses: Float64[Tensor, " client"]
    gradients: Parameters


def count(
    per_sample: Real[Tensor, "client batch"], present: Bool[Tensor, "client batch"] | None
) -> Int64[Tensor, " client"]:
    """Events per client, of the samples present."""
    present_ones = per_sample if present is None else per_sample * present
    return present_ones.sum(1, dtype=torch.int64)
