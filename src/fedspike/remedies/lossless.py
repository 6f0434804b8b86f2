"""Zeros of an update are not sent, and nothing is lost.

A weight whose input was 0 whenever a client was shown a sample, in a spiking network that of a neuron which
never spiked, has gradient exactly 0: dE/dw_ij is a sum of products with what came from j. SGD, and Adam from
moments of 0, leave it as it was, so its update is exactly 0, and whole columns of a weight are. Neurons that
never came near their threshold add zeros of their own. What is packed is whatever is 0 in the update, to the
bit. FedProx keeps these zeros, since such a weight is where it began. Where an algorithm moves every weight
(SCAFFOLD, or FedDyn once h_k is not 0; a decay of weights would, too), the model is the same as well, but
fewer bytes are saved, or none.

Of each tensor one byte says which of three forms follows, the shortest:

    0   all numbers
    1   a mask with a bit for each number, and those that are not 0
    2   a mask with a bit for each column (input neuron or channel), and all numbers of those that are not 0

The bits of -0.0 are not 0. No source; this is ours.
"""

from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool

from fedspike.networks import Parameters
from fedspike.remedies.compression import Compression
from fedspike.remedies.content import (
    Content,
    array,
    malformed,
    of_mask,
    of_numbers,
    tensor_like,
    type_of,
)

WHOLE, NUMBERS, COLUMNS = range(3)


class Lossless(Compression, tag="lossless"):
    """Clients do not send the zeros of their updates: those of weights from neurons that were silent."""

    remembers: ClassVar[bool] = False

    def packed(self, update: Parameters, draws: np.random.Generator) -> bytes:
        """Tensor by tensor, in its shortest form."""
        del draws
        return b"".join(map(_packed, update.values()))

    def unpacked(self, content: bytes, form: Parameters) -> Parameters:
        """The same update."""
        packed = Content(content)
        update = {name: _unpacked(packed, tensor) for name, tensor in form.items()}
        packed.end()
        return update


def _packed(tensor: torch.Tensor) -> bytes:
    v = array(tensor)
    ways = {WHOLE: of_numbers(v), NUMBERS: of_mask(_any(v)) + of_numbers(v[_any(v)])}
    if tensor.dim() > 1:
        columns = array(tensor.transpose(0, 1)).reshape(tensor.shape[1], -1)
        kept = np.asarray(_any(columns).any(1))
        ways[COLUMNS] = of_mask(kept) + of_numbers(columns[kept].reshape(-1))
    way = min(ways, key=lambda way: len(ways[way]))
    return bytes([way]) + ways[way]


def _unpacked(packed: Content, form: torch.Tensor) -> torch.Tensor:
    (way,), count, dtype = packed.numbers(1, np.dtype(np.uint8)), form.numel(), type_of(form)
    if way == WHOLE:
        return tensor_like(packed.numbers(count, dtype), form)
    if way == NUMBERS:
        kept, v = packed.mask(count), np.zeros(count, dtype)
        v[kept] = packed.numbers(int(kept.sum()), dtype)
        return tensor_like(v, form)
    if way != COLUMNS or form.dim() < 2:
        malformed(f"a form {way} of {[*form.shape]} numbers")
    inputs = form.shape[1]
    each = count // inputs
    kept, columns = packed.mask(inputs), np.zeros((inputs, each), dtype)
    columns[kept] = packed.numbers(int(kept.sum()) * each, dtype).reshape(-1, each)
    turned = torch.from_numpy(columns).reshape(form.transpose(0, 1).shape)
    return turned.transpose(0, 1).contiguous()


def _any(numbers: np.ndarray) -> Bool[np.ndarray, "*shape"]:
    """Where the bits of a number are not all 0."""
    return np.asarray(numbers.view(f"u{numbers.dtype.itemsize}") != 0)
