"""The largest of each number.

    w_i = max over k of u_k,i

Source: Motta, Nanni, arXiv 2603.13037, who join the weights of neurons so that were learned by local rules.
"""

from fedspike.rules.rule import Parameters, Replies, Rule


class Maximum(Rule, tag="maximum"):
    """The largest of each number over the clients."""

    def join(self, replies: Replies) -> Parameters:
        """The equation; 0 has no sign, so that its bits hang on no order."""
        return {name: replies.stacked(name).amax(0) + 0.0 for name in replies.trees[0]}
