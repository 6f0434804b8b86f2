"""The coordinate-wise median.

    w_i = median over k of u_k,i        of an even number of clients the mean of the middle two

Source: Yin, Chen, Ramchandran, Bartlett, "Byzantine-Robust Distributed Learning: Towards Optimal Statistical
Rates", ICML 2018, Definition 1. As there, all clients count alike.
"""

from collections.abc import Sequence

from jaxtyping import Int64
from torch import Tensor

from fedspike.rules.rule import Parameters, Rule, stacked


class Median(Rule, tag="median"):
    """The median of each number over the clients: fewer than half cannot move it beyond the others."""

    def join(
        self,
        replies: Sequence[Parameters],
        samples: Int64[Tensor, " reply"],
        clients: Int64[Tensor, " reply"],
    ) -> Parameters:
        """The equation."""
        del samples, clients
        middle = {}
        for name in replies[0]:
            in_order = stacked(replies, name).sort(0).values
            low, high = (len(in_order) - 1) // 2, len(in_order) // 2
            middle[name] = (in_order[low] + in_order[high]) / 2
        return middle
