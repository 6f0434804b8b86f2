"""FedAdagrad: Adagrad on the server, whose second moment only grows.

    v <- v + d^2

Source: Reddi et al., ICLR 2021, Algorithm 2, FedAdagrad; the other equations are in `adaptive_server.py`.
"""

import torch

from fedspike.algorithms.adaptive_server import Adaptive, Decay


class FedAdagrad(Adaptive, tag="fedadagrad", kw_only=True):
    """Adagrad on the server, applied to the mean update.

    With beta1 = 0 and learning_rate = 2 tau it goes to FedAvg as tau grows.
    """

    beta1: Decay = 0.0

    def second(self, v: torch.Tensor, d: torch.Tensor) -> torch.Tensor:
        """The equation."""
        return v + d.square()
