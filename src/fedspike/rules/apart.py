"""Answers are not joined but kept apart, for an algorithm that looks at each."""

from typing import ClassVar

from fedspike.rules.rule import Parameters, Replies, Rule


class Apart(Rule):
    """All answers, one above the other: [client, ...].

    >>> import torch
    >>> from fedspike.rules import joined
    >>> joined(Apart(), [{"a": torch.tensor([1.0])}, {"a": torch.tensor([2.0])}], torch.tensor([1, 9]))
    {'a': tensor([[1.],
            [2.]])}
    """

    by_number: ClassVar[bool] = False

    def join(self, replies: Replies) -> Parameters:
        """All that came, in the order of the clients."""
        return {name: replies.stacked(name) for name in replies.trees[0]}
