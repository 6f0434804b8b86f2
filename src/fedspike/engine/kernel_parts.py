"""Which parts of a network the compiled kernels have, and what they take in their place.

Only the very kinds that ship: what inherits from one of them may compute something else.
"""

from typing import TypeGuard

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from fedspike.engine import packed, passes
from fedspike.engine.packed import PackedSpikes, words
from fedspike.parts.codes import Address, Code, Delta, Direct, Rate, Tabulated
from fedspike.parts.codes.tabulated import table
from fedspike.parts.losses import CrossEntropy, Loss, SpikeCountMSE
from fedspike.parts.neurons import LIF, Neuron
from fedspike.parts.read_outs import MeanMembrane, ReadOut, SpikeCount
from fedspike.parts.surrogates import Atan
from fedspike.randomness import key

_tables: dict[tuple[Tabulated, int], Tensor] = {}
_TABLES_KEPT = 8


def entry(code: Code, address: Address, time_steps: int) -> passes.Code:
    """The code as the compiled passes take it."""
    at = (time_steps, address.round, address.clients, address.first_samples)
    if type(code) is Rate:
        return passes.Code("rate", *at, key=key(address.seed, address.purpose))
    if type(code) is Direct:
        return passes.Code("direct", *at)
    assert isinstance(code, Tabulated)
    weights = code.step_weights(time_steps)
    return passes.Code("table", *at, table=bits(code, time_steps), step_weights=weights)


def has_code(code: Code) -> bool:
    """Whether the compiled passes have it."""
    return type(code) is Direct or has_spikes(code)


def has_spikes(code: Code) -> TypeGuard[Rate | Tabulated]:
    """Whether `packed_spikes` has it: of a table, any that makes its spikes from it."""
    by_table = isinstance(code, Tabulated) and type(code).spikes in (Tabulated.spikes, Delta.spikes)
    return type(code) is Rate or by_table


def packed_spikes(
    code: Rate | Tabulated,
    pixels: Float[Tensor, "client batch pixel"],
    address: Address,
    time_steps: int,
) -> PackedSpikes:
    """The same spikes from compiled kernels, as bits; float32 pixels on the CPU.

    A pixel outside [0, 1] is read as the nearer end, NaN as 0: a `Dataset` has neither.
    """
    if isinstance(code, Rate):
        philox = key(address.seed, address.purpose)
        where = (address.round, address.clients, address.first_samples)
        return packed.rate(pixels, philox, *where, time_steps)
    return packed.lookup(pixels, bits(code, time_steps), time_steps)


def bits(code: Tabulated, time_steps: int) -> Int64[Tensor, "level word"]:
    """The trains of all levels as bits."""
    if (code, time_steps) not in _tables:
        if len(_tables) == _TABLES_KEPT:
            _tables.pop(next(iter(_tables)))
        _tables[code, time_steps] = words(table(code, time_steps, torch.device("cpu")).T)
    return _tables[code, time_steps]


def constants(neuron: Neuron) -> tuple[float, float, str] | None:
    """Decay, threshold and reset of a neuron that the kernels have; None of all others."""
    if type(neuron) is not LIF or neuron.surrogate != Atan():
        return None
    if (neuron.learn_beta, neuron.learn_threshold) != ("no", "no"):
        return None
    return neuron.beta, neuron.threshold, neuron.reset


def has_read_out(read_out: ReadOut) -> bool:
    """Whether the compiled passes have it."""
    return type(read_out) in (SpikeCount, MeanMembrane)


def wanted(loss: Loss, labels: Tensor, classes: int, time_steps: int) -> passes.Wanted | None:
    """What a loss wants of scores, as the compiled passes take it; None of a loss that they do not have."""
    if type(loss) is CrossEntropy:
        return passes.Wanted("cross entropy", labels)
    if type(loss) is SpikeCountMSE:
        correct, incorrect = loss.targets(time_steps)
        factor = 1 / (classes * time_steps)
        return passes.Wanted("squares", labels, float(correct), float(incorrect), factor)
    return None
