"""Means and variances of everybody's data, from each client's own.

    mu = sum over k of (n_k / n) mu_k
    var = sum over k of (n_k / n) (var_k + (mu_k - mu)^2)

This is exact, where an average of variances would miss how far the clients' means are apart; and it is the
familiar sum of (n_k / n) (var_k + mu_k^2) less mu^2, without the cancellation.
"""

from typing import ClassVar

from fedspike.rules.mean import average
from fedspike.rules.rule import Parameters, Replies, Rule


class Pooled(Rule):
    """Statistics of all data, from "LAYER.mean" and "LAYER.variance" of each client's.

    >>> import torch
    >>> from fedspike.rules import joined
    >>> replies = [{"a.mean": torch.tensor([m]), "a.variance": torch.tensor([1.0])} for m in (0.0, 4.0)]
    >>> joined(Pooled(), replies, torch.tensor([1, 1]))
    {'a.mean': tensor([2.]), 'a.variance': tensor([5.])}
    """

    partial: ClassVar[bool] = True

    def join(self, replies: Replies) -> Parameters:
        """The equations."""
        first, samples = replies.trees[0], replies.samples
        pooled = {name: average(replies.stacked(name), samples) for name in first}
        for name in pooled:
            if name.endswith(".variance"):
                mean = name.removesuffix("variance") + "mean"
                between = (replies.stacked(mean) - pooled[mean]).square()
                pooled[name] = pooled[name] + average(between, samples)
        return pooled
