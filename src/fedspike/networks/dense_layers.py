"""Fully connected layers with their sizes."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise

from fedspike.errors import InputError
from fedspike.layers.shapes import Dense, Pool, TwinSynapses
from fedspike.networks.sized_layers import InitialWeights, Layers, narrow


@dataclass(frozen=True)
class DenseLayers(Layers):
    """Fully connected layers; `sizes` are the neurons from the input to the classes.

    >>> layers = DenseLayers((784, 100, 10))
    >>> layers.names, layers.parameters, layers.synapses
    (('hidden', 'output'), 79510, 79400)
    """

    sizes: tuple[int, ...]
    initial_weights: InitialWeights = field(default="torch", repr=False)

    def __post_init__(self) -> None:
        if len(self.sizes) < 2 or min(self.sizes) < 1:
            raise InputError(
                f"layers of sizes {self.sizes}",
                expected="an input and an output layer at least, each of one neuron or more",
                fix="the founding study's network is (784, 100, 10)",
            )

    @cached_property
    def described(self) -> dict[str, TwinSynapses | Pool]:
        """The layers from input to output: hidden, or hidden1, hidden2 and so on, and output."""
        hidden = len(self.sizes) - 2
        inner = ("hidden",) if hidden == 1 else tuple(f"hidden{i + 1}" for i in range(hidden))
        layers = [Dense(*size) for size in pairwise(self.sizes)]
        return dict(zip((*inner, "output"), layers, strict=True))

    def narrowed(self, width: float) -> "DenseLayers":
        """The same with fewer hidden neurons.

        >>> DenseLayers((784, 100, 10)).narrowed(0.25)
        DenseLayers(sizes=(784, 25, 10))
        """
        inputs, *hidden, classes = self.sizes
        narrower = (narrow(neurons, width) for neurons in hidden)
        return replace(self, sizes=(inputs, *narrower, classes))
