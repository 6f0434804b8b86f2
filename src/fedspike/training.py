"""Local training by backpropagation, the whole cohort at once.

Every tensor carries the clients as its first axis, so one step here is one minibatch step of every client
that still has a batch left. Clients come with the one that has most batches first: those still training
are then always a prefix, and a finished client's weights are simply not touched any more.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.optim.adam import adam

from fedspike.encoding import Address
from fedspike.energy.counts import Activity
from fedspike.errors import InputError
from fedspike.losses import Loss, SpikeCountMSE
from fedspike.networks import SNN, Forward, Network, Parameters

Correction = Callable[[Parameters, Parameters, int], Parameters]
"""(gradients, parameters, k) of the first k clients -> corrected gradients."""
LEAVING = ""  # what the events that leave the last layer have in place of a layer's name


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
        names = list(parameters)
        adam(  # torch's own, in one pass over memory
            [parameters[name] for name in names],
            [gradients[name].contiguous() for name in names],
            [memory["m"][name] for name in names],
            [memory["v"][name] for name in names],
            max_exp_avg_sqs=[],
            state_steps=[torch.tensor(number - 1.0) for _ in names],
            fused=True,
            amsgrad=False,
            beta1=self.beta1,
            beta2=self.beta2,
            lr=self.learning_rate,
            weight_decay=0.0,
            eps=self.epsilon,
            maximize=False,
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

    def rows(self, shown: int) -> int:
        """Rows that each batch of a client is padded to: a power of two, or the batch size.

        It depends on the client alone, so that company in a stack changes none of its bits.

        >>> from fedspike.losses import CrossEntropy
        >>> [LocalTraining(CrossEntropy(), batch_size=128).rows(shown) for shown in (1, 5, 100, 2000)]
        [1, 8, 128, 128]
        """
        samples = shown // self.epochs
        return min(self.batch_size, 1 << (samples - 1).bit_length())


@dataclass(frozen=True)
class Trained:
    """What a cohort's local training produced; every list has an entry per client."""

    parameters: Parameters
    steps: list[int]
    losses: list[float]
    activities: list[Activity]


def train(
    network: Network,
    training: LocalTraining,
    start: Parameters,
    pixels: Float[Tensor, "sample pixel"],
    labels: Int64[Tensor, " sample"],
    shown: list[Int64[Tensor, " _shown"]],
    address: Address,
    correct: Correction | None = None,
    nonzero: Int64[Tensor, " sample"] | None = None,
) -> Trained:
    """Train every client of a cohort from `start` (leading client axis) on its own samples.

    `shown[k]` lists the positions in `pixels` and `labels` that client k sees, in that order, all epochs
    one after the other; clients come in descending order of its length. `correct` may change gradients
    before the optimiser sees them (FedProx, SCAFFOLD). `nonzero` is `network.nonzero(pixels)`, for a caller
    that trains on the same pixels again.
    """
    nonzero = network.nonzero(pixels) if nonzero is None else nonzero
    schedules = [training.batches(len(positions)) for positions in shown]
    steps = [len(schedule) for schedule in schedules]
    if sorted(steps, reverse=True) != steps:
        raise ValueError("clients must come with the most batches first")
    positions, present = _stack_batches(shown, schedules, training.rows(len(shown[0])))
    full = present.all(2).all(0).tolist()
    positions, present = positions.to(pixels.device), present.to(pixels.device)
    entering = None if nonzero is None else nonzero[positions]
    parameters = {name: weight.clone() for name, weight in start.items()}
    memory = training.optimiser.start(parameters)
    room = pixels.new_empty(positions[:, 0].numel(), pixels.shape[1])  # for the batches, in turn
    losses = torch.zeros(len(shown), dtype=torch.float64)
    done: list[dict[str, Int64[Tensor, " _client"]]] = []

    for step in range(max(steps)):
        k = sum(count > step for count in steps)  # the clients that are still training
        now, real = positions[:k, step], present[:k, step]
        x = torch.index_select(pixels, 0, now.flatten(), out=room[: now.numel()])
        x = x.view(*now.shape, -1)
        y = labels[now]
        if not full[step]:
            x[~real] = 0
        first_samples = tuple(schedule[step][0] for schedule in schedules[:k])
        here = replace(address, clients=address.clients[:k], first_samples=first_samples)
        current = {name: weight[:k] for name, weight in parameters.items()}
        known = None if entering is None else entering[:k, step]
        forward, loss, gradients = learn(network, training.loss, current, x, y, here, real, known)
        if correct is not None:
            gradients = correct(gradients, current, k)
        training.optimiser.step(current, gradients, first_clients(memory, k), step + 1)

        losses[:k] += loss.cpu().double() * real.sum(1).cpu()
        done.append({**forward.events_in, LEAVING: forward.events_out})

    samples = [len(positions) for positions in shown]
    mean_losses = (losses / torch.tensor(samples)).tolist()
    return Trained(parameters, steps, mean_losses, _activities(samples, steps, done))


