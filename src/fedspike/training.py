"""Local training by backpropagation, the whole cohort at once.

Every tensor carries the clients as its first axis, so one step here is one minibatch step of every client
that still has a batch left. Clients come with the one that has most batches first: those still training
are then always a prefix, and a finished client's weights are simply not touched any more.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from fedspike.encoding import Address
from fedspike.errors import InputError
from fedspike.losses import Loss
from fedspike.networks import Network, Parameters

Correction = Callable[[Parameters, Parameters, int], Parameters]
"""(gradients, parameters, k) of the first k clients -> corrected gradients."""


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent: w <- w - eta g."""

    learning_rate: float = 0.1

    def __post_init__(self) -> None:
        _check_learning_rate(self.learning_rate)

    def start(self, parameters: Parameters) -> dict[str, Parameters]:
        """Nothing to remember between steps."""
        del parameters
        return {}

    def step(
        self,
        parameters: Parameters,
        gradients: Parameters,
        memory: dict[str, Parameters],
        number: int,
    ) -> None:
        """Change `parameters` in place."""
        del memory, number
        for name, weight in parameters.items():
            weight.sub_(gradients[name], alpha=self.learning_rate)


@dataclass(frozen=True)
class Adam:
    """Adam, with the number of the step t counted from 1.

        m <- b1 m + (1 - b1) g,    v <- b2 v + (1 - b2) g^2
        w <- w - eta (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon)

    Source: Kingma, Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.
    """

    learning_rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        _check_learning_rate(self.learning_rate)

    def start(self, parameters: Parameters) -> dict[str, Parameters]:
        """Moments m and v, zero; a device forgets them between rounds."""
        return {
            moment: {name: torch.zeros_like(weight) for name, weight in parameters.items()}
            for moment in ("m", "v")
        }

    def step(
        self,
        parameters: Parameters,
        gradients: Parameters,
        memory: dict[str, Parameters],
        number: int,
    ) -> None:
        """Change `parameters` and `memory` in place."""
        unbias_m = 1 - self.beta1**number
        unbias_v = 1 - self.beta2**number
        for name, weight in parameters.items():
            g, m, v = gradients[name], memory["m"][name], memory["v"][name]
            m.lerp_(g, 1 - self.beta1)
            v.mul_(self.beta2).addcmul_(g, g, value=1 - self.beta2)
            weight.addcdiv_(
                m, v.div(unbias_v).sqrt_().add_(self.epsilon), value=-self.learning_rate / unbias_m
            )


Optimiser = SGD | Adam


@dataclass(frozen=True)
class LocalTraining:
    """What every client does in a round: so many epochs over its samples, in minibatches."""

    loss: Loss
    optimiser: Optimiser = field(default_factory=Adam)
    epochs: int = 1
    batch_size: int = 128

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(
                    f"{name} = {getattr(self, name)}",
                    expected="a whole number >= 1",
                    fix=f"the founding study's preset has {name} = {1 if name == 'epochs' else 128}",
                )

    def batches(self, shown: int) -> list[tuple[int, int]]:
        """First and last-plus-one position of every batch among the `shown` samples of a client.

        No batch spans two epochs; an epoch's last batch holds what is left.

        >>> from fedspike.losses import CrossEntropy
        >>> LocalTraining(CrossEntropy(), epochs=2, batch_size=3).batches(shown=8)
        [(0, 3), (3, 4), (4, 7), (7, 8)]
        """
        samples = shown // self.epochs
        return [
            (epoch * samples + first, epoch * samples + min(first + self.batch_size, samples))
            for epoch in range(self.epochs)
            for first in range(0, samples, self.batch_size)
        ]


@dataclass(frozen=True)
class Trained:
    """What a cohort's local training produced; every list has an entry per client."""

    parameters: Parameters
    steps: list[int]
    samples: list[int]
    losses: list[float]
    spikes_in: dict[str, list[int]]


