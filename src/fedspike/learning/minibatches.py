"""Local training in minibatches, the whole cohort at once, whatever the gradients come from.

Every tensor carries the clients as its first axis, so one step here is one minibatch step of every client
that still has a batch left; a finished client's weights are simply not touched any more.
"""

from collections.abc import Iterable
from dataclasses import replace as moved
from typing import Annotated, ClassVar, Literal

import torch
from msgspec import Meta
from msgspec.structs import replace
from torch import Tensor

from fedspike.engine.choice import engine_for
from fedspike.engine.engines import Engine, Learned
from fedspike.layers.operations import NetworkOperations, Table, joined
from fedspike.learning.activities import Counts, activities, counted, in_all
from fedspike.learning.batches import Batches, balanced
from fedspike.learning.learner import Correction, Learner, Shown, Trained, uncorrected
from fedspike.learning.optimiser_memory import OptimiserMemory, beginning, is_kept
from fedspike.networks import Batch, Network, Parameters, SizedNetwork
from fedspike.part import abstractmethod
from fedspike.parts.losses import Loss
from fedspike.parts.optimisers import Adam, Optimiser, at_each_step
from fedspike.parts.sums import total
from fedspike.parts.tensors import PerClient, Scores


class Minibatches(Learner):
    """So many epochs over a client's samples, a step of the optimiser for each minibatch.

    A kind says how a minibatch's gradients are made. Without a loss it is the network's usual one.
    """

    loss: Loss | None = None
    optimiser: Optimiser = Adam()
    epochs: Annotated[
        int, Meta(ge=1, lt=2**31, description="passes over a client's samples of the round")
    ] = 1
    batch_size: Annotated[int, Meta(ge=1, lt=2**31, description="samples per step")] = 128
    optimiser_memory: Annotated[
        Literal["forgotten", "kept"],
        Meta(description="moments and momentum from a device's round to its next one"),
    ] = "forgotten"
    balanced: Annotated[
        bool,
        Meta(
            description="a device sees its classes equally often; samples of rarer ones come again"
        ),
    ] = False
    ascent: Annotated[
        float,
        Meta(ge=0, description="the gradient is taken so far up the loss (FedSAM's rho)"),
    ] = 0.0

    left_to_network: ClassVar[tuple[str, ...]] = ("loss",)

    def suited(self, network: Network) -> "Minibatches":
        """With the usual loss of a conventional network, where the loss is one of spike counts."""
        if self.loss is not None and self.loss.needs_spikes and not network.spiking:
            return replace(self, loss=None)
        return self

    def fitted(self, network: Network) -> "Minibatches":
        """With the network's usual loss, if it has none; raises InputError for one of other scores."""
        loss = network.usual_loss if self.loss is None else self.loss
        network.demand_loss(loss)
        return replace(self, loss=loss)

    def demand_network(self, network: SizedNetwork) -> None:
        """Raise InputError where its loss is not one of what the network answers in its time steps."""
        if self.loss is not None and network.code is not None:
            self.loss.demand_scores(network.read_out, network.time_steps)

    @abstractmethod
    def taught(
        self,
        engine: Engine,
        network: SizedNetwork,
        loss: Loss,
        parameters: Parameters,
        batch: Batch,
    ) -> Learned:
        """Forward pass, mean loss and gradients of one minibatch of every client.

        Running statistics are among the parameters; of these there are no gradients.
        """

    def seen(self, batch: Batch) -> Batch:
        """A minibatch as it is learned from."""
        return batch

    def shortened(self, gradients: Parameters) -> Parameters:
        """Every client's gradients as its optimiser gets them."""
        return gradients

    @property
    def learning_rate(self) -> float:
        """The optimiser's."""
        return self.optimiser.learning_rate

    def in_round(self, round: int) -> "Minibatches":
        """With the optimiser's learning rate of the round."""
        optimiser = self.optimiser.in_round(round)
        return self if optimiser is self.optimiser else replace(self, optimiser=optimiser)

    def remembers(self, model: Parameters) -> Parameters:
        """What the optimiser does, and the number of its last step, where it is kept."""
        return beginning(self.optimiser, model) if self.optimiser_memory == "kept" else {}

    @property
    def models_remembered(self) -> int:
        """Those of the optimiser, where they are kept."""
        return len(self.optimiser.start({})) if self.optimiser_memory == "kept" else 0

    @property
    def copies(self) -> int:
        """The parameter, its gradient, that of the step before, and what the optimiser remembers.

        What is kept from round to round is there three times: as it was stored, as it was beside other
        clients', and as it becomes. With an ascent there are those up there and their gradient, with a
        penalty the received one once more.
        """
        penalises = self.loss is not None and self.loss.penalises
        moments = len(self.optimiser.start({})) + 2 * self.models_remembered
        return 3 + moments + 2 * bool(self.ascent) + penalises

    @property
    def follows_the_gradient(self) -> bool:
        """Whether the optimiser is plain gradient descent."""
        return self.optimiser.plain

    def learn(
        self, network: SizedNetwork, start: Parameters, shown: Shown, correct: Correction
    ) -> Trained:
        """Step by step; a finished client's weights are not touched any more."""
        shown = balanced(shown, self.epochs) if self.balanced else shown
        rows, classes = self.rows(len(shown.positions[0])), network.architecture.layers[-1]
        batches = Batches(shown, self.epochs, self.batch_size, rows, classes)
        parameters = {name: weight.clone() for name, weight in start.items() if not is_kept(name)}
        learned = parameters.keys() - network.statistics().keys()
        own = {name: weight for name, weight in parameters.items() if name in learned}
        loss_of = self.loss or network.usual_loss
        engine = engine_for(shown.pixels.device, shown.pixels.dtype)
        samples = [len(positions) for positions in shown.positions]
        alone = correct is uncorrected and shown.comparison is None
        if alone and self.in_a_row(engine, network):
            given = (network, loss_of, self.optimiser, parameters, self.seen(batches.in_a_row()))
            if (at_once := engine.train(*given)) is not None:
                counts = in_all(counted(at_once.forward), len(samples))
                own_losses = mean_losses(at_once.losses.view(len(batches), -1), batches, samples)
                activity = activities(samples, batches.steps, [counts])
                return Trained(parameters, batches.steps, own_losses, activity)
        memory = OptimiserMemory(self.optimiser, start, own)
        counts_of_each: list[Counts] = []
        losses: list[PerClient] = []

        for step in range(len(batches)):
            batch = batches[step]
            k = len(batch.positions)
            if loss_of.penalises:
                batch = moved(batch, received=scores_of(engine, network, start, batch))
            if shown.comparison is not None:
                batch = shown.comparison.of(engine, network, batch)
            batch = self.seen(batch)
            current = {name: weight[:k] for name, weight in parameters.items()}
            passes = [self.taught(engine, network, loss_of, current, batch)]
            if self.ascent:
                above = uphill(current, passes[0].gradients, self.ascent)
                passes.append(self.taught(engine, network, loss_of, above, batch))
            gradients = self.shortened(passes[-1].gradients)
            own = {name: current[name] for name in gradients}
            corrected = correct(gradients, own, k)
            own = {name: own[name] for name in corrected}
            memory.step(engine, own, corrected, step + 1)
            for name, numbers in passes[0].forward.statistics.items():
                current[name].copy_(numbers)

            losses.append(passes[0].losses.cpu())
            counts_of_each += [counted(one.forward) for one in passes]

        times = 2 if self.ascent else 1
        activity = activities([times * n for n in samples], batches.steps, counts_of_each)
        after = memory.after(batches.steps)
        own_losses = mean_losses(losses, batches, samples)
        return Trained(parameters | after, batches.steps, own_losses, activity)

    def trains(self, network: SizedNetwork) -> NetworkOperations:
        """With a penalty, the forward pass of the received model, counted as that of the one that learns."""
        operations, penalises = super().trains(network), self.loss and self.loss.penalises
        return operations.seen_again(1) if penalises else operations

    def operations(self) -> Table | None:
        """The optimiser's, and those of an ascent: the gradient's length, and a step along it."""
        optimiser = self.optimiser.operations()
        if optimiser is None or not self.ascent:
            return optimiser
        return joined([(optimiser, 1), (at_each_step(multiply=2, add=2), 1)])

    def rows(self, shown: int) -> int:
        """Rows that each batch of a client is padded to: a power of two, or the batch size.

        It depends on the client alone, so that company in a stack changes none of its bits.

        >>> from fedspike.learning import Backpropagation
        >>> [Backpropagation(batch_size=128).rows(shown) for shown in (1, 5, 100, 2000)]
        [1, 8, 128, 128]
        """
        samples = shown // self.epochs
        return min(self.batch_size, 1 << (samples - 1).bit_length())


