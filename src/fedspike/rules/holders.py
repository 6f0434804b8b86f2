"""A rule for clients that hold unlike parts of a model: each number is joined over those who hold it.

Who has a narrower model sends the leading corner of every tensor, and the corners lie in one another. So for
each corner, from the largest, the rule joins the replies that are at least as large, cut to it. Where all are
of one form it is the rule itself.

Source: Diao, Ding, Tarokh, "HeteroFL: Computation and Communication Efficient Federated Learning for
Heterogeneous Clients", ICLR 2021, Eq. 3, there with the mean by clients.
"""

import math

from jaxtyping import Int64
from torch import Tensor

from fedspike.rules.rule import Parameters, Replies, Rule


class Holders(Rule):
    """The `rule`, for each number over the clients that sent it.

    >>> import torch
    >>> from fedspike.rules import Mean, joined
    >>> replies = [{"w": torch.tensor([1.0, 8.0])}, {"w": torch.tensor([3.0])}]
    >>> joined(Holders(Mean()), replies, torch.tensor([1, 1]))
    {'w': tensor([2., 8.])}
    """

    rule: Rule

    @property
    def partial(self) -> bool:  # type: ignore[override]
        """As the rule."""
        return self.rule.partial

    def summed(self, replies: Replies) -> Parameters:
        """As the rule."""
        return self.rule.summed(replies)

    def weights(
        self, samples: Int64[Tensor, " reply"], clients: Int64[Tensor, " reply"]
    ) -> Int64[Tensor, " reply"]:
        """As the rule."""
        return self.rule.weights(samples, clients)

    def join(self, replies: Replies) -> Parameters:
        """As written at the top; what nobody sent is in none of it."""
        forms = [replies.shapes(i) for i in range(len(replies.trees))]
        sizes = [sum(map(math.prod, form.values())) for form in forms]
        whole: Parameters = {}
        for size, form in sorted(dict(zip(sizes, forms, strict=True)).items(), reverse=True):
            holding = [i for i, own in enumerate(sizes) if own >= size]
            for name, tensor in self.rule.join(replies.cut(holding, form)).items():
                if name in whole:
                    whole[name][tuple(map(slice, form[name]))] = tensor
                else:
                    whole[name] = tensor
        return whole