def train(
    network: Network,
    training: LocalTraining,
    start: Parameters,
    pixels: Float[Tensor, "sample pixel"],
    labels: Int64[Tensor, " sample"],
    shown: list[Int64[Tensor, " _shown"]],
    address: Address,
    correct: Correction | None = None,
) -> Trained:
    """Train every client of a cohort from `start` (leading client axis) on its own samples.

    `shown[k]` lists the positions in `pixels` and `labels` that client k sees, in that order, all epochs
    one after the other; clients come in descending order of its length. `correct` may change gradients
    before the optimiser sees them (FedProx, SCAFFOLD).
    """
    schedules = [training.batches(len(positions)) for positions in shown]
    steps = [len(schedule) for schedule in schedules]
    if sorted(steps, reverse=True) != steps:
        raise ValueError("clients must come with the most batches first")
    parameters = {name: weight.clone() for name, weight in start.items()}
    memory = training.optimiser.start(parameters)
    losses = torch.zeros(len(shown), dtype=torch.float64)
    spikes_in: dict[str, list[int]] = {}

    for step in range(max(steps)):
        k = sum(count > step for count in steps)  # the clients that are still training
        batch = [
            positions[slice(*schedule[step])]
            for positions, schedule in zip(shown[:k], schedules[:k], strict=True)
        ]
        x, y, present = _gather(pixels, labels, batch)
        here = Address(
            address.seed,
            address.purpose,
            address.round,
            address.clients[:k],
            tuple(schedule[step][0] for schedule in schedules[:k]),
        )
        current = {name: weight[:k] for name, weight in parameters.items()}
        leaves = {name: weight.detach().requires_grad_() for name, weight in current.items()}
        forward = network.run(leaves, x, here, present)
        loss = training.loss(forward.scores, y, present)
        # No client's loss depends on another's weights, so the gradient of the sum is everybody's own.
        slopes = torch.autograd.grad(loss.sum(), list(leaves.values()))
        gradients = dict(zip(leaves, slopes, strict=True))
        if correct is not None:
            gradients = correct(gradients, current, k)
        training.optimiser.step(current, gradients, first_clients(memory, k), step + 1)

        losses[:k] += loss.detach().double() * present.sum(1)
        for name, counts in forward.spikes_in.items():
            totals = spikes_in.setdefault(name, [0] * len(shown))
            totals[:k] = [a + b for a, b in zip(totals[:k], counts, strict=True)]

    samples = [len(positions) for positions in shown]
    mean_losses = (losses / torch.tensor(samples)).tolist()
    return Trained(parameters, steps, samples, mean_losses, spikes_in)


def first_clients(trees: dict[str, Parameters], k: int) -> dict[str, Parameters]:
    """The part of stacked tensors that belongs to the first k clients, as views."""
    return {
        group: {name: stacked[:k] for name, stacked in parameters.items()}
        for group, parameters in trees.items()
    }


def _gather(
    pixels: Float[Tensor, "sample pixel"],
    labels: Int64[Tensor, " sample"],
    batch: list[Int64[Tensor, " _shown"]],
) -> tuple[
    Float[Tensor, "client batch pixel"],
    Int64[Tensor, "client batch"],
    Bool[Tensor, "client batch"],
]:
    """Stack the clients' batches; where one is shorter, zeros fill it up and `present` is False."""
    width = max(len(positions) for positions in batch)
    x = pixels.new_zeros(len(batch), width, pixels.shape[1])
    y = labels.new_zeros(len(batch), width)
    present = torch.zeros(len(batch), width, dtype=torch.bool, device=pixels.device)
    for client, positions in enumerate(batch):
        x[client, : len(positions)] = pixels[positions]
        y[client, : len(positions)] = labels[positions]
        present[client, : len(positions)] = True
    return x, y, present


def _check_learning_rate(learning_rate: float) -> None:
    if not 0 < learning_rate < float("inf"):
        raise InputError(
            f"learning_rate = {learning_rate}",
            expected="a finite number > 0",
            fix="the founding study's preset trains with Adam at 1e-3",
        )
