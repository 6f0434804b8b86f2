"""A rule for clients that hold unlike parts of a model: each number is joined over those who hold it.

Who has a narrower model sends the leading corner of every tensor, and the corners lie in one another. So for
each corner, from the largest, the rule joins the replies that are at least as large, cut to it. Where all are
of one form it is the rule itself.

Source: Diao, Ding, Tarokh, "HeteroFL: Computation and Communication Efficient Federated Learning for
Heterogeneous Clients", ICLR 2021, Eq. 3, there with the mean by clients.
"""

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

    def join(self, replies: Replies) -> Parameters:
        """As written at the top; what nobody sent is in none of it."""
        forms = {tuple(t.shape for t in tree.values()): tree for tree in replies.trees}
        whole: Parameters = {}
        for like in sorted(forms.values(), key=_numbers, reverse=True):
            holding = [
                i for i, tree in enumerate(replies.trees) if _numbers(tree) >= _numbers(like)
            ]
            cut = [corner(replies.trees[i], like) for i in holding]
            joined = self.rule.join(
                Replies(cut, replies.samples[holding], replies.clients[holding])
            )
            for name, tensor in joined.items():
                if name in whole:
                    corner(whole, like)[name].copy_(tensor)
                else:
                    whole[name] = tensor
        return whole


def corner(tree: Parameters, like: Parameters) -> Parameters:
    """The leading corner of each tensor, as large as that of `like`; the same memory.

    >>> import torch
    >>> corner({"w": torch.tensor([[1, 2], [3, 4]])}, {"w": torch.zeros(2, 1)})
    {'w': tensor([[1],
            [3]])}
    """
    return {
        name: tensor
        if tensor.shape == like[name].shape
        else tensor[tuple(map(slice, like[name].shape))]
        for name, tensor in tree.items()
    }


def _numbers(tree: Parameters) -> int:
    return sum(tensor.numel() for tensor in tree.values())
