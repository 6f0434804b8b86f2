"""A whole network in one compiled pass: from pixels to scores and, to learn, back to the gradients.

Nothing is drawn, gathered or kept in between but what a processor's cache holds. The plain-torch functions
that these passes must equal are `forward` of the networks, with autograd.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from fedspike.engine import compiled
from fedspike.engine.packed import array

Layers = list[tuple[Float[Tensor, "client _output _input"], Float[Tensor, "client _output"]]]
"""Weight and bias of every layer, first to last."""


@dataclass(frozen=True)
class Code:
    """How pixels become what enters the first layer.

    `kind` "rate" draws spikes at an address; "table" looks trains up, as `packed.lookup`; "direct" lets
    the pixels themselves in, at every step. `step_weights` are those of the phase code.
    """

    kind: str
    time_steps: int
    round: int
    clients: tuple[int, ...]
    first_samples: tuple[int, ...]
    key: tuple[int, int] = (0, 0)
    table: Int64[Tensor, "65536 word"] | None = None
    step_weights: tuple[float, ...] | None = None


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
    passed = _room(positions, layers, wanted)
    compiled.conventional(
        (array(pixels), array(positions)),
        *_arrays(layers, wanted, passed),
        torch.get_num_threads(),
    )
    return passed


def spiking(
    pixels: Float[Tensor, "image pixel"],
    positions: Int64[Tensor, "client batch"],
    code: Code,
    neuron: tuple[float, float, str],
    layers: Layers,
    *,
    integrates: bool = False,
    wanted: Wanted | None = None,
) -> Passed:
    """Linear layers with LIF neurons, (beta, threshold, reset).

    Scores are the spikes of the last layer or, if it `integrates`, the means of its membranes, which then
    never fire.
    """
    passed = _room(positions, layers, wanted)
    encoding = (
        code.kind,
        code.time_steps,
        *code.key,
        code.round,
        np.array(code.clients, np.int64),
        np.array(code.first_samples, np.int64),
        None if code.table is None else code.table.numpy(),
        None if code.step_weights is None else np.array(code.step_weights, np.float32),
    )
    compiled.spiking(
        (array(pixels), array(positions)),
        encoding,
        neuron,
        integrates,
        *_arrays(layers, wanted, passed),
        torch.get_num_threads(),
    )
    return passed


def adam(
    weight: Tensor,
    gradient: Tensor,
    moments: tuple[Tensor, Tensor],
    step: int,
    constants: tuple[float, float, float, float],
) -> None:
    """Step number `step`, from 1, in place, with `constants` eta, b1, b2 and epsilon; see `training.Adam`."""
    m, v = (moment.numpy() for moment in moments)
    threads = torch.get_num_threads()
    compiled.adam(array(gradient), *constants, step, weight.numpy(), m, v, threads)


def _room(positions: Tensor, layers: Layers, wanted: Wanted | None) -> Passed:
    """Where the results will be written."""
    shape = positions.shape
    return Passed(
        torch.empty(*shape, layers[-1][0].shape[1]),
        torch.empty(len(layers), shape[0], dtype=torch.int64),
        torch.empty(shape[0], dtype=torch.float64),
        [] if wanted is None else [(torch.empty(w.shape), torch.empty(b.shape)) for w, b in layers],
    )


def _arrays(layers: Layers, wanted: Wanted | None, passed: Passed) -> tuple[object, ...]:
    """Weights, what is wanted, and where the results go, as the kernels take them."""
    learned = wanted and (
        wanted.kind,
        array(wanted.labels),
        wanted.correct,
        wanted.incorrect,
        wanted.per_square,
        passed.losses.numpy(),
    )
    return (
        [(array(weight), array(bias)) for weight, bias in layers],
        learned,
        [(weight.numpy(), bias.numpy()) for weight, bias in passed.gradients],
        passed.scores.numpy(),
        passed.events.numpy(),
    )
