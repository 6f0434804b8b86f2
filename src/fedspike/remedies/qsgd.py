"""Updates in a few bits a number, rounded up or down by chance, so that they are right on average.

    Q(v_i) = m sgn(v_i) xi_i / s,    m = max |v|,    s = 2^(bits - 1) - 1
    xi_i = l + 1 with probability s |v_i| / m - l, else l,    l = floor(s |v_i| / m)

over buckets of `bucket` numbers of a tensor, each with its own m. Packed are the m of all buckets, and of
each number `bits` bits: s + sgn(v_i) xi_i.

Source: Alistarh, Grubic, Li, Tomioka, Vojnovic, "QSGD: Communication-Efficient SGD via Gradient Quantization
and Encoding", NeurIPS 2017, section 3.1. As in its experiments, buckets of 512, and the largest number in the
place of the Euclidean norm. The bits are of one width, not of Elias's code. E[Q(v)] = v, so nothing is
remembered.
"""

from typing import Annotated, ClassVar, Literal

import numpy as np
from msgspec import Meta

from fedspike.networks import Parameters
from fedspike.remedies.compression import Compression
from fedspike.remedies.content import (
    Content,
    array,
    levels,
    of_numbers,
    of_whole,
    tensor_like,
    type_of,
)


class QSGD(Compression, tag="qsgd"):
    """Clients send their updates in `bits` bits a number, right on average."""

    bits: Literal[4, 8] = 8
    bucket: Annotated[int, Meta(ge=1, lt=2**31, description="numbers that share a largest one")] = (
        512
    )

    remembers: ClassVar[bool] = False

    def packed(self, update: Parameters, draws: np.random.Generator) -> bytes:
        """The equations, tensor by tensor."""
        return b"".join(self._packed(array(tensor), draws) for tensor in update.values())

    def _packed(self, v: np.ndarray, draws: np.random.Generator) -> bytes:
        s, starts = levels(self.bits), np.arange(0, len(v), self.bucket)
        m = np.maximum.reduceat(np.abs(v), starts)
        each = np.repeat(m.astype(np.float64), min(self.bucket, len(v)))[: len(v)]
        exact = s * (np.abs(v) / np.where(each > 0, each, 1.0))
        low = np.floor(exact)
        xi = low + (draws.random(len(v)) < exact - low)
        return of_numbers(m) + of_whole((s + np.sign(v) * xi).astype(np.int64), self.bits)

    def unpacked(self, content: bytes, form: Parameters) -> Parameters:
        """Q(v)."""
        packed, update = Content(content), {}
        for name, tensor in form.items():
            count, dtype = tensor.numel(), type_of(tensor)
            m = packed.numbers(-(-count // self.bucket), dtype)
            each = np.repeat(m.astype(np.float64), min(self.bucket, count))[:count]
            numbers = each * packed.levels(count, self.bits)
            update[name] = tensor_like(numbers.astype(dtype), tensor)
        packed.end()
        return update
