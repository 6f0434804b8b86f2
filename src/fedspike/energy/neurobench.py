"""NeuroBench's metrics of a trained model, from its parameters and what it did in the test.

Definitions of Yik et al., "The NeuroBench framework for benchmarking neuromorphic computing algorithms
and systems", Nature Communications 16, 2025, with the same integers as its package (2.3.0), which the
tests hold against these:

    footprint               bytes of parameters and buffers
    connection sparsity     weights that are 0 / weights; biases are not counted
    activation sparsity     outputs of neurons that are 0 / outputs, over layers, time steps and samples
    effective MACs, ACs     products of an input and a weight that are both not 0, per sample: ACs where
                            the inputs are spikes, MACs where they are real values
    dense operations        the same with all inputs and weights taken as not 0

A layer without an activation function behind it has no neurons here: an ANN's output layer, a membrane
read-out. The package calls a layer spiking whose inputs of a batch happen to be all -1, 0 or 1, we go by
the network; and it rounds the connection sparsity to 4 digits.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedspike.energy.description import Count, Fraction, NotNegative
from fedspike.errors import InputError
from fedspike.layers.activity import Activity
from fedspike.layers.operations import NetworkOperations
from fedspike.layers.shapes import Layer, Synapses, weighted_fan_out


@dataclass(frozen=True)
class Metrics:
    """The metrics, operations per sample; None is not known.

    `activation_sparsity` is None for a network without neurons, the effective operations where weights
    are 0 and nobody said which inputs met them.
    """

    footprint_bytes: Count
    connection_sparsity: Fraction
    activation_sparsity: Fraction | None
    effective_macs: NotNegative | None
    effective_acs: NotNegative | None
    dense_operations: Count


def metrics(
    parameters: Mapping[str, np.ndarray],
    layers: Mapping[str, Layer],
    network: NetworkOperations,
    tested: Activity,
    events_by_input: Mapping[str, np.ndarray] | None = None,
) -> Metrics:
    """The metrics of a model in a test.

    `layers` are the shapes of the network's layers, `parameters` all arrays of the model, buffers too; the
    weights of layer l are `l.weight`, in the shape that torch gives them. `events_by_input[l]` splits
    `tested.events_in[l]` by input, [input] or [channel, height, width]: needed only for a layer some of whose
    weights are 0, as in a quantised ANN.

    Raises InputError if nothing was tested, or an array does not fit its layer.

    """
    if tested.samples == 0:
        raise InputError(
            "metrics of a test of 0 samples", expected="a test", fix="test on at least one sample"
        )
    synapses_of = {name: x for name, x in layers.items() if isinstance(x, Synapses)}
    weights = {name: _weight(parameters, name, x) for name, x in synapses_of.items()}
    synapses = sum(weight.size for weight in weights.values())
    connected = sum(int(np.count_nonzero(weight)) for weight in weights.values())
    products: dict[bool, float | None] = {}
    for spikes in (False, True):
        counted = [
            _effective(synapses_of[name], network, name, weight, tested, events_by_input or {})
            for name, weight in weights.items()
            if (network.layers[name].enters == "spikes") == spikes
        ]
        numbers = [number for number in counted if number is not None]
        products[spikes] = sum(numbers) / tested.samples if len(numbers) == len(counted) else None
    return Metrics(
        footprint_bytes=sum(array.nbytes for array in parameters.values()),
        connection_sparsity=(synapses - connected) / synapses,
        activation_sparsity=_activation_sparsity(network, tested),
        effective_macs=products[False],
        effective_acs=products[True],
        # A layer runs at each time step, or once where its current is kept.
        dense_operations=sum(
            layer.synapses * (1 if network.layers[name].constant else network.time_steps or 1)
            for name, layer in synapses_of.items()
        ),
    )


def _weight(parameters: Mapping[str, np.ndarray], name: str, layer: Synapses) -> np.ndarray:
    shape = layer.weight_shape
    weight = parameters.get(f"{name}.weight")
    if weight is None or weight.shape != shape:
        raise InputError(
            f"{name}.weight: {'missing' if weight is None else f'shape {weight.shape}'}",
            expected=f"an array of shape {shape}",
            fix="pass all parameters of the model, under the names of the network's layers",
        )
    return weight


def _effective(
    layer: Synapses,
    network: NetworkOperations,
    name: str,
    weight: np.ndarray,
    tested: Activity,
    events_by_input: Mapping[str, np.ndarray],
) -> int | None:
    """Products of an event and a weight that are not 0; None if nobody knows which events met which."""
    if weight.all():
        return tested.met(network, name)
    if name not in events_by_input:
        return None
    events, reach = events_by_input[name], weighted_fan_out(layer, weight)
    if events.shape != reach.shape or events.sum() != tested.events_in[name]:
        raise InputError(
            f"{events.sum()} events of shape {events.shape} into layer {name}",
            expected=f"{tested.events_in[name]} events of shape {reach.shape}",
            fix="count the events of the same test, for each input of the layer",
        )
    return int((events * reach).sum())


def _activation_sparsity(network: NetworkOperations, tested: Activity) -> float | None:
    """Spikes, or values behind a ReLU, leave the neurons of a layer and enter the next one."""
    beside = {name: layer for name, layer in network.layers.items() if layer.fired}
    weighted = {name: layer for name, layer in network.layers.items() if layer.is_weighted}
    with_neurons = beside or weighted
    if network.time_steps is None or not list(with_neurons.values())[-1].fires:
        del with_neurons[list(with_neurons)[-1]]
    left, steps = tested.left(network), network.time_steps or 1
    outputs = tested.samples * steps * sum(layer.outputs for layer in with_neurons.values())
    fired = sum(left[name] for name in with_neurons)
    return (outputs - fired) / outputs if outputs else None
