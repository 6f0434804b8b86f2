"""The coordinate-wise median.

    w_i = median over k of u_k,i        of an even number of clients the mean of the middle two

Source: Yin, Chen, Ramchandran, Bartlett, "Byzantine-Robust Distributed Learning: Towards Optimal Statistical
Rates", ICML 2018, Definition 1. As there, all clients count alike.
"""

from fedspike.rules.rule import Parameters, Replies, Rule


class Median(Rule, tag="median"):
    """The median of each number over the clients: fewer than half cannot move it beyond the others."""

    def join(self, replies: Replies) -> Parameters:
        """The equation; 0 has no sign, so that its bits hang on no order."""
        middle = {}
        for name in replies.trees[0]:
            in_order = replies.stacked(name).sort(0).values
            low, high = (len(in_order) - 1) // 2, len(in_order) // 2
            middle[name] = (in_order[low] + in_order[high] + 0.0) / 2
        return middle
