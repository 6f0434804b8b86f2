"""What a network is, as an experiment describes it and as it runs."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np

from fedspike.errors import InputError
from fedspike.layers.operations import NetworkOperations
from fedspike.layers.shapes import Layer
from fedspike.networks.batch import Batch, Forward
from fedspike.networks.dropout import dropped
from fedspike.networks.operators import PLAIN, Operators
from fedspike.networks.sized_layers import Parameters
from fedspike.networks.steps import Steps
from fedspike.part import Part
from fedspike.parts.codes import Code
from fedspike.parts.losses import CrossEntropy, Loss, SpikeCountMSE
from fedspike.parts.neurons import Competitive
from fedspike.parts.read_outs import ReadOut
from fedspike.parts.tensors import Scores, Trains, Winners


@runtime_checkable
class Sized(Protocol):
    """The layers of a network that runs, from input to output."""

    @property
    def described(self) -> Mapping[str, Layer]:
        """Their shapes."""

    @property
    def layers(self) -> tuple[int, ...]:
        """Neurons (behind a pool: values) from the input to the classes."""

    @property
    def names(self) -> tuple[str, ...]:
        """The layers that have weights, first to last."""

    @property
    def parameters(self) -> int:
        """Learned numbers of weights and biases."""


@runtime_checkable
class Competition(Protocol):
    """A network of one layer of competing neurons, `inner`, and an `outer` one that reads their spikes."""

    @property
    def inner(self) -> str:
        """The competing layer's name."""

    @property
    def outer(self) -> str:
        """The reading layer's."""

    @property
    def neuron(self) -> Competitive:
        """What competes."""

    def entering(self, batch: Batch, operators: Operators = PLAIN) -> Trains:
        """The spikes that enter the inner layer, weighted as the code says."""

    def read(self, parameters: Parameters, winners: Winners) -> Scores:
        """What the outer layer makes of who fired at each step, -1 for nobody."""


