"""Operation counts: integers, additive over samples, clients and rounds.

`count` says what a network did, from what was really seen (`Activity`), by phase, layer and operation.
For a fully connected layer with I inputs, O outputs and T time steps, n samples, and theta events
that entered it (and theta_out that left it) over all steps of all samples:

    phase              ANN                                    SNN
    encode             -                                      n*T*I draws and comparisons, n*I pixels
                                                              read, theta spikes written
    forward            n*I*O MAC (zero-skipping: theta*O)     theta*O AC and address
      reads            n*I inputs, n*I*O weights              theta inputs, theta*O weights and potentials
      writes           -                                      theta*O potentials
    neuron             n*O comparisons                        n*T*O (multiply, add, compare), theta_out resets
      reads            n*O biases                             n*T*O biases and potentials
      writes           n*O outputs                            n*T*O potentials, theta_out spikes
    backward_weights   n*I*O MAC (zero-skipping: theta*O)     theta*O AC
    backward_inputs    n*I*O MAC                              n*T*I*O MAC; neither for the first layer
    surrogate          n*O multiply                           n*T*O (4 multiply, 2 add, 1 compare)
    optimiser          per parameter and step: SGD 1 multiply, 1 add; Adam 11 multiply, 4 add, 1 sqrt

Memory accesses are of 32-bit words. They follow Lemaire et al., "An Analytical Estimation of Spiking
Neural Networks Energy Efficiency", ICONIP 2022, without the factor I that its Eq. 2.4 has too much;
training follows Yin et al., "SATA: Sparsity-Aware Training Accelerator for Spiking Neural Networks",
IEEE TCAD 2023. Ours are the encoder's row and the selection of the surrogate, counted as a comparison.
Not counted: memory accesses of training, gradients of biases, the loss, the search for the best score.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from fedspike.errors import InputError

Operations = dict[str, int]
"""How often each kind of operation was done, e.g. {"mac": 79400, "ac": 0}."""

Counts = dict[str, dict[str, Operations]]
"""phase -> layer -> operation -> how often."""

ARITHMETIC = ("mac", "ac", "multiply", "add", "compare", "sqrt", "draw", "address")
READS = ("read_input", "read_weight", "read_bias", "read_potential")
MEMORY = (*READS, "write_potential", "write_output")
BYTES = ("uplink_bytes", "downlink_bytes")
INFERENCE = ("encode", "forward", "neuron")
TRAINING = ("backward_weights", "backward_inputs", "surrogate", "optimiser")
PHASES = (*INFERENCE, *TRAINING, "aggregation", "exchange")
ENCODER = "input"  # what the phase `encode` has in place of a layer's name
BYTES_PER_WORD = 4
OPTIMISERS: dict[str, Operations] = {
    "sgd": {"multiply": 1, "add": 1},
    "adam": {"multiply": 11, "add": 4, "sqrt": 1},
}


@dataclass(frozen=True)
class Dense:
    """A fully connected layer with a bias for each output."""

    inputs: int
    outputs: int

    @property
    def synapses(self) -> int:
        """Weights, I*O."""
        return self.inputs * self.outputs

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return self.synapses + self.outputs


@dataclass(frozen=True)
class Network:
    """What is counted: layers from input to output, and how they are driven and trained.

    `time_steps` is None for an ANN. The code "direct" feeds real pixels to the first layer of an SNN at
    every step, `current_cached` says that its product is made once per sample and kept.
    """

    layers: Mapping[str, Dense]
    time_steps: int | None = None
    code: Literal["rate", "direct"] = "rate"
    optimiser: Literal["sgd", "adam"] = "adam"
    current_cached: bool = False

    def __post_init__(self) -> None:
        for name, layer in self.layers.items():
            if type(layer) is not Dense:
                raise InputError(
                    f"layer {name} is a {type(layer).__name__}",
                    expected="a layer whose operations there is a rule for: Dense",
                    fix="leave the energy of this network out, or add a rule to energy/counts.py",
                )
        if not self.layers or (self.time_steps is not None and self.time_steps < 1):
            raise InputError(
                f"layers = {list(self.layers)}, time_steps = {self.time_steps}",
                expected="at least one layer, and at least one time step (None for an ANN)",
                fix="the founding study has the layers hidden and output and 50 time steps",
            )

    @property
    def parameters(self) -> int:
        """Learned numbers of all layers."""
        return sum(layer.parameters for layer in self.layers.values())


@dataclass(frozen=True)
class Activity:
    """What was really seen: adds up over batches, clients and rounds.

    `samples` were shown and `steps` of the optimiser made. `events_in[layer]` are the spikes, or for an
    ANN the non-zero values, that entered the layer, and `events_out` the spikes that left the last one.
    For the first layer under the direct code they are the samples' non-zero pixels, counted once.
    """

    samples: int
    steps: int
    events_in: Mapping[str, int]
    events_out: int = 0

    def __add__(self, other: "Activity") -> "Activity":
        layers = dict.fromkeys((*self.events_in, *other.events_in))
        return Activity(
            self.samples + other.samples,
            self.steps + other.steps,
            {name: self.events_in.get(name, 0) + other.events_in.get(name, 0) for name in layers},
            self.events_out + other.events_out,
        )


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
    n, steps = activity.samples, network.time_steps
    phases = (*INFERENCE, *TRAINING) if training else INFERENCE
    counts: Counts = {phase: {} for phase in phases}
    names = list(network.layers)
    leaving = [*(activity.events_in[name] for name in names[1:]), activity.events_out]
    if steps is not None and network.code == "rate":
        inputs, spikes = network.layers[names[0]].inputs, activity.events_in[names[0]]
        counts["encode"][ENCODER] = _encoder(inputs, n, steps, spikes)
    for name, events_out in zip(names, leaving, strict=True):
        layer, first, events = network.layers[name], name == names[0], activity.events_in[name]
        if steps is None:
            done = _conventional(layer, n, events if skip_zeros else n * layer.inputs)
        elif first and network.code == "direct":
            passes = 1 if network.current_cached else steps
            values = passes * (events if skip_zeros else n * layer.inputs)
            done = _driven(layer, n, steps, passes, values, events_out)
        else:
            done = _spiking(layer, n, steps, events, events_out)
        if first:
            del done["backward_inputs"]
        updates = activity.steps * layer.parameters
        each = OPTIMISERS[network.optimiser]
        done["optimiser"] = {operation: k * updates for operation, k in each.items()}
        for phase in done.keys() & counts.keys():
            counts[phase][name] = done[phase]
    return counts


def aggregation(network: Network, clients: int) -> Counts:
    """The server's weighted mean of the clients' models: a MAC per client and parameter."""
    return {
        "aggregation": {
            name: {"mac": clients * layer.parameters} for name, layer in network.layers.items()
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
                way: k * clients * layer.parameters * BYTES_PER_WORD for way, k in copies.items()
            }
            for name, layer in network.layers.items()
        }
    }


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
    over all time steps of all samples, and is empty for an ANN.

    >>> sizes = {"hidden": (784, 100), "output": (100, 10)}
    >>> forward_operations(sizes, samples=1, spikes_in={})
    {'mac': 79400, 'ac': 0}
    >>> forward_operations(sizes, samples=1, spikes_in={"hidden": 11215, "output": 4850})
    {'mac': 0, 'ac': 1170000}
    """
    if not spikes_in:
        return {"mac": samples * sum(i * o for i, o in sizes.values()), "ac": 0}
    return {"mac": 0, "ac": sum(spikes_in[layer] * o for layer, (_, o) in sizes.items())}


