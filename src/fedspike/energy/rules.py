"""What a layer does: the rules that `counts.count` applies, one table.

For a layer with I inputs, O outputs and S synapses (dense: S = I*O; convolution: without those that
padding would have), T time steps, n samples, theta events that entered it, sigma synapses that these met
(dense: sigma = theta*O) and theta_out events that left it, all over all steps of all samples:

    phase              ANN                                    SNN
    encode             -                                      n*T*I comparisons, n*I pixels read, theta
                                                              spikes written; rate: n*T*I draws; delta:
                                                              n*T*I add
    forward            n*S MAC (zero-skipping: sigma)         sigma AC and address
      reads            n*I inputs, as many weights as MAC     theta inputs, sigma weights and potentials
      writes           -                                      sigma potentials
    neuron             n*O comparisons                        LIF: n*T*O (multiply, add, compare), theta_out
                                                              resets; all: `neurons.py`
      reads            n*O biases                             n*T*O biases and potentials
      writes           n*O outputs                            n*T*O potentials, theta_out spikes
    backward_weights   n*S MAC (zero-skipping: sigma)         sigma AC
    backward_inputs    n*S MAC                                n*T*S MAC; neither for the first layer
    surrogate          n*O multiply                           LIF: n*T*O (4 multiply, 2 add, 1 compare)
    optimiser          per parameter and step: SGD 1 multiply, 1 add; Adam 11 multiply, 4 add, 1 sqrt;
                       learned constants of neurons are parameters of their layer

    membrane read-out  -                                      the last layer's neurons only leak and add: no
                                                              compare, no reset; n*O outputs written;
                                                              surrogate n*T*O (1 multiply, 1 add)
    direct code        -                                      first layer: n*T*S MAC, n*T*I inputs read, as
                                                              many weights as MAC; with the current cached
                                                              n*S, n*I and n*O outputs written, and in
                                                              backward_weights n*T*O add
    without bias       no reads of biases                     nor, unless a BatchNorm follows, their add
    behind an average  -                                      MAC in place of AC: its values are no spikes

Pooling, I inputs and O outputs, phases `pool` and `backward_inputs`:

    average            n*(I-O) add, n*O multiply              theta add, theta_out multiply
    max                n*(I-O) compare                        theta compare
      reads, writes    n*I inputs, n*O outputs                theta inputs, theta_out outputs
    backward, average  n*O multiply                           n*T*O multiply; of a maximum: nothing

Batch normalisation of N = n*T*O values (ANN: T = 1) in G groups of one mean and variance, B batches:

    normalise          trained: N (3 multiply, 3 add; shift: 1 add more), B*G (6 multiply, 3 add, 1 sqrt)
                       tested: N (1 multiply, 1 add), scale and shift being prepared
      reads            N weights; if there is an add after them, N biases
    backward_weights   N MAC, N add
    backward_inputs    N (2 multiply, 2 add), B*G 3 multiply
    aggregation        per client: a MAC per parameter; if pooled 3 per group: the variance needs the mean's

Memory accesses are of 32-bit words. They follow Lemaire et al., "An Analytical Estimation of Spiking
Neural Networks Energy Efficiency", ICONIP 2022, without the factor I that its Eq. 2.4 has too much;
training follows Yin et al., "SATA: Sparsity-Aware Training Accelerator for Spiking Neural Networks",
IEEE TCAD 2023. Normalisation follows Ioffe and Szegedy, "Batch Normalization", ICML 2015, Algorithm 1 and
the gradients below it. Ours are the rows of the encoder, of pooling, of all neurons but LIF, and the
selection of the surrogate, counted as a comparison. A code without randomness compares at every step too (is
it now that this pixel spikes?); when that is, is taken to be known with the pixel. The rows of an SNN hold
for all its steps: who stops at the first spike of the output does less than is counted.
Not counted: memory accesses of training, gradients of biases, the loss, the sum of a read-out over time,
the search for the best score.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from fedspike.energy.neurons import (
    Neurons,
    Operations,
    Place,
    slope,
    slope_of_spike,
    spike,
    total,
    update,
)
from fedspike.layers.shapes import BatchNorm, Pool, Synapses

Phases = dict[str, Operations]
"""phase -> operations of one layer."""

OPTIMISERS: Mapping[str, Operations] = {
    "sgd": {"multiply": 1, "add": 1},
    "adam": {"multiply": 11, "add": 4, "sqrt": 1},
}


@dataclass(frozen=True)
class Seen:
    """What one layer saw: n, B, T (None: ANN), theta, sigma and theta_out of the table."""

    samples: int
    batches: int
    time_steps: int | None
    events: int
    met: int
    events_out: int

    @property
    def passes(self) -> int:
        """n*T, how often the layer was run."""
        return self.samples * (1 if self.time_steps is None else self.time_steps)


CODES: Mapping[str, Operations] = {
    "rate": {"draw": 1, "compare": 1},
    "latency": {"compare": 1},
    "phase": {"compare": 1},
    "burst": {"compare": 1},
    "delta": {"add": 1, "compare": 1},
    "direct": {},
}
"""What a code does with a pixel at a time step."""


def encoder(code: str, pixels: int, seen: Seen) -> Operations:
    """A pixel is read once and looked at in every step."""
    done = total([(CODES[code], seen.passes * pixels)])
    return {**done, "read_input": seen.samples * pixels, "write_output": seen.events}


def conventional(layer: Synapses, seen: Seen, *, skip_zeros: bool) -> Phases:
    """A layer of an ANN."""
    n, outputs = seen.samples, seen.samples * layer.outputs
    products = seen.met if skip_zeros else n * layer.synapses
    return {
        "forward": {"mac": products, "read_input": n * layer.inputs, "read_weight": products},
        "neuron": {"compare": outputs, "read_bias": layer.bias * outputs, "write_output": outputs},
        "backward_weights": {"mac": products},
        "backward_inputs": {"mac": n * layer.synapses},
        "surrogate": {"multiply": outputs},
    }


def spiking(layer: Synapses, seen: Seen, *, spikes: bool, neurons: Neurons, place: Place) -> Phases:
    """A layer of neurons that spikes enter, or, if not `spikes`, real values at some steps."""
    met, product = seen.met, "ac" if spikes else "mac"
    return {
        "forward": {
            **{product: met, "address": met, "read_input": seen.events, "read_weight": met},
            **{"read_potential": met, "write_potential": met},
        },
        "backward_weights": {product: met},
        "backward_inputs": {"mac": seen.passes * layer.synapses},
        **_neurons(layer, seen, neurons, place),
    }


def driven(
    layer: Synapses, seen: Seen, *, cached: bool, skip_zeros: bool, neurons: Neurons, place: Place
) -> Phases:
    """A first layer of neurons under the direct code, whose inputs are the pixels at every step.

    A cached current is written once and already holds the bias: what is read in its place later.
    """
    steps = 1 if cached else seen.time_steps or 1
    products = steps * (seen.met if skip_zeros else seen.samples * layer.synapses)
    inputs = {"read_input": steps * seen.samples * layer.inputs, "read_weight": products}
    written = seen.samples * layer.outputs if cached else 0
    return {
        "forward": {"mac": products, **inputs, "write_output": written},
        # With a constant input the gradient is that of the current's sum over time.
        "backward_weights": {"mac": products, "add": seen.passes * layer.outputs if cached else 0},
        "backward_inputs": {},
        **_neurons(layer, seen, neurons, place),
    }


def _neurons(layer: Synapses, seen: Seen, neurons: Neurons, place: Place) -> Phases:
    """All neurons of a layer at all steps; membranes that are read out leave it once a sample."""
    updates = seen.passes * layer.outputs
    read_out = {} if place.fires else {"write_output": seen.samples * layer.outputs}
    fired = seen.events_out
    return {
        "neuron": total(
            [(update(neurons, place), updates), (spike(neurons, place), fired), (read_out, 1)]
        ),
        "surrogate": total(
            [(slope(neurons, place), updates), (slope_of_spike(neurons, place), fired)]
        ),
    }


def pooling(layer: Pool, seen: Seen) -> Phases:
    """A window's values are added or compared; spikes one by one, as they come."""
    average = layer.kind == "average"
    read, written = seen.samples * layer.inputs, seen.samples * layer.outputs
    joined = read - written
    if seen.time_steps is not None:
        read, written, joined = seen.events, seen.events_out, seen.events
    done = {"add": joined, "multiply": written} if average else {"compare": joined}
    return {
        "pool": {**done, "read_input": read, "write_output": written},
        "backward_inputs": {"multiply": seen.passes * layer.outputs} if average else {},
    }


def normalisation(layer: BatchNorm, seen: Seen, *, training: bool) -> Phases:
    """x_hat = (x - mean) / sqrt(variance + eps), y = scale * x_hat + shift."""
    values, groups = seen.passes * layer.outputs, seen.batches * layer.groups
    reads = {"read_weight": values, "read_bias": values if layer.shift or not training else 0}
    if not training:
        return {"normalise": {"multiply": values, "add": values, **reads}}
    forward = {
        "multiply": 3 * values + 6 * groups,
        "add": (3 + layer.shift) * values + 3 * groups,
        "sqrt": groups,
    }
    return {
        "normalise": {**forward, **reads},
        "backward_weights": {"mac": values, "add": values},
        "backward_inputs": {"multiply": 2 * values + 3 * groups, "add": 2 * values},
    }
