"""A model's hidden neurons one by one: what belongs to each, and who reads it.

For algorithms that look at single neurons, whose place in a layer means nothing. The model has one hidden
layer, all to all: what is named after it has a row for each neuron, and the output layer's weights a column.
"""

from collections.abc import Mapping

from jaxtyping import Float, Int64
from torch import Tensor

from fedspike.algorithms.algorithm import Algorithm
from fedspike.errors import InputError
from fedspike.networks import Parameters, SizedNetwork
from fedspike.randomness import stream
from fedspike.rules import Apart, Rule


class OverNeurons(Algorithm):
    """An algorithm that looks at everybody's neurons, so that updates are kept apart."""

    def fitted(self, network: SizedNetwork) -> "OverNeurons":
        """Itself; raises InputError for a network that has not one hidden layer, all to all."""
        of_neurons(network.init(stream(0, "init")))
        return self

    def joining(self) -> Mapping[str, Rule]:
        """All updates, kept apart."""
        return {"update": Apart()}


def layers(model: Parameters) -> tuple[str, str]:
    """The hidden layer and the output layer; raises InputError where there are others, or convolutions.

    Clients may be the first axis of all tensors.
    """
    weighted = {n.removesuffix(".weight"): w for n, w in model.items() if n.endswith(".weight")}
    if len(weighted) != 2 or max(w.ndim for w in weighted.values()) > 3:
        raise InputError(
            f"an algorithm over single neurons, and a network of the layers {', '.join(weighted)}",
            expected="one hidden layer, all to all",
            fix='set architecture.kind = "dense" with one number in hidden, or algorithm.kind = "fedavg"',
            keys=("algorithm",),
        )
    (one, incoming), (other, outgoing) = weighted.items()
    follows = incoming.shape[-2] == outgoing.shape[-1]  # tensors have no order on the wire
    return (one, other) if follows else (other, one)


def of_neurons(model: Parameters) -> list[str]:
    """The tensors that have something for each hidden neuron; InputError beside a normalisation."""
    hidden, _ = layers(model)
    weight = f"{hidden}.weight"
    axis, names = model[weight].ndim - 2, [weight]
    for name, tensor in model.items():
        if name == weight or not name.startswith(f"{hidden}."):
            continue
        if tensor.ndim > axis + 1:
            raise InputError(
                f"an algorithm over single neurons, and a network with {name}",
                expected="a hidden layer without a normalisation",
                fix='set normalisation.kind = "none", or algorithm.kind = "fedavg"',
                keys=("algorithm",),
            )
        # A constant of the whole layer is one number.
        if tensor.shape[axis] == model[weight].shape[axis]:
            names.append(name)
    return names


def chosen(model: Parameters, neurons: Int64[Tensor, " neuron"]) -> Parameters:
    """The model with these of its neurons, in this order; clients may be the first axis of all tensors."""
    hidden, output = layers(model)
    axis, own = model[f"{hidden}.weight"].ndim - 2, of_neurons(model)
    taken = {}
    for name, tensor in model.items():
        if name in own:
            taken[name] = tensor.index_select(axis, neurons)
        elif name == f"{output}.weight":
            taken[name] = tensor.index_select(axis + 1, neurons)
        else:
            taken[name] = tensor
    return taken


def directions(weight: Float[Tensor, "neuron input"]) -> Float[Tensor, "neuron input"]:
    """Each neuron's incoming weights at length 1, in float64, so that products are cosines; 0 stays 0."""
    wide = weight.double()
    scaled: Tensor = wide / wide.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return scaled