def _activities(
    samples: list[int], steps: list[int], done: list[dict[str, Int64[Tensor, " _client"]]]
) -> list[Activity]:
    """What each client did; `done` has the events of each step, of the clients that made it."""
    events = {
        place: pad_sequence([step[place] for step in done]).sum(1).tolist() for place in done[0]
    }
    events_out = events.pop(LEAVING)
    return [
        Activity(
            samples[client],
            steps[client],
            {name: counts[client] for name, counts in events.items()},
            events_out[client],
        )
        for client in range(len(samples))
    ]


def learn(
    network: Network,
    loss: Loss,
    parameters: Parameters,
    x: Float[Tensor, "client batch pixel"],
    y: Int64[Tensor, "client batch"],
    address: Address,
    present: Bool[Tensor, "client batch"],
    nonzero: Int64[Tensor, "client batch"] | None = None,
) -> tuple[Forward, Float[Tensor, " client"], Parameters]:
    """Forward pass, loss and gradients of one minibatch of every client; see `ANN.run` for `nonzero`."""
    if isinstance(network, SNN) and isinstance(loss, SpikeCountMSE) and network.is_compiled_for(x):
        classes = network.architecture.layers[-1]
        targets, slope = loss.targets(y, classes, x.dtype), loss.slopes(present, classes)
        forward, gradients = network.learn(parameters, x, address, present, targets, slope)
        return forward, loss(forward.scores, y, present), gradients
    leaves = {name: weight.detach().requires_grad_() for name, weight in parameters.items()}
    forward = network.run(leaves, x, address, present, nonzero)
    losses = loss(forward.scores, y, present)
    # No client's loss depends on another's weights, so the gradient of the sum is everybody's own.
    slopes = torch.autograd.grad(losses.sum(), list(leaves.values()))
    return forward, losses.detach(), dict(zip(leaves, slopes, strict=True))


def first_clients(trees: dict[str, Parameters], k: int) -> dict[str, Parameters]:
    """The part of stacked tensors that belongs to the first k clients, as views."""
    return {
        group: {name: stacked[:k] for name, stacked in parameters.items()}
        for group, parameters in trees.items()
    }


def _stack_batches(
    shown: list[Int64[Tensor, " _shown"]], schedules: list[list[tuple[int, int]]], rows: int
) -> tuple[Int64[Tensor, "client step row"], Bool[Tensor, "client step row"]]:
    """Positions of all samples, batch by batch, and which of them are real; the others are 0."""
    shape = (len(shown), max(len(schedule) for schedule in schedules), rows)
    positions = torch.zeros(shape, dtype=torch.int64)
    present = torch.zeros(shape, dtype=torch.bool)
    for client, schedule in enumerate(schedules):
        for step, (first, last) in enumerate(schedule):
            positions[client, step, : last - first] = shown[client][first:last]
            present[client, step, : last - first] = True
    return positions, present


def _check_learning_rate(learning_rate: float) -> None:
    if not 0 < learning_rate < float("inf"):
        raise InputError(
            f"learning_rate = {learning_rate}",
            expected="a finite number > 0",
            fix="the founding study's preset trains with Adam at 1e-3",
        )
