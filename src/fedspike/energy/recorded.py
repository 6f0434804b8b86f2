"""A finished run as its summary records it: enough to count and to price it again without training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fedspike.energy.bill import Footprint, Level, footprint
from fedspike.energy.break_even import Balance, balance
from fedspike.energy.counts import Activity, Counts, Dense, Network, aggregation, count, merge
from fedspike.energy.layers import Synapses
from fedspike.energy.profiles import Profile
from fedspike.errors import InputError


@dataclass(frozen=True)
class Recorded:
    """A network, all that was seen while its clients trained it, and how many models the server got."""

    network: Network
    activity: Activity
    models: int = 0

    @property
    def counts(self) -> Counts:
        """What the clients did, and the server's aggregation; without the bytes."""
        trained = count(self.network, self.activity)
        return merge([trained, aggregation(self.network, self.models)]) if self.models else trained

    @property
    def footprint(self) -> Footprint:
        """The sizes of the network's memories."""
        return footprint(self.network)

    @property
    def events_per_synapse(self) -> float:
        """phi, spikes (for an ANN: non-zero values) per synapse and sample, over all layers.

            sum over layers of theta*O  /  (samples * sum over layers of I*O)

        >>> study = recorded([784, 100, 10], {"hidden": 11_215, "output": 4_850}, time_steps=50)
        >>> round(study.events_per_synapse, 1)
        14.7
        """
        layers = self.network.synapses
        met = sum(self.activity.events_in[name] * layer.outputs for name, layer in layers.items())
        return met / (self.activity.samples * sum(layer.synapses for layer in layers.values()))


@dataclass(frozen=True)
class Standing:
    """A layer of a spiking network beside its break-even; `level` is what the balance includes.

    `spikes` are per synapse and inference, `rate` is the same per time step. Below `spikes_even` at
    its T time steps, or below `time_steps_even` at its rates, the SNN is cheaper.
    """

    layer: str
    level: Level
    spikes: float
    spikes_even: float
    rate: float
    rate_even: float
    time_steps: int
    time_steps_even: float


def recorded(
    layers: Sequence[int],
    events_in: Mapping[str, int],
    *,
    samples: int = 1,
    steps: int = 0,
    events_out: int = 0,
    time_steps: int | None = None,
    optimiser: Literal["adam", "sgd"] = "adam",
    models: int = 0,
) -> Recorded:
    """The fully connected network with these numbers of neurons, input first, and its activity.

    `events_in` has a layer's name for each pair of neighbours, in their order.

    Raises InputError where these numbers are not those of one network.
    """
    if len(layers) != len(events_in) + 1 or min(samples, *layers) < 1:
        raise InputError(
            f"{samples} samples through {'-'.join(map(str, layers))} neurons with events into "
            f"{', '.join(events_in) or 'no layer'}",
            expected="a sample, and a layer's events between each two numbers of neurons",
            fix="give the numbers as the run's summary has them",
        )
    shapes = map(Dense, layers[:-1], layers[1:])
    network = Network(
        dict(zip(events_in, shapes, strict=True)), time_steps=time_steps, optimiser=optimiser
    )
    made = Recorded(network, Activity(samples, steps, dict(events_in), events_out), models)
    count(network, made.activity, training=False)  # raises where the activity is impossible
    return made


def standings(ann: Recorded, snn: Recorded, profile: Profile) -> list[Standing]:
    """Each layer of the SNN beside its break-even with the dense ANN.

    At the highest level of an inference that the profile prices whole; none without a price of both
    synaptic operations.
    """
    steps, samples = snn.network.time_steps, snn.activity.samples
    if steps is None:
        raise InputError(
            "a network without time steps as the spiking one",
            expected="an SNN",
            fix="give the networks in the other order",
        )
    names = list(snn.network.layers)
    leaving = [*(snn.activity.events_in[name] for name in names[1:]), snn.activity.events_out]
    found = []
    for name, events_out in zip(names, leaving, strict=True):
        layer = snn.network.synapses[name]
        level, even = _highest(layer, profile, ann.footprint, snn.footprint)
        if level is None or even is None:
            return []
        spikes = snn.activity.events_in[name] / (samples * layer.inputs)
        out = events_out / (samples * layer.outputs)
        most = even.spikes(steps, spikes_out=out)
        longest = even.time_steps(spikes / steps, out / steps)
        found.append(
            Standing(
                *(name, level, spikes, most, spikes / steps, most / steps),
                time_steps=steps,
                time_steps_even=longest,
            )
        )
    return found


def _highest(
    layer: Synapses, profile: Profile, ann: Footprint, snn: Footprint
) -> tuple[Level, Balance] | tuple[None, None]:
    levels: tuple[Level, ...] = ("memory", "compute", "study")
    for level in levels:
        try:
            return level, balance(layer, profile, level, ann=ann, snn=snn)
        except InputError:
            continue  # an operation of this level has no price
    return None, None
