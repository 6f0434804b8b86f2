"""A finished run as its summary records it: enough to count and to price it again without training."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args, get_type_hints

from fedspike.energy.bill import Footprint, Level, footprint
from fedspike.energy.break_even import Balance, balance
from fedspike.energy.counts import (
    BYTES_PER_WORD,
    Activity,
    Counts,
    Network,
    aggregation,
    count,
    merge,
    words_sent,
)
from fedspike.energy.network import Code, ReadOut
from fedspike.energy.neurons import LIF, Neurons
from fedspike.energy.profiles import Profile
from fedspike.errors import InputError
from fedspike.layers.shapes import BatchNorm, Convolution, Dense, Layer, Pool

# What is read out of the last layer decides whether it fires.
READ_OUTS: Mapping[str, ReadOut] = {
    "count": "spikes",
    "membrane": "membrane",
    "first-spike": "spikes",
}
# What a summary calls the layers.
LAYERS: Mapping[str, type[Layer]] = {
    "dense": Dense,
    "convolution": Convolution,
    "pool": Pool,
    "normalisation": BatchNorm,
}


def plain(layers: Mapping[str, Layer]) -> dict[str, dict[str, Any]]:
    """Layers as a summary has them.

    >>> plain({"output": Dense(100, 10)})
    {'output': {'layer': 'dense', 'inputs': 100, 'outputs': 10, 'bias': True}}
    """
    named = {kind: name for name, kind in LAYERS.items()}
    return {name: {"layer": named[type(layer)], **asdict(layer)} for name, layer in layers.items()}


def layers_of(plain: Mapping[str, Mapping[str, Any]]) -> dict[str, Layer]:
    """The layers that this is plain for. Raises InputError where there is no such layer."""
    found: dict[str, Layer] = {}
    for name, said in plain.items():
        sizes = {key: value for key, value in said.items() if key != "layer"}
        try:
            found[name] = LAYERS[said["layer"]](**sizes)
        except (KeyError, TypeError) as error:
            raise InputError(
                f"layer {name} is {dict(said)}",
                expected=f"one of {', '.join(LAYERS)} with its sizes",
                fix="do the run again with this version of fedspike",
            ) from error
    return found


def activity_of(plain: Mapping[str, Any]) -> Activity:
    """The activity that a line of rounds or a summary has."""
    return Activity(**plain)


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

        >>> seen = Activity(samples=1, steps=0, events_in={"hidden": 11_215, "output": 4_850})
        >>> study = recorded([784, 100, 10], seen, time_steps=50)
        >>> round(study.events_per_synapse, 1)
        14.7
        """
        layers = self.network.synapses
        if self.network.time_steps is not None:
            layers = {name: x for name, x in layers.items() if self.network.spikes_enter(name)}
        met = sum(self.activity.met(name, layer) for name, layer in layers.items())
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
    layers: Sequence[int] | Mapping[str, Layer],
    activity: Activity,
    *,
    time_steps: int | None = None,
    spiking: Spiking | None = None,
    optimiser: Literal["adam", "sgd"] = "adam",
    uplink_bytes: int = 0,
) -> Recorded:
    """A network and its activity: its layers, or of fully connected ones the numbers of neurons, input first.

    There `events_in` has a layer's name for each pair of neighbours, in their order. Without `spiking` an SNN
    is the founding study's. Under the direct code the first layer's product is made once a sample, and kept.
    The bytes that the clients sent are models, and statistics if they are pooled.

    Raises InputError where these numbers are not those of one network.
    """
    if not isinstance(layers, Mapping):
        layers = _dense(layers, activity)
    spiking = spiking or Spiking()
    network = Network(
        layers,
        time_steps=time_steps,
        code=spiking.code,
        optimiser=optimiser,
        current_cached=spiking.code == "direct",
        readout=spiking.readout if time_steps else "spikes",
        neurons=spiking.neurons,
    )
    count(network, activity, training=False)  # raises where the activity is impossible
    return Recorded(network, activity, uplink_bytes // (BYTES_PER_WORD * words_sent(network)))


def _dense(neurons: Sequence[int], activity: Activity) -> dict[str, Layer]:
    """The fully connected layers between these numbers of neurons."""
    names = activity.events_in
    if len(neurons) != len(names) + 1 or min(activity.samples, *neurons) < 1:
        raise InputError(
            f"{activity.samples} samples through {'-'.join(map(str, neurons))} neurons with events into "
            f"{', '.join(names) or 'no layer'}",
            expected="a sample, and a layer's events between each two numbers of neurons",
            fix="give the numbers as the run's summary has them",
        )
    shapes: Iterable[Layer] = map(Dense, neurons[:-1], neurons[1:])
    return dict(zip(names, shapes, strict=True))


def standings(ann: Recorded, snn: Recorded, profile: Profile) -> list[Standing]:
    """Each dense layer of the SNN that spikes enter beside its break-even with the dense ANN.

    There is none for a normalised layer, nor for a convolution. It is at the highest level of an inference
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
    found = []
    for name, layer in snn.network.synapses.items():
        if not (isinstance(layer, Dense) and snn.network.spikes_enter(name)):
            continue
        if snn.network.normalised(name):
            continue
        level, even = _highest(name, profile, ann, snn)
        if level is None or even is None:
            return []
        spikes = snn.activity.events_in[name] / (samples * layer.inputs)
        out = left[name] / (samples * layer.outputs)
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
