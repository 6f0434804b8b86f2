"""Which parts of a network the compiled kernels have, and what they take in their place.

Only the very kinds that ship: what inherits from one of them may compute something else.
"""

from typing import Any, NamedTuple, TypeGuard

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from fedspike import engine
from fedspike.engine import compiled
from fedspike.engine.packed import PackedSpikes, array, words
from fedspike.parts.codes import Address, Code, Delta, Direct, Rate, Tabulated
from fedspike.parts.codes.tabulated import table
from fedspike.parts.losses import CrossEntropy, Loss, SpikeCountMSE
from fedspike.parts.neurons import LIF, Neuron
from fedspike.parts.read_outs import MeanMembrane, ReadOut, SpikeCount
from fedspike.parts.surrogates import Atan
from fedspike.randomness import key

_tables: dict[tuple[Tabulated, int], Tensor] = {}
_TABLES_KEPT = 8


Wanted = tuple[str, float, float, float]
"""What is learned: "cross entropy", what has the slopes "given", or "squares" of the distances from these
scores, and the sum's factor."""


class Constants(NamedTuple):
    """Of neurons that the kernels have: decay, threshold, reset, and the arctangent's steepness."""

    beta: float
    threshold: float
    reset: str
    alpha: float


def encoding(code: Code, address: Address, time_steps: int) -> Any:
    """A code as the kernels take it: spikes drawn at an address, looked up, or the pixels themselves."""
    kind, philox, gain, trains, above = "direct", (0, 0), 1.0, None, 0
    if type(code) is Rate:
        kind, philox, gain = "rate", key(address.seed, address.purpose), code.gain
    elif isinstance(code, Tabulated):
        kind, trains, above = "table", bits(code, time_steps).numpy(), code.above
    return compiled.Encoding(
        kind,
        time_steps,
        address.round,
        address.clients,
        address.first_samples,
        philox,
        gain,
        trains,
        code.step_weights(time_steps),
        above,
    )


def has_code(code: Code) -> bool:
    """Whether the compiled passes have it."""
    return type(code) is Direct or has_spikes(code)


def has_spikes(code: Code) -> TypeGuard[Rate | Tabulated]:
    """Whether `packed_spikes` has it: of a table, any that makes its spikes from it."""
    kind = type(code)
    if not issubclass(kind, Tabulated):
        return kind is Rate
    by_table = kind.spikes in (Tabulated.spikes, Delta.spikes)
    return by_table and kind.looked_up is Tabulated.looked_up


def packed_spikes(
    code: Rate | Tabulated,
    pixels: Float[Tensor, "client batch pixel"],
    address: Address,
    time_steps: int,
) -> PackedSpikes:
    """A code's spikes from a compiled kernel, as bits; of float32 pixels.

    A pixel outside [0, 1] is read as the nearer end, NaN as 0.
    """
    trains = torch.empty(*pixels.shape, -(-time_steps // 64), dtype=torch.int64)
    taken = encoding(code, address, time_steps)
    engine.kernels.encode(array(pixels), taken, trains.numpy(), torch.get_num_threads())
    return PackedSpikes(trains, time_steps)


def bits(code: Tabulated, time_steps: int) -> Int64[Tensor, "level word"]:
    """The trains of all levels as bits."""
    if (code, time_steps) not in _tables:
        if len(_tables) == _TABLES_KEPT:
            _tables.pop(next(iter(_tables)))
        _tables[code, time_steps] = words(table(code, time_steps, torch.device("cpu")).T)
    return _tables[code, time_steps]


def constants(neuron: Neuron) -> Constants | None:
    """Those of a neuron that the kernels have; None of all others."""
    if type(neuron) is not LIF or type(neuron.surrogate) is not Atan:
        return None
    if (neuron.learn_beta, neuron.learn_threshold) != ("no", "no"):
        return None
    return Constants(neuron.beta, neuron.threshold, neuron.reset, neuron.surrogate.alpha)


def has_read_out(read_out: ReadOut) -> bool:
    """Whether the compiled passes have it."""
    return type(read_out) in (SpikeCount, MeanMembrane)


def wanted(loss: Loss, classes: int, time_steps: int) -> Wanted | None:
    """What a loss wants of calibrated scores, as the compiled passes take it; None where they do not."""
    if loss.penalises:
        return None
    if type(loss).__call__ is CrossEntropy.__call__:
        return "cross entropy", 0.0, 0.0, 0.0
    if type(loss) is SpikeCountMSE:
        correct, incorrect = loss.targets(time_steps)
        return "squares", float(correct), float(incorrect), 1 / (classes * time_steps)
    return None
