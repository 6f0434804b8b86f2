"""Matrices of low rank, with error feedback.

    C(M) = P Q,    P = U_r S_r,  Q = V_r^T        of the singular value decomposition M = U S V^T

Packed are P and Q of each weight, with all but its first axis as one; biases, and weights that have no fewer
numbers so, are packed as they are.

Source of the idea: Vogels, Karimireddy, Jaggi, "PowerSGD: Practical Low-Rank Gradient Compression for
Distributed Optimization", NeurIPS 2019, Algorithms 1 and 2. That finds P and Q by a step of power iteration
from the Q of the step before, which all workers share and add up; clients that are chosen by chance share
none. So each takes the best matrix of its rank (Eckart and Young, 1936), which needs no start.
"""

import math
from typing import Annotated

import numpy as np
import torch
from msgspec import Meta

from fedspike.errors import InputError
from fedspike.networks import Parameters
from fedspike.remedies.compression import Compression
from fedspike.remedies.content import Content, array, of_numbers, tensor_like, type_of


class LowRank(Compression, tag="low-rank"):
    """Clients send their updates of weights as matrices of a rank, and what is left out later."""

    rank: Annotated[int, Meta(ge=1, lt=2**31, description="r; smaller weights are sent whole")] = 2

    def demand(self, model: Parameters) -> None:
        """Raises InputError for a rank that no weight has."""
        most = max((min(_sides(weight.shape)) for weight in model.values()), default=1)
        if self.rank > most:
            raise InputError(
                f"low-rank: rank = {self.rank} for a network whose weights have at most {most}",
                expected=f"a rank from 1 to {most}",
                fix="lower the rank, or leave the remedy out",
                keys=("rank",),
            )

    def packed(self, update: Parameters, draws: np.random.Generator) -> bytes:
        """P and Q, or the numbers."""
        del draws
        return b"".join(self._packed(tensor) for tensor in update.values())

    def _packed(self, tensor: torch.Tensor) -> bytes:
        if not self._is_less(tensor.shape):
            return of_numbers(array(tensor))
        M = array(tensor).reshape(_sides(tensor.shape))
        U, S, V = np.linalg.svd(M.astype(np.float64), full_matrices=False)
        r = self.rank
        P, Q = U[:, :r] * S[:r], V[:r]
        return of_numbers(P.astype(M.dtype)) + of_numbers(Q.astype(M.dtype))

    def unpacked(self, content: bytes, form: Parameters) -> Parameters:
        """C(M)."""
        packed, update = Content(content), {}
        for name, tensor in form.items():
            dtype = type_of(tensor)
            if self._is_less(tensor.shape):
                rows, columns = _sides(tensor.shape)
                P = packed.numbers(rows * self.rank, dtype).reshape(rows, self.rank)
                Q = packed.numbers(self.rank * columns, dtype).reshape(self.rank, columns)
                numbers = (P.astype(np.float64) @ Q).astype(dtype)
            else:
                numbers = packed.numbers(tensor.numel(), dtype)
            update[name] = tensor_like(numbers, tensor)
        packed.end()
        return update

    def _is_less(self, shape: torch.Size) -> bool:
        rows, columns = _sides(shape)
        return self.rank * (rows + columns) < rows * columns


def _sides(shape: torch.Size) -> tuple[int, int]:
    """Rows and columns of a weight; of a bias 1 and its numbers."""
    return (shape[0], math.prod(shape[1:])) if len(shape) > 1 else (1, math.prod(shape))
