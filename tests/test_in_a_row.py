"""All minibatches of a round in one call of the kernels: the same bits as one after the other."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fedspike import engine
from fedspike.engine import cpu
from fedspike.engine.cpu import CompiledEngine
from fedspike.engine.engines import Engine, Learned, Stepped
from fedspike.learning import Backpropagation, Shown, Trained, uncorrected
from fedspike.networks import (
    ANN,
    SNN,
    Batch,
    Convolutional,
    FullyConnected,
    Network,
    Parameters,
    SizedNetwork,
)
from fedspike.parts.codes import Address, Direct, Rate
from fedspike.parts.losses import CalibratedCrossEntropy, CrossEntropy, Loss, MaskedCrossEntropy
from fedspike.parts.neurons import LIF
from fedspike.parts.optimisers import SGD, Adam
from fedspike.parts.read_outs import MeanMembrane
from fedspike.randomness import stream

pytestmark = pytest.mark.skipif(not engine.ACTIVE, reason=engine.WHY_NOT)

SAMPLES = (41, 40, 17, 1)  # of the clients: 3 minibatches of 16, 3, 2 and 1 in each epoch
DENSE = FullyConnected((33, 20))
SPIKING = SNN(9, DENSE, code=Rate())
LEARNER = Backpropagation(batch_size=16, epochs=2)


def trained(
    network: SizedNetwork, learner: Backpropagation, samples: tuple[int, ...] = SAMPLES
) -> Trained:
    generator = torch.Generator().manual_seed(1)
    pixels = (2 * torch.rand(100, 784, generator=generator) - 0.7).clamp(0, 1)
    labels = torch.randint(0, 10, (100,), generator=generator)
    positions = [
        torch.randint(0, 100, (number * learner.epochs,), generator=generator) for number in samples
    ]
    clients = tuple(range(3, 3 + len(samples)))
    address = Address(0, "encode", 2, clients, (0,) * len(clients))
    start = network.init(stream(0, "init"))
    every = {name: weight.expand(len(clients), *weight.shape) for name, weight in start.items()}
    return learner.learn(network, every, Shown(pixels, labels, positions, address), uncorrected)


def sized(network: Network) -> SizedNetwork:
    return network.over((28, 28), 10)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each local training, whether it was made in one call."""
    own: Callable[..., Stepped | None] = CompiledEngine.train
    made: list[bool] = []

    def train(self: CompiledEngine, *given: object) -> Stepped | None:
        result = own(self, *given)
        made.append(result is not None)
        return result

    monkeypatch.setattr(CompiledEngine, "train", train)
    return made


def bits(trained: Trained) -> tuple[list[float], list[object], list[Tensor]]:
    return trained.losses, [*trained.activities, trained.steps], list(trained.parameters.values())


@pytest.mark.parametrize(
    ("network", "learner"),
    [
        (SPIKING, LEARNER),
        (SNN(5, DENSE, code=Direct(), read_out=MeanMembrane()), LEARNER),
        (ANN(DENSE), LEARNER),
        (
            ANN(DENSE),
            Backpropagation(
                loss=CalibratedCrossEntropy(),
                batch_size=16,
                balanced=True,
                optimiser=Adam(0.01, weight_decay=0.1),
            ),
        ),
    ],
    ids=str,
)
def test_same_bits(
    network: Network, learner: Backpropagation, calls: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 1 to 3 threads, of which some share a client."""
    one = sized(network)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(bits(trained(one, learner)))
        assert calls == [True] * 3
        monkeypatch.setattr(CompiledEngine, "train", Engine.train)
        results.append(bits(trained(one, learner)))
    finally:
        torch.set_num_threads(before)
    *in_a_row, (losses, counts, models) = results
    for own_losses, own_counts, own_models in in_a_row:
        assert (own_losses, own_counts) == (losses, counts)
        assert all(map(torch.equal, own_models, models))
    start: Parameters = one.init(stream(0, "init"))
    assert not any(map(torch.equal, models, start.values()))


class OwnAdam(Adam, tag="own-adam"):
    """Of which the kernels know nothing."""


class OwnTeaching(Backpropagation, tag="own-teaching"):
    """Which may make other gradients."""

    def taught(
        self,
        engine: Engine,
        network: SizedNetwork,
        loss: Loss,
        parameters: Parameters,
        batch: Batch,
    ) -> Learned:
        return super().taught(engine, network, loss, parameters, batch)


@pytest.mark.parametrize(
    ("network", "learner"),
    [
        (SNN(9, DENSE, neuron=LIF(learn_beta="per-layer")), LEARNER),
        (ANN(Convolutional()), LEARNER),
        (ANN(DENSE), Backpropagation(batch_size=16, optimiser=SGD())),
        (ANN(DENSE), Backpropagation(batch_size=16, optimiser=OwnAdam())),
        (ANN(DENSE), Backpropagation(batch_size=16, loss=CrossEntropy(), samples_at_once=4)),
        (ANN(DENSE), Backpropagation(batch_size=16, ascent=0.1)),
        (ANN(DENSE), OwnTeaching(batch_size=16)),
        (ANN(DENSE), Backpropagation(batch_size=16, loss=MaskedCrossEntropy())),
    ],
    ids=str,
)
def test_what_is_made_step_by_step(
    network: Network, learner: Backpropagation, calls: list[bool]
) -> None:
    one = sized(network)
    trained(one, learner, (17, 3))
    assert not any(calls)
    assert not learner.in_a_row(CompiledEngine(), one)


@pytest.mark.parametrize(("limit", "least"), [("_WORK_AT_ONCE", 1e6), ("_SAMPLES_AT_ONCE", 383)])
def test_no_call_is_longer_than_a_second_or_so_or_larger(
    limit: str, least: float, calls: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, limit, least)
    trained(sized(SPIKING), LEARNER)
    assert calls == [False]
