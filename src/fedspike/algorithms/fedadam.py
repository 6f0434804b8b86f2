"""FedAdam: Adam on the server.

    v <- b2 v + (1 - b2) d^2

Source: Reddi et al., ICLR 2021, Algorithm 2, FedAdam; the other equations are in `adaptive_server.py`.
"""

import torch

from fedspike.algorithms.adaptive_server import Adaptive, Decay


class FedAdam(Adaptive, tag="fedadam", kw_only=True):
    """Adam on the server, applied to the mean update.

    With beta1 = 0, beta2 = 1 and learning_rate = 2 tau it is FedAvg.
    """

    beta2: Decay = 0.99

    def second(self, v: torch.Tensor, d: torch.Tensor) -> torch.Tensor:
        """The equation."""
        return self.beta2 * v + (1 - self.beta2) * d.square()
