"""A whole network in one compiled pass: from pixels to scores and, to learn, back to the gradients.

Nothing is drawn, gathered or kept in between but what a processor's cache holds. The plain-torch functions
that these passes must equal are `forward` of the networks, with autograd.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from fedspike import engine
from fedspike.engine.packed import array

Layers = list[tuple[Float[Tensor, "client _output _input"], Float[Tensor, "client _output"]]]
"""Weight and bias of every layer, first to last."""


@dataclass(frozen=True)
class Wanted:
    """What is learned: "squares" of the scores' distances from wanted ones, or "cross entropy"."""

    kind: str
    labels: Int64[Tensor, "client batch"]
    correct: float = 0.0
    incorrect: float = 0.0
    per_square: float = 0.0


@dataclass(frozen=True)
class Passed:
    """Scores, events that entered each layer and, of what was to be learned, mean losses and gradients."""

    scores: Float[Tensor, "client batch class"]
    events: Int64[Tensor, "layer client"]
    losses: Float64[Tensor, " client"]
    gradients: Layers


def conventional(
    pixels: Float[Tensor, "image pixel"],
    positions: Int64[Tensor, "client batch"],
    layers: Layers,
    wanted: Wanted | None = None,
) -> Passed:
    """Linear layers with ReLU between them.

    `positions` says which images a client's batch has, -1 where it is padded.
    """
    passed, taken = _pass(pixels, positions, layers, wanted)
    engine.kernels.conventional(taken, torch.get_num_threads())
    return passed


def spiking(
    pixels: Float[Tensor, "image pixel"],
    positions: Int64[Tensor, "client batch"],
    layers: Layers,
    encoding: Any,
    neuron: Any,
    *,
    integrates: bool = False,
    wanted: Wanted | None = None,
) -> Passed:
    """Linear layers with LIF neurons; `encoding` and `neuron` are records of `compiled`.

    Scores are the spikes of the last layer or, if it `integrates`, the means of its membranes, which then
    never fire.
    """
    passed, taken = _pass(pixels, positions, layers, wanted)
    engine.kernels.spiking(taken, encoding, neuron, integrates, torch.get_num_threads())
    return passed


def adam(
    weight: Tensor,
    gradient: Tensor,
    moments: tuple[Tensor, Tensor],
    step: int,
    constants: tuple[float, float, float, float],
) -> None:
    """Step number `step`, from 1, in place, with `constants` eta, b1, b2 and epsilon; see `parts.Adam`."""
    m, v = (moment.numpy() for moment in moments)
    threads = torch.get_num_threads()
    engine.kernels.adam(array(gradient), constants, step, weight.numpy(), m, v, threads)


def _pass(
    pixels: Tensor, positions: Tensor, layers: Layers, wanted: Wanted | None
) -> tuple[Passed, Any]:
    """Where the results will be written, and all of it as the kernels take it."""
    clients, rows = positions.shape
    passed = Passed(
        torch.empty(clients, rows, layers[-1][0].shape[1]),
        torch.empty(len(layers), clients, dtype=torch.int64),
        torch.empty(clients, dtype=torch.float64),
        [] if wanted is None else [(torch.empty(w.shape), torch.empty(b.shape)) for w, b in layers],
    )
    into: list[Any] = [(w.numpy(), b.numpy()) for w, b in passed.gradients]
    return passed, engine.compiled.Pass(
        array(pixels),
        array(positions),
        [
            engine.compiled.Weights(array(weight), array(bias), *gradients)
            for (weight, bias), gradients in zip(layers, into or [()] * len(layers), strict=True)
        ],
        wanted
        and engine.compiled.Wanted(
            wanted.kind,
            array(wanted.labels),
            passed.losses.numpy(),
            wanted.correct,
            wanted.incorrect,
            wanted.per_square,
        ),
        passed.scores.numpy(),
        passed.events.numpy(),
    )