def _encoder(inputs: int, n: int, steps: int, spikes: int) -> Operations:
    """A pixel is read once and compared with a random number at every step."""
    drawn = n * steps * inputs
    return {"draw": drawn, "compare": drawn, "read_input": n * inputs, "write_output": spikes}


def _conventional(layer: Dense, n: int, values: int) -> dict[str, Operations]:
    """A layer of an ANN that multiplies with `values` inputs."""
    outputs, products = n * layer.outputs, values * layer.outputs
    return {
        "forward": {"mac": products, "read_input": n * layer.inputs, "read_weight": products},
        "neuron": {"compare": outputs, "read_bias": outputs, "write_output": outputs},
        "backward_weights": {"mac": products},
        "backward_inputs": {"mac": n * layer.synapses},
        "surrogate": {"multiply": outputs},
    }


def _spiking(
    layer: Dense, n: int, steps: int, events: int, events_out: int
) -> dict[str, Operations]:
    """A layer of LIF neurons that spikes enter."""
    met = events * layer.outputs
    return {
        "forward": {
            **{"ac": met, "address": met, "read_input": events, "read_weight": met},
            **{"read_potential": met, "write_potential": met},
        },
        "neuron": _membranes(n * steps * layer.outputs, events_out),
        "backward_weights": {"ac": met},
        "backward_inputs": {"mac": n * steps * layer.synapses},
        "surrogate": _surrogate(n * steps * layer.outputs),
    }


def _driven(
    layer: Dense, n: int, steps: int, passes: int, values: int, events_out: int
) -> dict[str, Operations]:
    """A first layer of LIF neurons under the direct code: `values` real inputs in so many passes.

    A cached current is written once and already holds the bias: what is read in its place later.
    """
    products, updates = values * layer.outputs, n * steps * layer.outputs
    inputs = n * passes * layer.inputs
    cached = passes < steps
    return {
        "forward": {
            **{"mac": products, "read_input": inputs, "read_weight": products},
            "write_output": n * layer.outputs if cached else 0,
        },
        "neuron": _membranes(updates, events_out),
        # With a constant input the gradient is that of the current's sum over time.
        "backward_weights": {"mac": products, "add": updates if cached else 0},
        "backward_inputs": {},
        "surrogate": _surrogate(updates),
    }


def _membranes(updates: int, events_out: int) -> Operations:
    """Leak, bias and threshold of every neuron at every step, and a subtraction for each spike."""
    return {
        **{"multiply": updates, "add": updates + events_out, "compare": updates},
        **{"read_bias": updates, "read_potential": updates, "write_potential": updates},
        "write_output": events_out,
    }


def _surrogate(updates: int) -> Operations:
    """The arctangent's slope and the recurrence backward in time."""
    return {"multiply": 4 * updates, "add": 2 * updates, "compare": updates}


def _possible(network: Network, activity: Activity) -> None:
    """Raise where an activity is not of this network, or more than all neurons can show."""
    steps = 1 if network.time_steps is None else network.time_steps
    names = list(network.layers)
    most = {name: activity.samples * steps * network.layers[name].inputs for name in names}
    if network.time_steps is not None and network.code == "direct":
        most[names[0]] = activity.samples * network.layers[names[0]].inputs
    seen = dict(activity.events_in)
    most_out = activity.samples * steps * network.layers[names[-1]].outputs
    if (
        seen.keys() != most.keys()
        or min(activity.samples, activity.steps) < 0
        or any(not 0 <= seen[name] <= most[name] for name in names)
        or not 0 <= activity.events_out <= most_out
    ):
        raise InputError(
            f"{activity}",
            expected=f"events into each layer of at most {most}, and at most {most_out} out",
            fix="count the events of the samples that `samples` counts, at every time step",
        )
