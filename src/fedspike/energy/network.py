"""The network whose operations are counted: its layers, and how they are driven, read and trained."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

from fedspike.energy.neurons import LIF, Neurons, Place, constants, states
from fedspike.errors import InputError
from fedspike.layers.shapes import BatchNorm, Layer, Pool, Synapses

Code = Literal["rate", "latency", "phase", "burst", "delta", "direct"]
ReadOut = Literal["spikes", "membrane"]


@dataclass(frozen=True)
class Network:
    """What is counted: layers from input to output, and how they are driven, read and trained.

    Behind each layer with weights there are neurons; a BatchNorm that follows it is in between. The output
    layer of an SNN answers with its spikes or, read-out "membrane", with potentials that have no threshold.
    `time_steps` is None for an ANN. The code "direct" feeds real pixels to the first layer of an SNN at
    every step, `current_cached` says that its product is made once per sample and kept.
    """

    layers: Mapping[str, Layer]
    time_steps: int | None = None
    code: Code = "rate"
    optimiser: Literal["sgd", "adam"] = "adam"
    current_cached: bool = False
    readout: ReadOut = "spikes"
    neurons: Neurons = LIF

    def __post_init__(self) -> None:
        if not self.layers or (self.time_steps is not None and self.time_steps < 1):
            raise InputError(
                f"layers = {list(self.layers)}, time_steps = {self.time_steps}",
                expected="at least one layer, and at least one time step (None for an ANN)",
                fix="the founding study has the layers hidden and output and 50 time steps",
            )
        before: Layer | None = None
        for name, layer in self.layers.items():
            _fits(name, layer, before, self.time_steps)
            before = layer
        names = list(self.entered)
        if not {names[0], names[-1]} <= self.synapses.keys():
            raise InputError(
                f"layers from {names[0]} to {names[-1]}, one of them a Pool",
                expected="weights in the layer that is entered first and in the one entered last",
                fix="pool in between",
            )
        if self.readout == "membrane" and self.time_steps is None:
            raise InputError(
                "a membrane read-out without time steps",
                expected="an SNN: the neurons of an ANN have no membrane",
                fix='give time_steps, or readout = "spikes"',
            )

    @property
    def parameters(self) -> int:
        """Learned numbers of all layers and their neurons."""
        return sum(self.parameters_of(name) for name in self.layers)

    def parameters_of(self, name: str) -> int:
        """Learned numbers of a layer and the neurons behind it."""
        layer = self.layers[name]
        if self.time_steps is None or not isinstance(layer, Synapses):
            return layer.parameters
        return layer.parameters + constants(self.neurons, self.place(name), layer.outputs)

    def place(self, name: str) -> Place:
        """Where the neurons behind a layer with weights are."""
        layer, names = self.synapses[name], list(self.entered)
        return Place(
            fires=name != names[-1] or self.readout == "spikes",
            added=layer.bias or self.normalised(name),
            bias=layer.bias,
            weighted=name == names[0] and self.code == "phase",
        )

    def normalised(self, name: str) -> bool:
        """Whether a BatchNorm follows a layer."""
        return any(
            one == name and isinstance(self.layers[after], BatchNorm)
            for one, after in pairwise(self.layers)
        )

    @property
    def potentials(self) -> int:
        """Words that all neurons of an SNN keep."""
        if self.time_steps is None:
            return 0
        layers = self.synapses.items()
        return sum(x.outputs * states(self.neurons, self.place(name)) for name, x in layers)

    @property
    def synapses(self) -> dict[str, Synapses]:
        """The layers with weights, which have neurons behind them."""
        found = self.layers.items()
        return {name: layer for name, layer in found if isinstance(layer, Synapses)}

    def spikes_enter(self, name: str) -> bool:
        """Whether a layer's inputs are spikes, each an accumulate; if not they are real values.

        Real are those of an ANN, of the first layer under the direct code, and averages of spikes.
        """
        names = list(self.entered)
        at = names.index(name)
        if self.time_steps is None or (at == 0 and self.code == "direct"):
            return False
        before = self.entered[names[at - 1]] if at else None
        return not (isinstance(before, Pool) and before.kind == "average")

    @property
    def entered(self) -> dict[str, Synapses | Pool]:
        """The layers that events enter: all but the normalisations, which every value goes through."""
        found = self.layers.items()
        return {name: layer for name, layer in found if not isinstance(layer, BatchNorm)}


def _fits(name: str, layer: object, before: Layer | None, time_steps: int | None) -> None:
    """Raise where there is no rule for a layer, or none for it behind the one before."""
    if not isinstance(layer, Layer):
        raise InputError(
            f"layer {name} is a {type(layer).__name__}",
            expected=f"a layer with a rule: {', '.join(kind.__name__ for kind in get_args(Layer))}",
            fix="leave the energy of this network out, or add a rule to energy/rules.py",
        )
    steps = 1 if time_steps is None else time_steps
    if before is not None and layer.inputs != before.outputs:
        raise InputError(
            f"layer {name} has {layer.inputs} inputs behind {before.outputs} outputs",
            expected="as many inputs as the layer before has outputs",
            fix="correct the sizes",
        )
    if isinstance(layer, BatchNorm) and (
        not isinstance(before, Synapses) or layer.time_steps not in (1, steps)
    ):
        raise InputError(
            f"layer {name}: {layer} behind {before}, in a network of {steps} time steps",
            expected="a layer with weights before it, and statistics for all steps or for each",
            fix="put it between the weights and the neurons; time_steps is 1 or the network's",
        )