class SizedNetwork(ABC):
    """A network whose sizes are known, so that it runs. Nobody asks for its type.

    What a kind does not write is as of a conventional one: one time step, no code, read-out or statistics.
    """

    architecture: Sized
    amplification: float = 1.0

    @property
    def described(self) -> Mapping[str, Layer]:
        """The shapes of its layers from input to output, normalisations among them."""
        return self.architecture.described

    @property
    def time_steps(self) -> int:
        """T."""
        return 1

    @property
    def code(self) -> Code | None:
        """What makes spikes of samples, if it is spiking."""
        return None

    @property
    def read_out(self) -> ReadOut | None:
        """What makes scores of what a spiking network answers."""
        return None

    @property
    def usual_loss(self) -> Loss:
        """The loss that it is trained with unless another one is chosen."""
        return usual_loss(self.read_out)

    @property
    def spiked(self) -> list[str]:
        """The layers that spikes enter: not the first under the direct code, and none behind an average."""
        return [name for name, x in self.operations().layers.items() if x.enters == "spikes"]

    @property
    def pools_statistics(self) -> bool:
        """Whether the server pools the clients' running statistics; else they never leave their client."""
        return False

    @property
    @abstractmethod
    def bytes_per_sample(self) -> int:
        """Memory of a training step in plain torch, about."""

    @property
    def bytes_at_peak(self) -> int:
        """The same, of a sample when most of it is in use."""
        return self.bytes_per_sample

    @property
    def samples_in_cache(self) -> int | None:
        """Samples that are computed at once, so that layers stay in a cache; None: the whole batch."""
        return None

    @property
    def samples_at_a_step(self) -> int | None:
        """The same, where one time step is computed after the other."""
        return None

    def rises(self, layer: str) -> tuple[float, float] | None:
        """Of thresholds that rise with each spike: by how much, and the share left of it after a step."""
        del layer
        return None

    @abstractmethod
    def init(self, generator: np.random.Generator) -> Parameters:
        """Parameters before any training, float32, no client axis."""

    def statistics(self) -> Parameters:
        """Running statistics before any training; {} without a normalisation."""
        return {}

    def narrowed(self, width: float, amplification: float = 1.0) -> "SizedNetwork":
        """The same network with the share `width` of each hidden layer; see `amplified`.

        Raises InputError where nobody knows its hidden layers.
        """
        raise InputError(
            f"{type(self).__name__} with {width:g} of its hidden layers, amplified {amplification:g} times",
            expected="a network of [architecture], whose layers can be narrowed",
            fix="train it whole, without remedies that narrow it",
        )

    def in_steps(self, time_steps: int, *, longer: bool = False) -> "SizedNetwork":
        """The same network in so many time steps, or longer ones; itself where it has no time.

        Raises InputError where they are more than it has, or nobody knows its constants in them.
        """
        if self.code is None or time_steps == self.time_steps:
            return self
        raise InputError(
            f"{type(self).__name__} in {time_steps} {'longer ' * longer}time steps",
            expected="an SNN, whose neurons are known in other time steps",
            fix="train it in all its time steps, without remedies that have fewer",
        )

    def amplified(self, parameters: Parameters) -> Parameters:
        """Parameters as the network computes with them, or gradients as parameters have them.

        What comes from a narrowed layer counts `amplification` times as much in the next one, as if those
        that are missing did as those that are there.
        """
        if self.amplification == 1:
            return parameters
        behind = [f"{name}.weight" for name in self.architecture.names[1:]]
        return parameters | {name: self.amplification * parameters[name] for name in behind}

    @property
    def signed(self) -> bool:
        """Whether samples may also hold negative numbers, from -1 on."""
        return self.code is None or self.code.signed

    @property
    def numbers(self) -> int:
        """Of a sample that does not move, or inputs of one that was recorded."""
        each = 1 if self.code is None else self.code.inputs_per_number
        return self.architecture.layers[0] // each

    @property
    def stored(self) -> int:
        """Numbers that hold a sample that does not move: its own, or the words of a recording's trains."""
        words = -(-self.time_steps // 64) if self.code is not None and self.code.recorded else 1
        return self.numbers * words

    def takes(self, pixels: int) -> bool:
        """Whether samples of so many numbers fit: one per input or, where they move, T frames of these."""
        moves = self.code is not None and self.code.moving
        return pixels == self.numbers or (moves and pixels == self.numbers * self.time_steps)

    @abstractmethod
    def run(self, parameters: Parameters, batch: Batch, operators: Operators = PLAIN) -> Forward:
        """From pixels to scores, with the running statistics among the parameters if there are any."""

    @property
    def competition(self) -> Competition | None:
        """Its layer of competing neurons, if it is one of these and an output layer that reads them."""
        return None

    def demand_representations(self) -> None:
        """Raise InputError where nobody knows what enters its last layer."""
        raise InputError(
            f"a {type(self).__name__} whose last layer nobody has described",
            expected="a network of [architecture], of which is known what enters the last layer",
            fix='take an ANN or an SNN, or an algorithm that compares no representations, as "fedavg"',
            keys=("algorithm", "network"),
        )

    def demand_dropout(self) -> None:
        """Raise InputError where it has no hidden layer of which values can be left out."""
        if not dropped(self.described):
            raise InputError(
                f"dropout in a {type(self).__name__} without a fully connected hidden layer",
                expected="a network of [architecture] with hidden layers",
                fix="leave dropout out; a module of your own can have torch.nn.Dropout",
                keys=("dropout",),
            )

    def demand_steps(self) -> None:
        """Raise InputError where it cannot be run one time step after the other, as some learners want."""
        raise self._without_steps()

    def steps(self, parameters: Parameters, batch: Batch, *, apart: bool) -> Steps:
        """One time step after the other, of a network for which `demand_steps` raised nothing."""
        del parameters, batch, apart
        raise self._without_steps()

    def _without_steps(self) -> InputError:
        return InputError(
            f"a {type(self).__name__}, which is not run one time step after the other",
            expected="a spiking network of layers that are described",
            fix="take an SNN, or learn by backpropagation",
            keys=("learner", "network"),
        )

    @abstractmethod
    def operations(self) -> NetworkOperations:
        """What a device does for it; raises InputError where that cannot be counted."""


class Network(Part):
    """A network as an experiment describes it: all but the sizes, which follow from the data.

    `in_names` are the fields that the name of every run says, because they follow from others. Twins in one
    file share what they have in common, but for what is `alone` a kind's.
    """

    in_names: ClassVar[tuple[str, ...]] = ()
    alone: ClassVar[tuple[str, ...]] = ()

    @property
    def spiking(self) -> bool:
        """Whether spikes flow in it."""
        return False

    @property
    def usual_loss(self) -> Loss:
        """The loss that it is trained with unless another one is chosen."""
        return usual_loss(None)

    def demand_loss(self, loss: Loss) -> None:
        """Raise InputError where a loss is not meant for its scores."""
        loss.demand_scores(None, 1)

    def demand_competition(self) -> None:
        """Raise InputError where no local rule can train it, which takes a layer of neurons that compete."""
        raise no_competition(f"a network of kind {self.kind}")

    @abstractmethod
    def over(self, shape: tuple[int, ...], classes: int) -> SizedNetwork:
        """The network for samples of this shape; raises InputError where they do not fit."""

    def __str__(self) -> str:
        fields = (f"{name}={getattr(self, name)!r}" for name in self.__struct_fields__)
        return f"{type(self).__name__}({', '.join(fields)})"


def usual_loss(read_out: ReadOut | None) -> Loss:
    """Of spike counts the founding study's, of other scores cross-entropy."""
    return SpikeCountMSE() if read_out is not None and read_out.counts else CrossEntropy()


def no_competition(passed: str) -> InputError:
    """For a network that no local rule can train."""
    return InputError(
        f"{passed}, trained by a local rule",
        expected="an SNN of one dense hidden layer of competing neurons, whose output membranes are read",
        fix='set network = "snn", neuron.kind = "competitive", read_out.kind = "membrane" and '
        'architecture.kind = "dense" with one number in hidden',
        keys=("learner",),
    )
