"""Spikes as bits, and the event-driven operators on them.

The operators are torch custom operators with gradients, each equal to a plain-torch function: `rate` to
`encoding.RateCode.spikes`, `linear` to a matrix product, `lif` to `neurons.LIF.spikes`. Inside this room the
axes are [client, batch, time, neuron], the order in which the kernels walk through memory.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from fedspike.kernels import compiled


@dataclass(frozen=True)
class PackedSpikes:
    """Spikes of one layer, 64 to a word.

    `rows[client, batch, time, word]` holds neuron n in bit n % 64 of word n // 64, for what reads forward;
    `columns[client, batch, neuron, word]` holds step t in bit t % 64 of word t // 64, for weight gradients.
    Bits have no gradient, so `carrier[client, batch, time, neuron]` stands for the spikes in autograd: what
    flows into it backward is dL/dS. Inputs need none.
    """

    rows: Int64[Tensor, "client batch time row_word"]
    columns: Int64[Tensor, "client batch neuron column_word"]
    carrier: Float[Tensor, "client batch time neuron"] | None = None

    def counts(self) -> Int64[Tensor, "client batch neuron"]:
        """Spikes of every neuron, summed over time, exact."""
        words = self.columns.numpy().view(np.uint64)  # of a signed word NumPy would count |word|
        return torch.from_numpy(np.bitwise_count(words).sum(axis=3, dtype=np.int64))

    def scores(self) -> Float[Tensor, "client batch neuron"]:
        """The counts as float32, with a gradient if the spikes have one."""
        counts = self.counts().float()
        return counts if self.carrier is None else _carry(counts, self.carrier)

    def dense(self) -> Float[Tensor, "time client batch neuron"]:
        """The same spikes as 0.0 and 1.0, without gradient; for looking at, and for tests."""
        neurons = self.columns.shape[2]
        bits = np.unpackbits(self.rows.numpy().view(np.uint8), axis=3, bitorder="little")
        return torch.from_numpy(bits[..., :neurons].astype(np.float32)).movedim(2, 0)


def rate(
    pixels: Float[Tensor, "client batch pixel"],
    key: tuple[int, int],
    round: int,
    clients: tuple[int, ...],
    first_samples: tuple[int, ...],
    time_steps: int,
) -> PackedSpikes:
    """The rate code's spikes for the address given by `key`, `round`, `clients` and `first_samples`."""
    spikes = _empty(pixels.shape[0], pixels.shape[1], time_steps, pixels.shape[2])
    compiled.rate(
        _array(pixels),
        *key,
        round,
        np.array(clients, np.int64),
        np.array(first_samples, np.int64),
        time_steps,
        spikes.rows.numpy(),
        spikes.columns.numpy(),
        torch.get_num_threads(),
    )
    return spikes


def linear(
    spikes: PackedSpikes,
    weight: Float[Tensor, "client output input"],
    bias: Float[Tensor, "client output"],
) -> Float[Tensor, "client batch time output"]:
    """Currents: bias plus, for every spike, its input's column of the weight."""
    currents: Tensor = _linear(spikes.rows, spikes.columns, spikes.carrier, weight, bias)
    return currents


def lif(
    currents: Float[Tensor, "client batch time neuron"], beta: float, threshold: float, zero: bool
) -> PackedSpikes:
    """The LIF recurrence through all time steps from rest; resets to zero, or else by subtraction."""
    membrane, rows, columns = _lif(currents, beta, threshold, zero)
    return PackedSpikes(rows, columns, carrier=membrane)


def _array(tensor: Tensor) -> np.ndarray:
    array: np.ndarray = tensor.detach().contiguous().numpy()
    return array


def _empty(clients: int, batch: int, time: int, neurons: int) -> PackedSpikes:
    rows = torch.empty(clients, batch, time, -(-neurons // 64), dtype=torch.int64)
    columns = torch.empty(clients, batch, neurons, -(-time // 64), dtype=torch.int64)
    return PackedSpikes(rows, columns)


@torch.library.custom_op("fedspike::linear", mutates_args=())
def _linear(
    rows: Tensor, columns: Tensor, carrier: Tensor | None, weight: Tensor, bias: Tensor
) -> Tensor:
    del columns, carrier
    clients, outputs, inputs = weight.shape
    currents = torch.empty(clients, rows.shape[1], rows.shape[2], outputs)
    compiled.linear(
        rows.numpy(),
        inputs,
        _array(weight),
        _array(bias),
        currents.numpy(),
        torch.get_num_threads(),
    )
    return currents


def _linear_setup(ctx, inputs, output):  # type: ignore[no-untyped-def]  # noqa: ARG001
    _, columns, carrier, weight, _ = inputs
    ctx.inner = carrier is not None
    ctx.save_for_backward(columns, weight)


def _linear_backward(ctx, delta):  # type: ignore[no-untyped-def]
    columns, weight = ctx.saved_tensors
    gradient = torch.empty(weight.shape)
    compiled.weight_gradient(
        columns.numpy(), _array(delta), gradient.numpy(), torch.get_num_threads()
    )
    into_spikes = None
    if ctx.inner:
        into_spikes = torch.bmm(delta.flatten(1, 2), weight)
        into_spikes = into_spikes.reshape(*delta.shape[:3], -1)
    return None, None, into_spikes, gradient, delta.sum((1, 2))


@torch.library.custom_op("fedspike::lif", mutates_args=())
def _lif(
    currents: Tensor, beta: float, threshold: float, zero: bool
) -> tuple[Tensor, Tensor, Tensor]:
    clients, batch, time, neurons = currents.shape
    membrane, spikes = torch.empty_like(currents), _empty(clients, batch, time, neurons)
    compiled.lif(
        _array(currents),
        beta,
        threshold,
        zero,
        membrane.numpy(),
        spikes.rows.numpy(),
        spikes.columns.numpy(),
        torch.get_num_threads(),
    )
    return membrane, spikes.rows, spikes.columns


def _lif_setup(ctx, inputs, output):  # type: ignore[no-untyped-def]
    _, ctx.beta, ctx.threshold, ctx.zero = inputs
    ctx.save_for_backward(output[0])


def _lif_backward(ctx, into_spikes, _rows, _columns):  # type: ignore[no-untyped-def]
    (membrane,) = ctx.saved_tensors
    gradient = torch.empty_like(membrane)
    compiled.lif_adjoint(
        _array(membrane),
        _array(into_spikes),
        ctx.beta,
        ctx.threshold,
        ctx.zero,
        gradient.numpy(),
        torch.get_num_threads(),
    )
    return gradient, None, None, None


@torch.library.custom_op("fedspike::carry", mutates_args=())
def _carry(counts: Tensor, carrier: Tensor) -> Tensor:
    del carrier
    return counts.clone()


def _carry_setup(ctx, inputs, output):  # type: ignore[no-untyped-def]  # noqa: ARG001
    ctx.shape = inputs[1].shape


def _carry_backward(ctx, into_counts):  # type: ignore[no-untyped-def]
    # A count is the sum of its spikes: each of them gets the count's gradient.
    return None, into_counts.unsqueeze(2).expand(ctx.shape)


_linear.register_autograd(_linear_backward, setup_context=_linear_setup)
_lif.register_autograd(_lif_backward, setup_context=_lif_setup)
_carry.register_autograd(_carry_backward, setup_context=_carry_setup)
