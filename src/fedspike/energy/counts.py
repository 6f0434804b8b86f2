"""Operation counts: integers, additive over samples, clients and rounds.

`count` says what a network (`energy/network.py`) did, from what was really seen (`Activity`), by phase, layer
and operation. The table of what each layer does is at the top of `energy/rules.py`, that of what its neurons
do at the top of `energy/neurons.py`; the layers' sizes are in `energy/layers.py`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from fedspike.energy import rules
from fedspike.energy.network import Network
from fedspike.energy.neurons import Neurons, Operations
from fedspike.energy.rules import Phases, Seen
from fedspike.errors import InputError
from fedspike.layers.shapes import BatchNorm, Convolution, Dense, Layer, Pool, Synapses, fan_out

__all__ = [
    "Activity",
    "BatchNorm",
    "Convolution",
    "Counts",
    "Dense",
    "Network",
    "Neurons",
    "Operations",
    "Pool",
    "aggregation",
    "count",
    "entries",
    "exchange",
    "fan_out",
    "forward_operations",
    "merge",
    "words_sent",
]

Counts = dict[str, dict[str, Operations]]
"""phase -> layer -> operation -> how often."""

ARITHMETIC = ("mac", "ac", "multiply", "add", "compare", "sqrt", "exp", "draw", "address")
READS = ("read_input", "read_weight", "read_bias", "read_potential")
MEMORY = (*READS, "write_potential", "write_output")
BYTES = ("uplink_bytes", "downlink_bytes")
# Phases that only networks with such layers have.
BETWEEN: Mapping[type, str] = {Pool: "pool", BatchNorm: "normalise"}
INFERENCE = ("encode", "forward", *BETWEEN.values(), "neuron")
TRAINING = ("backward_weights", "backward_inputs", "surrogate", "optimiser")
PHASES = (*INFERENCE, *TRAINING, "aggregation", "exchange")
ENCODER = "input"  # what the phase `encode` has in place of a layer's name
BYTES_PER_WORD = 4


@dataclass(frozen=True)
class Activity:
    """What was really seen: adds up over batches, clients and rounds.

    `samples` were shown and `steps` of the optimiser made. `events_in[layer]` are the spikes, or for an
    ANN the non-zero values, that entered the layer (not a BatchNorm, which has no events), and
    `events_out` the spikes that left the last one. `synapses_met[layer]` are the synapses that the events
    of a Convolution met, `(events * fan_out(layer)).sum()`; those of a Dense layer follow from its events.
    For the first layer under the direct code both are of the samples' pixels that are not 0, counted once.
    """

    samples: int
    steps: int
    events_in: Mapping[str, int]
    events_out: int = 0
    synapses_met: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: "Activity") -> "Activity":
        return Activity(
            self.samples + other.samples,
            self.steps + other.steps,
            _sum(self.events_in, other.events_in),
            self.events_out + other.events_out,
            _sum(self.synapses_met, other.synapses_met),
        )

    def met(self, name: str, layer: Synapses) -> int:
        """Synapses that the events of a layer met."""
        if isinstance(layer, Dense):
            return self.events_in[name] * layer.outputs
        return self.synapses_met[name]

    def left(self, network: Network) -> dict[str, int]:
        """Events that left each layer that events enter: those that entered the next one."""
        _, *following = network.entered
        leaving = [*(self.events_in[name] for name in following), self.events_out]
        return dict(zip(network.entered, leaving, strict=True))


def count(
    network: Network, activity: Activity, *, skip_zeros: bool = False, training: bool = True
) -> Counts:
    """What `network` did while it showed `activity`.

    `skip_zeros` is hardware that leaves out a conventional layer's products with a zero input, forward
    and in the gradient of the weights. Without `training` only inference is counted, as in evaluation.

    Raises InputError where the activity cannot be that of the network.

    >>> network = Network({"hidden": Dense(784, 100), "output": Dense(100, 10)}, time_steps=50)
    >>> seen = Activity(samples=1, steps=0, events_in={"hidden": 11215, "output": 4850})
    >>> [ops["ac"] for ops in count(network, seen, training=False)["forward"].values()]
    [1121500, 48500]
    """
    _possible(network, activity)
    kinds = {type(layer) for layer in network.layers.values()}
    absent = {phase for kind, phase in BETWEEN.items() if kind not in kinds}
    phases = (*INFERENCE, *TRAINING) if training else INFERENCE
    counts: Counts = {phase: {} for phase in phases if phase not in absent}
    if network.time_steps is not None and network.code != "direct":
        first = next(iter(network.entered))
        seen = _seen(network, activity, first)
        pixels = network.layers[first].inputs
        counts["encode"][ENCODER] = rules.encoder(network.code, pixels, seen)
    each = rules.OPTIMISERS[network.optimiser]
    for name in network.layers:
        done = _done(network, activity, name, skip_zeros, training)
        if learned := network.parameters_of(name):
            updates = activity.steps * learned
            done["optimiser"] = {operation: k * updates for operation, k in each.items()}
        for phase in done.keys() & counts.keys():
            counts[phase][name] = done[phase]
    return counts


def aggregation(network: Network, clients: int) -> Counts:
    """The server's weighted mean of the clients' models: a MAC per client and parameter.

    Statistics of a BatchNorm take three for each mean and variance.
    """
    return {
        "aggregation": {
            name: {"mac": clients * (network.parameters_of(name) + 3 * _statistics(layer))}
            for name, layer in network.layers.items()
            if layer.parameters
        }
    }


def exchange(network: Network, clients: int, copies_up: int = 1, copies_down: int = 1) -> Counts:
    """Bytes on the wire of one round, in float32: SCAFFOLD sends two copies of the model's size.

    >>> both = exchange(Network({"output": Dense(100, 10)}), clients=10, copies_down=2)
    >>> both["exchange"]["output"]
    {'uplink_bytes': 40400, 'downlink_bytes': 80800}
    """
    copies = dict(zip(BYTES, (copies_up, copies_down), strict=True))
    return {
        "exchange": {
            name: {
                way: k * clients * _sent(network, name) * BYTES_PER_WORD
                for way, k in copies.items()
            }
            for name, layer in network.layers.items()
            if layer.parameters
        }
    }


def words_sent(network: Network) -> int:
    """Words that a client sends: its model and, if they are pooled, the statistics of BatchNorms."""
    return sum(_sent(network, name) for name in network.layers)


def merge(counts: Iterable[Counts]) -> Counts:
    """The sum of counts, whatever phases, layers and operations each has."""
    total: Counts = {}
    for part in counts:
        for phase, layer, operation, number in entries(part):
            operations = total.setdefault(phase, {}).setdefault(layer, {})
            operations[operation] = operations.get(operation, 0) + number
    return total


def entries(counts: Counts) -> Iterator[tuple[str, str, str, int]]:
    """Phase, layer, operation and number, one after the other."""
    for phase, layers in counts.items():
        for layer, operations in layers.items():
            for operation, number in operations.items():
                yield phase, layer, operation, number


def forward_operations(
    sizes: Mapping[str, tuple[int, int]], samples: int, spikes_in: Mapping[str, int]
) -> Operations:
    """Synaptic operations of forward passes, as the founding study counts them.

        ANN:  samples * sum over layers of I*O     multiply-accumulates (its Eq. 2)
        SNN:  sum over layers of spikes_in * O     accumulates           (its Eq. 3, T*R counted)

    `sizes[layer]` is (inputs I, outputs O); `spikes_in[layer]` counts the spikes that entered the layer
    over all time steps of all samples. A layer that no spikes enter is not in it, those of an ANN, and the
    first one under the direct code, whose product serves all time steps of a sample.

    >>> sizes = {"hidden": (784, 100), "output": (100, 10)}
    >>> forward_operations(sizes, samples=1, spikes_in={})
    {'mac': 79400, 'ac': 0}
    >>> forward_operations(sizes, samples=1, spikes_in={"hidden": 11215, "output": 4850})
    {'mac': 0, 'ac': 1170000}
    >>> forward_operations(sizes, samples=1, spikes_in={"output": 4850})
    {'mac': 78400, 'ac': 48500}
    """
    products = sum(i * o for layer, (i, o) in sizes.items() if layer not in spikes_in)
    met = sum(number * sizes[layer][1] for layer, number in spikes_in.items())
    return {"mac": samples * products, "ac": met}


def _done(
    network: Network, activity: Activity, name: str, skip_zeros: bool, training: bool
) -> Phases:
    """What one layer did, by the rules."""
    layer, names = network.layers[name], list(network.entered)
    if isinstance(layer, BatchNorm):
        passed = Seen(activity.samples, activity.steps, network.time_steps, 0, 0, 0)
        return rules.normalisation(layer, passed, training=training)
    seen = _seen(network, activity, name)
    if isinstance(layer, Pool):
        return rules.pooling(layer, seen)
    if network.time_steps is None:
        done = rules.conventional(layer, seen, skip_zeros=skip_zeros)
    elif name == names[0] and network.code == "direct":
        done = rules.driven(
            layer,
            seen,
            cached=network.current_cached,
            skip_zeros=skip_zeros,
            neurons=network.neurons,
            place=network.place(name),
        )
    else:
        done = rules.spiking(
            layer,
            seen,
            spikes=network.spikes_enter(name),
            neurons=network.neurons,
            place=network.place(name),
        )
    if name == names[0]:
        del done["backward_inputs"]
    return done


def _seen(network: Network, activity: Activity, name: str) -> Seen:
    layer, events = network.layers[name], activity.events_in[name]
    met = activity.met(name, layer) if isinstance(layer, Synapses) else events
    return Seen(
        *(activity.samples, activity.steps, network.time_steps, events, met),
        events_out=activity.left(network)[name],
    )


def _statistics(layer: Layer) -> int:
    """Means, and as many variances, that clients send."""
    return layer.groups if isinstance(layer, BatchNorm) and layer.pooled else 0


def _sent(network: Network, name: str) -> int:
    return network.parameters_of(name) + 2 * _statistics(network.layers[name])


def _sum(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in dict.fromkeys((*one, *other))}


def _possible(network: Network, activity: Activity) -> None:
    """Raise where an activity is not of this network, or more than all neurons can show."""
    shown = dict.fromkeys(network.entered, activity.samples * (network.time_steps or 1))
    names = list(shown)
    out = shown[names[-1]] * network.layers[names[-1]].outputs
    if network.time_steps is not None and network.code == "direct":
        shown[names[0]] = activity.samples
    most = {name: n * network.layers[name].inputs for name, n in shown.items()}
    most_out = 0 if network.readout == "membrane" else out
    meeting = {name: x for name, x in network.synapses.items() if isinstance(x, Convolution)}
    if (
        activity.events_in.keys() != most.keys()
        or activity.synapses_met.keys() != meeting.keys()
        or min(activity.samples, activity.steps) < 0
        or any(not 0 <= activity.events_in[name] <= most[name] for name in most)
        or not 0 <= activity.events_out <= most_out
    ):
        raise InputError(
            f"{activity}",
            expected=f"events into each layer of at most {most}, at most {most_out} out, and synapses_met "
            f"of {list(meeting) or 'no layer'}",
            fix="count the events of the samples that `samples` counts, at every time step",
        )
    for name, layer in meeting.items():
        events, met = activity.events_in[name], activity.synapses_met[name]
        each = fan_out(layer)
        most_met = min(shown[name] * layer.synapses, events * int(each.max()))
        if not events * int(each.min()) <= met <= most_met:
            raise InputError(
                f"{events} events that met {met} synapses of layer {name}",
                expected=f"{each.min()} to {each.max()} each, and at most {most_met}",
                fix="weight each event with its place in fan_out(layer), summed over all events",
            )
