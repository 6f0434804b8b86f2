"""A finished run as its summary records it: enough to count and to price it again without training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_type_hints

from fedspike.energy.bill import Footprint, Level, footprint
from fedspike.energy.break_even import Balance, balance
from fedspike.energy.counts import Activity, Counts, Dense, Network, aggregation, count, merge
from fedspike.energy.network import Code, ReadOut
from fedspike.energy.neurons import LIF, Neurons
from fedspike.energy.profiles import Profile
from fedspike.errors import InputError

# What is read out of the last layer decides whether it fires.
READ_OUTS: Mapping[str, ReadOut] = {
    "count": "spikes",
    "membrane": "membrane",
    "first-spike": "spikes",
}


@dataclass(frozen=True)
class Spiking:
    """What a spiking network is beside its layers and time steps."""

    code: Code = "rate"
    neurons: Neurons = LIF
    readout: ReadOut = "spikes"

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Spiking":
        """That of a run with this resolved configuration; what it does not say is the founding study's.

        Raises InputError where there is no rule for something, so that it is not counted as something else.

        >>> Spiking.of({"code": {"kind": "phase", "period": 8}, "snn": {"read_out": "membrane"}}).readout
        'membrane'
        """
        said = {"code": config.get("code", {}).get("kind", "rate")}
        said |= {"read_out": config.get("snn", {}).get("read_out", "count")}
        neurons = {"kind": config.get("neuron", {}).get("kind", "lif"), **config.get("snn", {})}
        known = {name: get_args(kind) for name, kind in get_type_hints(Neurons).items()}
        neurons = {name: value for name, value in neurons.items() if name in known}
        known |= {"code": get_args(Code), "read_out": tuple(READ_OUTS)}
        for name, value in {**said, **neurons}.items():
            if value not in known[name]:
                raise InputError(
                    f'a spiking network with {name} = "{value}"',
                    expected=f"one that there is a rule for: {', '.join(known[name])}",
                    fix="leave its energy out, or add a rule to energy/rules.py or energy/neurons.py",
                )
        return cls(said["code"], Neurons(**neurons), READ_OUTS[said["read_out"]])


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

        Of an SNN only the layers that spikes enter: not the first one under the direct code.

        >>> study = recorded([784, 100, 10], {"hidden": 11_215, "output": 4_850}, time_steps=50)
        >>> round(study.events_per_synapse, 1)
        14.7
        """
        layers = self.network.synapses
        if self.network.time_steps is not None:
            layers = {name: x for name, x in layers.items() if self.network.spikes_enter(name)}
        met = sum(self.activity.events_in[name] * layer.outputs for name, layer in layers.items())
        synapses = sum(layer.synapses for layer in layers.values())
        return met / (self.activity.samples * synapses) if synapses else 0.0


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
    spiking: Spiking | None = None,
    optimiser: Literal["adam", "sgd"] = "adam",
    models: int = 0,
) -> Recorded:
    """The fully connected network with these numbers of neurons, input first, and its activity.

    `events_in` has a layer's name for each pair of neighbours, in their order. Without `spiking` an SNN is
    the founding study's. Under the direct code the first layer's product is made once a sample, and kept.

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
    spiking = spiking or Spiking()
    network = Network(
        dict(zip(events_in, shapes, strict=True)),
        time_steps=time_steps,
        code=spiking.code,
        optimiser=optimiser,
        current_cached=spiking.code == "direct",
        readout=spiking.readout if time_steps else "spikes",
        neurons=spiking.neurons,
    )
    made = Recorded(network, Activity(samples, steps, dict(events_in), events_out), models)
    count(network, made.activity, training=False)  # raises where the activity is impossible
    return made


def standings(ann: Recorded, snn: Recorded, profile: Profile) -> list[Standing]:
    """Each layer of the SNN that spikes enter beside its break-even with the dense ANN.

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
        if not snn.network.spikes_enter(name):
            continue
        layer = snn.network.synapses[name]
        level, even = _highest(name, profile, ann, snn)
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
    name: str, profile: Profile, ann: Recorded, snn: Recorded
) -> tuple[Level, Balance] | tuple[None, None]:
    levels: tuple[Level, ...] = ("memory", "compute", "study")
    for level in levels:
        try:
            return level, balance(
                snn.network.synapses[name],
                profile,
                level,
                ann=ann.footprint,
                snn=snn.footprint,
                neurons=snn.network.neurons,
                place=snn.network.place(name),
            )
        except InputError:
            continue  # an operation of this level has no price
    return None, None
