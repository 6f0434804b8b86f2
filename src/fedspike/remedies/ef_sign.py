"""Signs alone, with error feedback: a bit a number.

    C(p) = (|p|_1 / d) sgn(p)        for each tensor of d numbers

Packed are |p|_1 / d of a tensor and a mask of the numbers that are not negative; sgn(0) = 1.

Source: Karimireddy, Rebjock, Stich, Jaggi, "Error Feedback Fixes SignSGD and other Gradient Compression
Schemes", ICML 2019, Algorithm 1, EF-signSGD, by layer as in its experiments.
"""

import numpy as np

from fedspike.networks import Parameters
from fedspike.remedies.compression import Compression
from fedspike.remedies.content import Content, array, of_mask, of_numbers, tensor_like, type_of


class EFSign(Compression, tag="ef-sign"):
    """Clients send the signs of their updates and a mean size for each tensor, and what is left out later."""

    def packed(self, update: Parameters, draws: np.random.Generator) -> bytes:
        """The equation."""
        del draws
        return b"".join(_packed(array(tensor)) for tensor in update.values())

    def unpacked(self, content: bytes, form: Parameters) -> Parameters:
        """C(p)."""
        packed, update = Content(content), {}
        for name, tensor in form.items():
            size = packed.numbers(1, type_of(tensor))
            signs = packed.mask(tensor.numel())
            update[name] = tensor_like(np.where(signs, size, -size), tensor)
        packed.end()
        return update


def _packed(p: np.ndarray) -> bytes:
    size = np.abs(p).mean(dtype=np.float64, keepdims=True)
    return of_numbers(size.astype(p.dtype)) + of_mask(p >= 0)
