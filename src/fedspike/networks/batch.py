"""What goes into a network, and what comes out of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import torch
from jaxtyping import Bool, Float, Int64, Real
from torch import Tensor

from fedspike.layers.shapes import Convolution, Layer, fan_out
from fedspike.networks.sized_layers import Parameters
from fedspike.parts.codes import Address
from fedspike.parts.sums import total
from fedspike.parts.tensors import (
    Counts,
    Held,
    Labels,
    PerClient,
    Positions,
    Present,
    Representations,
    Scores,
    Trains,
)

Term = Callable[[Representations, Sequence[Representations], Present], PerClient]
"""Of a model's representations and those of others, what is added to each client's mean loss."""


@dataclass(frozen=True)
class Compared:
    """Representations of a batch by models that do not learn, and the term of the loss that they are for."""

    frozen: tuple[Representations, ...]
    term: Term

    def part(self, here: slice) -> "Compared":
        """Of some samples of every client."""
        return replace(self, frozen=tuple(own[:, here] for own in self.frozen))


@dataclass(frozen=True)
class Batch:
    """A minibatch of every client: images of one data set, by their positions in it, and their labels.

    A position of -1 pads the batch of a client that has fewer images; nothing of it is counted or learned.
    `held` are the client's samples of each class; None: it has those of the batch. `received` are the scores
    of the model that the client received, where a loss asks for them; `compared` is what an algorithm adds
    to the loss, where it compares models. `dropout` is the share that is left out of hidden layers.
    """

    pixels: Real[Tensor, "image pixel"]
    positions: Positions
    labels: Labels
    address: Address
    held: Held | None = None
    received: Scores | None = None
    compared: Compared | None = None
    dropout: float = 0.0

    @property
    def present(self) -> Present:
        """Where the batch is not padded."""
        return self.positions >= 0

    @property
    def dtype(self) -> torch.dtype:
        """What is computed in; recordings have bits in place of pixels."""
        return computed_in(self.pixels)

    @property
    def x(self) -> Real[Tensor, "client batch pixel"]:
        """The images themselves; zero where the batch is padded."""
        return self.pixels[self.positions.clamp(min=0)] * self.present.unsqueeze(2)

    def parts(self, samples: int) -> Iterator["Batch"]:
        """The same, so many samples of every client at a time."""
        for first in range(0, self.positions.shape[1], samples):
            here = slice(first, first + samples)
            before = tuple(already + first for already in self.address.first_samples)
            address = replace(self.address, first_samples=before)
            positions, labels = self.positions[:, here], self.labels[:, here]
            received = None if self.received is None else self.received[:, here]
            compared = None if self.compared is None else self.compared.part(here)
            yield replace(
                self,
                positions=positions,
                labels=labels,
                address=address,
                received=received,
                compared=compared,
            )

    @classmethod
    def of(
        cls,
        x: Float[Tensor, "client batch pixel"],
        address: Address,
        labels: Labels | None = None,
        present: Present | None = None,
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
    the events into a convolution met. `statistics` are a normalised network's running ones after the pass.
    `last_input` is what entered the last layer, at every time step if there is time; None of a network that
    nobody has described.
    """

    scores: Scores
    events_in: dict[str, Counts]
    events_out: Counts
    synapses_met: dict[str, Counts] = field(default_factory=dict)
    statistics: Parameters = field(default_factory=dict)
    last_input: Float[Tensor, "*time client batch value"] | None = None

    @property
    def representations(self) -> Representations:
        """What entered the last layer; with time the mean over the steps, of spikes the firing rates."""
        assert self.last_input is not None  # see `SizedNetwork.demand_representations`
        if self.last_input.dim() == 3:  # without time
            return self.last_input
        return total(self.last_input, 0) / len(self.last_input)

    @classmethod
    def counted(
        cls,
        scores: Scores,
        layers: Mapping[str, Layer],
        entered: dict[str, Int64[Tensor, "client _input"]],
        events_out: Counts,
        statistics: Parameters | None = None,
        last_input: Tensor | None = None,
    ) -> "Forward":
        """Of a pass in which events `entered` each input of each layer."""
        met = {
            name: (entered[name] * _fan_out(layer).to(scores.device)).sum(1)
            for name, layer in layers.items()
            if isinstance(layer, Convolution)
        }
        events_in = {name: by_input.sum(1) for name, by_input in entered.items()}
        return cls(scores, events_in, events_out, met, statistics or {}, last_input)

    @classmethod
    def joined(cls, parts: Sequence["Forward"]) -> "Forward":
        """Of a batch whose samples were passed in these parts."""

        def total(counts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
            return {n: torch.stack([part[n] for part in counts]).sum(0) for n in counts[0]}

        return cls(
            torch.cat([part.scores for part in parts], dim=1),
            total([part.events_in for part in parts]),
            torch.stack([part.events_out for part in parts]).sum(0),
            total([part.synapses_met for part in parts]),
        )


def computed_in(pixels: Tensor) -> torch.dtype:
    """The type of a network's numbers for samples of this type; recordings, which are bits, have none."""
    return pixels.dtype if pixels.is_floating_point() else torch.float32


def held(
    labels: Int64[Tensor, "client *batch"],
    present: Bool[Tensor, "client *batch"],
    classes: int,
    dtype: torch.dtype,
) -> Held:
    """How many of the labels present are of each class."""
    none = torch.zeros(len(labels), classes, dtype=dtype, device=labels.device)
    return none.scatter_add_(1, labels.flatten(1), present.flatten(1).to(none))


def count(per_sample: Real[Tensor, "client batch"], present: Present | None) -> Counts:
    """Events per client, of the samples present."""
    present_ones = per_sample if present is None else per_sample * present
    return present_ones.sum(1, dtype=torch.int64)


def entered(
    rows: Float[Tensor, "client row input"], shown: Float[Tensor, "client row"]
) -> Int64[Tensor, "client input"]:
    """How often each input was not 0, over the rows where `shown` is 1 and not 0."""
    # Written as ones and zeros at once: of truth values torch is 4 times slower. Their product is exact in
    # float32 over less than 2^24 rows.
    ones = torch.ne(rows.detach(), 0, out=torch.empty_like(rows))
    return torch.bmm(shown.unsqueeze(1), ones).squeeze(1).long()


def events(spikes: Trains) -> Int64[Tensor, "client batch"]:
    """How many numbers of each sample are not 0, over all inputs and steps."""
    return torch.ne(spikes, 0, out=torch.empty_like(spikes)).sum((0, 3)).long()


@cache
def _fan_out(layer: Convolution) -> Int64[Tensor, " input"]:
    """Synapses that an event at each input meets."""
    return torch.from_numpy(fan_out(layer)).repeat(layer.in_channels, 1, 1).flatten()
