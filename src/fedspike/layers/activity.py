"""What was really seen while a network ran: whole numbers that add up."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from fedspike.layers.operations import NetworkOperations

Seen = Annotated[int, Meta(ge=0, le=2**63 - 1)]


@dataclass(frozen=True)
class Activity:
    """What was really seen: adds up over batches, clients and rounds.

    `samples` were shown and `steps` of the optimiser made. `events_in[layer]` are the spikes, or for an
    ANN the non-zero values, that entered the layer (not a BatchNorm, which has no events), and
    `events_out` the spikes that left the last one. `synapses_met[layer]` are the synapses that the events
    of a Convolution met, `(events * fan_out(layer)).sum()`; those of a Dense layer follow from its events.
    For the first layer under the direct code both are of the samples' pixels that are not 0, counted once.
    `updates[layer]` is how often a local rule changed a weight; a layer that has none is not there.
    """

    samples: Seen
    steps: Seen
    events_in: Mapping[str, Seen]
    events_out: Seen = 0
    synapses_met: Mapping[str, Seen] = field(default_factory=dict)
    updates: Mapping[str, Seen] = field(default_factory=dict)

    def __add__(self, other: "Activity") -> "Activity":
        return Activity(
            self.samples + other.samples,
            self.steps + other.steps,
            _sum(self.events_in, other.events_in),
            self.events_out + other.events_out,
            _sum(self.synapses_met, other.synapses_met),
            _sum(self.updates, other.updates),
        )

    def met(self, network: NetworkOperations, name: str) -> int:
        """Synapses that the events of a layer met."""
        if name in self.synapses_met:
            return self.synapses_met[name]
        return self.events_in[name] * network.layers[name].outputs

    def left(self, network: NetworkOperations) -> dict[str, int]:
        """Events that left each layer that events enter: those that entered the next one, or its own."""
        names = network.entered
        leaving = [*(self.events_in[name] for name in names[1:]), self.events_out]
        own = {name: self.events_in[name] for name in names if network.layers[name].fired}
        return dict(zip(names, leaving, strict=True)) | own

    def firing_rates(self, network: NetworkOperations) -> dict[str, float]:
        """Share of each layer's neurons that spike at a step, from what left the layers.

        Empty for a conventional network, one whose layers are not all counted, and where nothing was shown.

        >>> from fedspike.layers.operations import LayerOperations
        >>> layer = LayerOperations(inputs=784, outputs=100, fires=True)
        >>> Activity(2, 0, {"hidden": 11_215}, 400).firing_rates(
        ...     NetworkOperations(layers={"hidden": layer}, time_steps=20)
        ... )
        {'hidden': 0.1}
        """
        return firing_rates([(network, self)])


def firing_rates(shown: Iterable[tuple[NetworkOperations, Activity]]) -> dict[str, float]:
    """As `Activity.firing_rates`, over several networks with layers of the same names."""
    spikes: dict[str, int] = {}
    possible: dict[str, int] = {}
    for network, activity in shown:
        steps = activity.samples * (network.time_steps or 0)
        if not steps or not network.layers:
            continue
        left = activity.left(network)
        for name, layer in network.layers.items():
            if layer.fires:
                spikes[name] = spikes.get(name, 0) + left[name]
                most = steps * (layer.neurons or layer.outputs)
                possible[name] = possible.get(name, 0) + most
    return {name: spikes[name] / most for name, most in possible.items()}


def _sum(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    if one.keys() == other.keys():  # of a hundred thousand rounds it is asked a million times
        return {name: number + other[name] for name, number in one.items()}
    return {name: one.get(name, 0) + other.get(name, 0) for name in dict.fromkeys((*one, *other))}
