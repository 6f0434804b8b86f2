"""Means and variances of everybody's data, from each client's own.

    mu = sum over k of (n_k / n) mu_k
    var = sum over k of (n_k / n) (var_k + (mu_k - mu)^2)

This is exact, where an average of variances would miss how far the clients' means are apart; and it is the
familiar sum of (n_k / n) (var_k + mu_k^2) less mu^2, without the cancellation.

So it takes the means of all before the variances, and a node that hosts many clients sends what each has:
these are few numbers beside a model's.
"""

from fedspike.rules.exact_sum import exact_mean
from fedspike.rules.rule import Parameters, Replies, Rule


class Pooled(Rule):
    """Statistics of all data, from "LAYER.mean" and "LAYER.variance" of each client's.

    >>> import torch
    >>> from fedspike.rules import joined
    >>> replies = [{"a.mean": torch.tensor([m]), "a.variance": torch.tensor([1.0])} for m in (0.0, 4.0)]
    >>> joined(Pooled(), replies, torch.tensor([1, 1]))
    {'a.mean': tensor([2.]), 'a.variance': tensor([5.])}
    """

    def join(self, replies: Replies) -> Parameters:
        """The equations, of exact sums."""
        samples = replies.samples.tolist()
        every = {name: replies.stacked(name) for name in replies.trees[0]}
        pooled = {name: exact_mean([*own], samples) for name, own in every.items()}
        for name in pooled:
            if name.endswith(".variance"):
                mean = name.removesuffix("variance") + "mean"
                between = (every[mean] - pooled[mean]).square()
                pooled[name] = exact_mean([*(every[name] + between)], samples)
        return pooled
