"""A finished run as it was recorded: enough to count and to price it again without training."""

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

from fedspike.energy.bill import Bill, Cost, Footprint, bill, cost, footprint
from fedspike.energy.break_even import Balance, balance
from fedspike.energy.counts import (
    BYTES_PER_WORD,
    Counts,
    aggregation,
    count,
    demand_possible,
    merge,
    words_sent,
)
from fedspike.energy.levels import HIGHEST_OF_INFERENCE, Level, up_to
from fedspike.energy.profiles import Profile, Radio
from fedspike.errors import InputError
from fedspike.layers.activity import Activity
from fedspike.layers.operations import NetworkOperations


@dataclass(frozen=True)
class Recorded:
    """A network, all that was seen while its clients trained it, and how many models the server got.

    Where they trained networks of different size, each of these with its own share of the activity is in
    `parts`. Memories are priced by the size of the whole one's, which is never too low.
    """

    network: NetworkOperations
    activity: Activity
    models: int = 0
    parts: tuple[tuple[NetworkOperations, Activity], ...] = ()

    @property
    def shares(self) -> tuple[tuple[NetworkOperations, Activity], ...]:
        """Each network that was trained, with its own activity."""
        return self.parts or ((self.network, self.activity),)

    def trained(self, *, skip_zeros: bool = False) -> Counts:
        """What the clients did."""
        first, *others = (count(*share, skip_zeros=skip_zeros) for share in self.shares)
        return merge([first, *others]) if others else first

    @property
    def counts(self) -> Counts:
        """What the clients did, and the server's aggregation; without the bytes."""
        trained = self.trained()
        return merge([trained, aggregation(self.network, self.models)]) if self.models else trained

    @cached_property
    def footprint(self) -> Footprint:
        """The sizes of the network's memories."""
        return footprint(self.network)

    def bill(self, counts: Counts, profile: Profile, level: Level, *, rounds: int = 1) -> Bill:
        """What these counts of the network cost, the mean of so many rounds."""
        return bill(counts, profile, level, rounds=rounds, **self._priced_with)

    def cost(
        self, counts: Counts, profile: Profile, level: Level, radio: Radio | None = None
    ) -> Cost:
        """What they cost exactly, without the mean."""
        return cost(counts, profile, level, radio=radio, **self._priced_with)

    @property
    def _priced_with(self) -> dict[str, Any]:
        return {"footprint": self.footprint, "not_counted": self.network.not_counted}

    @property
    def events_per_synapse(self) -> float:
        """phi, spikes (for an ANN: non-zero values) per synapse and sample, over all layers.

            sum over layers of theta*O  /  (samples * sum over layers of I*O)

        Of an SNN only the layers that spikes enter: not the first one under the direct code.
        """
        met = possible = 0
        for network, activity in self.shares:
            layers = {name: x for name, x in network.layers.items() if x.is_weighted}
            if network.time_steps is not None:
                layers = {name: x for name, x in layers.items() if x.enters == "spikes"}
            met += sum(activity.met(network, name) for name in layers)
            possible += activity.samples * sum(layer.synapses for layer in layers.values())
        return met / possible if possible else 0.0


@dataclass(frozen=True)
class Standing:
    """A layer of a spiking network beside its break-even; `level` is what the balance includes.

    `spikes` are per synapse and inference, `rate` is the same per time step. Below `spikes_even` at
    its T time steps, or below `time_steps_even` at its rates, the SNN is cheaper.
    """

    profile: str
    layer: str
    level: Level
    spikes: float
    spikes_even: float
    rate: float
    rate_even: float
    time_steps: int
    time_steps_even: float


def recorded(network: NetworkOperations, activity: Activity, uplink_bytes: int = 0) -> Recorded:
    """A network and its activity; the bytes that the clients sent are models, and statistics if pooled.

    Raises InputError where these numbers are not those of one network.
    """
    demand_possible(network, activity)
    return Recorded(network, activity, _models(network, uplink_bytes))


def by_clients(
    network: NetworkOperations, activity: Iterable[tuple[int, Activity]], uplink_bytes: int = 0
) -> Recorded:
    """As `recorded`, of what each client did with the network that it trains."""
    parts = shares(network, activity)
    for part in parts:
        demand_possible(*part)
    total = reduce(operator.add, (own for _, own in parts))
    if parts == ((network, total),):
        parts = ()
    return Recorded(network, total, _models(network, uplink_bytes), parts)


def shares(
    network: NetworkOperations, activity: Iterable[tuple[int, Activity]]
) -> tuple[tuple[NetworkOperations, Activity], ...]:
    """Each network that clients trained, the whole one or one of its sizes, and what was done with it."""
    by_size: dict[str, Activity] = {}
    for client, own in activity:
        size = network.sizes.get(client, "")
        by_size[size] = by_size[size] + own if size in by_size else own
    return tuple((network.smaller.get(size, network), own) for size, own in by_size.items())


def _models(network: NetworkOperations, uplink_bytes: int) -> int:
    """How many times the whole model came in so many bytes."""
    return uplink_bytes // (BYTES_PER_WORD * max(1, words_sent(network)))


def standings(ann: Recorded, snn: Recorded, profile: Profile) -> list[Standing]:
    """Each dense layer of the SNN that spikes enter beside its break-even with the dense ANN.

    There is none for a normalised layer, nor for a convolution, nor where the ANN has no
    such layer. It is at the highest level of an inference
    that the profile prices whole; without a price of both synaptic operations there is none.
    """
    steps, samples = snn.network.time_steps, snn.activity.samples
    if steps is None:
        raise InputError(
            "a network without time steps as the spiking one",
            expected="an SNN",
            fix="give the networks in the other order",
        )
    left = snn.activity.left(snn.network)
    standings = []
    for name, layer in snn.network.layers.items():
        alike = name in ann.network.layers and layer.is_dense and layer.enters == "spikes"
        if not alike or layer.normalised:
            continue
        highest = _highest(name, profile, ann, snn)
        if highest is None:
            return []
        level, even = highest
        spikes = snn.activity.events_in[name] / (samples * layer.inputs)
        out = left[name] / (samples * layer.outputs)
        most = even.spikes(steps, spikes_out=out)
        longest = even.time_steps(spikes / steps, out / steps)
        standings.append(
            Standing(
                *(profile.name, name, level),
                *(spikes, most, spikes / steps, most / steps),
                time_steps=steps,
                time_steps_even=longest,
            )
        )
    return standings


def _highest(
    name: str, profile: Profile, ann: Recorded, snn: Recorded
) -> tuple[Level, Balance] | None:
    for level in reversed(up_to(HIGHEST_OF_INFERENCE)):
        try:
            return level, balance(
                ann.network.layers[name],
                snn.network.layers[name],
                profile,
                level,
                ann=ann.footprint,
                snn=snn.footprint,
            )
        except InputError:
            continue  # an operation of this level has no price
    return None
