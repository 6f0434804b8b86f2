"""Parts of one's own that inherit from those that ship, which have a kernel: the kernel is not theirs."""

from typing import Any

import pytest
import torch

import parts_example
from fedspike.engine.choice import engine_for
from fedspike.engine.plain_torch import PlainEngine
from fedspike.networks import SNN, Batch
from fedspike.parts import codes, losses, neurons, read_outs
from fedspike.randomness import stream


class Inverted(codes.Rate, tag="inverted"):
    """The rate code of the negative."""

    def spikes(self, pixels: Any, *where: Any) -> torch.Tensor:
        """The darker, the more."""
        return super().spikes(1 - pixels, *where)


class Delayed(codes.Latency, tag="delayed"):
    """The latency code a step later."""

    def spikes(self, pixels: Any, *where: Any) -> torch.Tensor:
        """The last spikes come first."""
        return super().spikes(pixels, *where).roll(1, 0)


class Doubled(codes.Direct, tag="doubled"):
    """Twice the current."""

    def spikes(self, pixels: Any, *where: Any) -> torch.Tensor:
        """Twice the current."""
        return 2 * super().spikes(pixels, *where)


class Eager(neurons.LIF, tag="eager"):
    """Fires a step before its time."""

    def spikes(self, currents: Any, *learned: Any) -> torch.Tensor:
        """The first spikes come last."""
        return super().spikes(currents, *learned).roll(-1, 0)


class Last(read_outs.MeanMembrane, tag="last"):
    """The membrane at the end."""

    def scores(self, flow: torch.Tensor) -> torch.Tensor:
        """Of the last step."""
        return flow[-1]


class Sharper(losses.CrossEntropy, tag="sharper"):
    """Of three times the scores."""

    def __call__(self, scores: Any, *others: Any) -> torch.Tensor:
        """Three times as sure."""
        return super().__call__(3 * scores, *others)


class Dearer(losses.SpikeCountMSE, tag="dearer"):
    """Three times as dear."""

    def __call__(self, *given: Any) -> torch.Tensor:
        """Three times as dear."""
        return 3 * super().__call__(*given)


@pytest.mark.parametrize(
    ("ours", "shipped"),
    [
        ({"code": Inverted()}, {"code": codes.Rate()}),
        ({"code": Delayed()}, {"code": codes.Latency()}),
        ({"code": Doubled()}, {"code": codes.Direct()}),
        ({"neuron": Eager()}, {}),
        ({"read_out": Last()}, {"read_out": read_outs.MeanMembrane()}),
        ({"loss": Sharper()}, {"loss": losses.CrossEntropy()}),
        ({"loss": Dearer()}, {}),
    ],
    ids=lambda settings: " ".join(map(parts_example.name, settings.values())),
)
def test_what_inherits_from_a_shipped_part_is_computed_by_its_own_equation(
    ours: dict[str, Any], shipped: dict[str, Any]
) -> None:
    """Not by the kernel of what it inherits from; float32 sums in another order are right to 1e-5."""
    pixels, labels = torch.rand(8, 6), torch.arange(8)[None] % 3
    address = codes.Address(0, "encode", 1, (0,), (0,))
    batch = Batch(pixels, torch.arange(8)[None], labels, address)
    values = []
    for settings in (ours, shipped):
        parts = {key: part for key, part in settings.items() if key != "loss"}
        network = SNN(time_steps=5, **parts).over((6,), 3)
        loss = settings.get("loss") or network.usual_loss
        weights = {n: 3 * w[None] for n, w in network.init(stream(0, "init")).items()}
        cpu = torch.device("cpu")
        learned = [
            engine.learn(network, loss, weights, batch)
            for engine in (engine_for(cpu, torch.float32), PlainEngine(cpu))
        ]
        torch.testing.assert_close(
            learned[0].losses.double(), learned[1].losses.double(), rtol=1e-5, atol=1e-6
        )
        values.append(float(learned[0].losses))
    assert values[0] != values[1]


class Stepped(neurons.LIF, tag="doubled-step"):
    """A step of its own, whose gradient is not that of the one that ships."""

    def step(self, U: Any, R: Any, current: Any, beta: Any, theta: Any) -> Any:
        return super().step(U, R, 2 * current, beta, theta)


def test_a_step_of_ones_own_has_its_own_gradient() -> None:
    currents = torch.full((1, 1, 1, 3), 0.3, requires_grad=True)
    (own,) = torch.autograd.grad(Stepped().spikes(currents).sum(), currents)
    twice = (2 * currents.detach()).requires_grad_()
    (shipped,) = torch.autograd.grad(neurons.LIF().spikes(twice).sum(), twice)
    torch.testing.assert_close(own, 2 * shipped)