def mean_losses(by_step: Iterable[PerClient], batches: Batches, samples: list[int]) -> list[float]:
    """Every client's mean loss over its samples, from those of each step of the clients that take it."""
    losses = torch.zeros(len(samples), dtype=torch.float64)
    for step, means in enumerate(by_step):
        k = sum(own > step for own in batches.steps)
        losses[:k] += means[:k] * batches.present[:k, step]
    return (losses / torch.tensor(samples)).tolist()


def scores_of(engine: Engine, network: SizedNetwork, model: Parameters, batch: Batch) -> Scores:
    """How the model that the clients start from scores a batch of the first ones; padding has 0."""
    own = {n: w[: len(batch.positions)] for n, w in model.items() if not is_kept(n)}
    scores = engine.forward(network, own, batch).scores
    return scores.masked_fill(~batch.present.unsqueeze(2), 0)


def uphill(parameters: Parameters, gradients: Parameters, distance: float) -> Parameters:
    """Every client's parameters so far along its gradient: w + rho g / |g|, over all its tensors.

    Sources: Foret et al., "Sharpness-Aware Minimization for Efficiently Improving Generalization", ICLR 2021,
    equation 2; Qu et al., "Generalized Federated Learning via Sharpness Aware Minimization" (FedSAM), ICML
    2022, whose clients take it for each step. Running statistics stay.
    """
    scale = distance / lengths(gradients).clamp(min=1e-12)
    return parameters | {n: parameters[n] + g * along(scale, g) for n, g in gradients.items()}


def lengths(gradients: Parameters) -> PerClient:
    """Of each client's gradients, |g| over all its tensors."""
    in_order = [gradients[name] for name in sorted(gradients)]  # a device may have got another
    return total(torch.stack([total(g.flatten(1).square(), 1) for g in in_order]), 0).sqrt()


def along(factors: PerClient, gradient: Tensor) -> Tensor:
    """A factor for each client, in the axes of a gradient."""
    return factors.reshape(-1, *[1] * (gradient.dim() - 1))
