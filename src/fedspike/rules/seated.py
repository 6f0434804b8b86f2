"""Answers are kept apart, each in the place of its client, for an algorithm that asks whose each is."""

from typing import ClassVar

import torch

from fedspike.rules.rule import Parameters, Replies, Rule


class Seated(Rule):
    """All answers, one above the other: [client, ...], nan where a client did not answer.

    Clients behind the last one that answered have no place.

    >>> from fedspike.rules import joined
    >>> replies = [{"a": torch.tensor([1.0])}, {"a": torch.tensor([2.0])}]
    >>> joined(Seated(), replies, torch.tensor([1, 9]), first_clients=[0, 2])
    {'a': tensor([[1.],
            [nan],
            [2.]])}
    """

    by_number: ClassVar[bool] = False

    def join(self, replies: Replies) -> Parameters:
        """All that came, by the numbers of the clients."""
        seats = torch.tensor(replies.first_clients)
        seated = {}
        for name in replies.trees[0]:
            came = replies.stacked(name)
            seated[name] = came.new_full((int(seats.max()) + 1, *came.shape[1:]), torch.nan)
            seated[name][seats] = came
        return seated
