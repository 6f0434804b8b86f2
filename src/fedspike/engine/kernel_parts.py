"""Which parts of a network the compiled kernels have, and what they take in their place.

Only the very kinds that ship: what inherits from one of them may compute something else.
"""

import math
from typing import Any, NamedTuple, TypeGuard, cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from fedspike import engine
from fedspike.engine import compiled
from fedspike.engine.packed import PackedSpikes, array, words
from fedspike.networks import Parameters
from fedspike.part import tag
from fedspike.parts.codes import Address, AsRecorded, Code, Delta, Direct, Rate, Tabulated
from fedspike.parts.codes.tabulated import table
from fedspike.parts.losses import CrossEntropy, Loss, SpikeCountMSE
from fedspike.parts.neurons import LIF, AdaptiveLIF, CurrentBasedLIF, Neuron
from fedspike.parts.neurons.constants import value
from fedspike.parts.neurons.leaky import Leaky
from fedspike.parts.optimisers import Adam
from fedspike.parts.read_outs import FirstSpike, MeanMembrane, MembraneSum, ReadOut, SpikeCount
from fedspike.parts.surrogates import Atan, FastSigmoid, Sigmoid, Surrogate, Triangular
from fedspike.randomness import key

_tables: dict[tuple[Tabulated, int], Tensor] = {}
_TABLES_KEPT = 8
ROWS = ("beta", "threshold", "alpha", "rho")  # of constants, as the kernels have them


Wanted = tuple[str, float, float, float]
"""What is learned: "cross entropy", what has the slopes "given", or "squares" of the distances from these
scores, and the sum's factor."""


class Constants(NamedTuple):
    """Of neurons that the kernels have, as `compiled.Neuron` takes them; see kernels.hpp.

    `drop` is what a spike takes off a membrane, if that is not the threshold.
    """

    kind: str
    beta: float
    threshold: float
    reset: str
    slope: str
    steepness: float
    alpha: float = 0.0
    adaptation: float = 0.0
    rho: float = 0.0
    drop: float | None = None


def encoding(code: Code, address: Address, time_steps: int) -> Any:
    """A code as the kernels take it: spikes drawn, looked up or recorded, or the pixels themselves."""
    kind, philox, gain, trains, above = "direct", (0, 0), 1.0, None, 0
    if type(code) is Rate:
        kind, philox, gain = "rate", key(address.seed, address.purpose), code.gain
    elif code.recorded:
        kind = "recorded"
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
    return type(code) in (AsRecorded, Direct) or has_spikes(code)


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
    """Those of a neuron that the compiled passes have, learned or not; None of all others."""
    kind = type(neuron)
    if not isinstance(neuron, Leaky) or kind not in (LIF, CurrentBasedLIF, AdaptiveLIF):
        return None
    if (steepness := _steepness(neuron.surrogate)) is None:
        return None
    slope = tag(type(neuron.surrogate))
    own = Constants(tag(kind), neuron.beta, neuron.threshold, neuron.reset, slope, steepness)
    if neuron.reset == "soft":
        if kind is AdaptiveLIF or neuron.initial(1):
            return None
        own = own._replace(reset="subtract", drop=neuron.beta * neuron.threshold)
    if isinstance(neuron, CurrentBasedLIF):
        return own._replace(alpha=neuron.alpha)
    if isinstance(neuron, AdaptiveLIF):
        return own._replace(adaptation=neuron.adaptation, rho=neuron.rho)
    return own


def usual(neuron: Neuron) -> Constants | None:
    """Those of a LIF neuron with the arctangent that learns none; None of all others."""
    own = None if neuron.initial(1) else constants(neuron)
    return own if own and (own.kind, own.slope) == (tag(LIF), tag(Atan)) else None


def learned(neuron: Neuron, own: Parameters, clients: int, neurons: int) -> Tensor | None:
    """What neurons have learned, with its history, in `ROWS`: [client, 4, neuron].

    What they have not is what all have. None where nothing is learned.
    """
    if not isinstance(neuron, Leaky) or not own:
        return None
    currents = torch.empty(1, clients, 1, neurons)
    rows = []
    for name in ROWS:
        most = 1.0 if name in neuron.decays else math.inf
        number = value(getattr(neuron, name, 0.0), name, own, currents, most)
        rows.append(
            torch.full((clients, 1, neurons), number) if isinstance(number, float) else number
        )
    return torch.cat(rows, 1)


def adam(optimiser: Adam) -> Any:
    """Adam as the kernels take it."""
    beta1, beta2 = optimiser.beta1, optimiser.beta2
    return compiled.Adam(
        optimiser.learning_rate, beta1, beta2, optimiser.epsilon, optimiser.weight_decay
    )


def _steepness(surrogate: Surrogate) -> float | None:
    """What a surrogate that the kernels have is described by."""
    if type(surrogate) is Atan:
        return surrogate.alpha
    if type(surrogate) in (FastSigmoid, Sigmoid, Triangular):
        return cast(FastSigmoid | Sigmoid | Triangular, surrogate).slope
    return None


def scores(read_out: ReadOut) -> str | None:
    """What the compiled passes call a read-out that they have."""
    kinds = {
        SpikeCount: "count",
        FirstSpike: "first",
        MeanMembrane: "membrane",
        MembraneSum: "membrane sum",
    }
    return kinds.get(type(read_out))


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
