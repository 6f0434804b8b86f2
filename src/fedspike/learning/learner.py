"""What a learner is: how clients get from the parameters that they start with to better ones."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from jaxtyping import Float, Int64
from msgspec import Meta
from torch import Tensor

from fedspike.engine.engines import Engine
from fedspike.layers.activity import Activity
from fedspike.layers.operations import BACKWARD, NetworkOperations, Table
from fedspike.learning.comparison import Comparison
from fedspike.learning.labels import Labels
from fedspike.networks import Network, Parameters, SizedNetwork
from fedspike.part import Part, abstractmethod
from fedspike.parts.codes import Address

Correction = Callable[[Parameters, Parameters, int], Parameters]
"""(gradients, parameters, k) of the first k clients -> corrected gradients of those that are trained."""


def uncorrected(gradients: Parameters, parameters: Parameters, k: int) -> Parameters:
    """The `Correction` of an algorithm that has none: the gradients as they are."""
    del parameters, k
    return gradients


Together = Annotated[int, Meta(ge=1, lt=2**31)] | Literal["all"]
"""Samples of a minibatch that are in memory together."""


@dataclass(frozen=True)
class Shown:
    """What the clients of a cohort are shown in a round.

    `positions[k]` are those in `pixels` and `labels` that client k sees, in that order, all epochs one after
    the other. Clients come in descending order of their number. `address` is where this stands in the
    experiment. With a `comparison` their models are compared with others.
    """

    pixels: Float[Tensor, "sample pixel"]
    labels: Int64[Tensor, " sample"]
    positions: list[Int64[Tensor, " _shown"]]
    address: Address
    comparison: Comparison | None = None


@dataclass(frozen=True)
class Trained:
    """What a cohort's local training produced; every list has an entry per client."""

    parameters: Parameters  # and running statistics
    steps: list[int]
    losses: list[float]
    activities: list[Activity]


class Learner(Part):
    """Local training, of many clients side by side.

    `left_to_network` are the fields that follow from the network unless they are given. `backward` says
    whether it takes the backward passes that a network counts, `takes_gradients` whether it asks for its
    gradients to be corrected, `takes_comparisons` whether it has the gradient of a `Comparison`.
    """

    left_to_network: ClassVar[tuple[str, ...]] = ()
    backward: ClassVar[bool] = True
    takes_gradients: ClassVar[bool] = True
    takes_comparisons: ClassVar[bool] = False

    @property
    def epochs(self) -> int:
        """How often a client sees its samples in a round."""
        return 1

    @property
    def models_remembered(self) -> int:
        """Tensors of the model's size that a client keeps from round to round for it."""
        return 0

    @property
    def learning_rate(self) -> float:
        """The length of a step along the gradient; 1 of a learner that has none."""
        return 1.0

    def in_round(self, round: int) -> "Learner":
        """As it is in a round, from 1 on: with a learning rate that changes over the rounds."""
        del round
        return self

    def remembers(self, model: Parameters) -> Parameters:
        """What a client's learner knows of the rounds before, before the first: beside the `model`, by name.

        It comes with `start`, like running statistics, and changed with what is trained.
        """
        del model
        return {}

    @property
    def copies(self) -> int:
        """Numbers that it keeps for each parameter while it trains, the parameter among them."""
        return 1

    def in_a_row(self, engine: Engine, network: SizedNetwork) -> bool:
        """Whether the engine takes all minibatches in one call, where no gradient is corrected.

        Then there is no gradient of the step before.
        """
        del engine, network
        return False

    def peak_of_a_step(self, engine: Engine, network: SizedNetwork, rows: int) -> int:
        """Memory of a step beside these, of one client on one thread."""
        return engine.bytes_of_step(network, rows)

    def in_parts(self, samples: Together) -> "Learner":
        """With so many samples of a minibatch in memory together, where more would take more."""
        del samples
        return self

    @property
    def follows_the_gradient(self) -> bool:
        """Whether each step is the gradient times the learning rate, which some algorithms need."""
        return False

    @abstractmethod
    def learn(
        self, network: SizedNetwork, start: Parameters, shown: Shown, correct: Correction
    ) -> Trained:
        """Train every client from `start` on its own samples; all tensors have a leading client axis.

        A normalised network's running statistics come with `start`, but are no parameters. `correct` may
        change gradients before they are used (FedProx, SCAFFOLD).
        """

    def rows(self, shown: int) -> int:
        """Samples of a client that is shown so many that are computed at once, a power of two.

        It depends on the client alone, so that company in a stack changes none of its bits.
        """
        return 1 << (max(shown, 1) - 1).bit_length()

    def suited(self, network: Network) -> "Learner":
        """The learner for a network of an experiment's file, whose tables may be meant for its twin."""
        del network
        return self

    def fitted(self, network: Network) -> "Learner":
        """The learner with what it leaves to the network; raises InputError where it does not fit it."""
        del network
        return self

    def labels(self, network: SizedNetwork) -> Labels | None:
        """How a server makes the output layer of what clients say of their classes; None: it is trained."""
        del network
        return None

    def demand_network(self, network: SizedNetwork) -> None:
        """Raise InputError where it cannot train this network."""
        del network

    def bytes_of_a_step(self, engine: Engine, network: SizedNetwork, rows: int) -> int:
        """Memory of a step of one client on so many samples, at the least."""
        in_cache = engine.bytes_per_sample(network) == 0
        at_once = 1 if in_cache else min(rows, network.samples_in_cache or rows)
        return at_once * network.bytes_per_sample

    def trains(self, network: SizedNetwork) -> NetworkOperations:
        """What a device does to train the network: its passes, and to each parameter `operations()`."""
        phases = BACKWARD if self.backward else ()
        return network.operations().trained_by(self.operations(), phases)

    def operations(self) -> Table | None:
        """What it does to each parameter, phase `optimiser`; None where nobody has counted it."""
        return None
