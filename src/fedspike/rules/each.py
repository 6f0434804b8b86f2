"""A rule whose clients' tensors travel each on its own, because they are packed and sums of them are not."""

from fedspike.rules.rule import Parameters, Replies, Rule


class Each(Rule):
    """The `rule`, to which a node that hosts many clients sends what each of them answers.

    >>> import torch
    >>> from fedspike.rules import Mean, joined
    >>> replies = [{"w": torch.tensor([1.0])}, {"w": torch.tensor([5.0])}]
    >>> Each(Mean()).partial, joined(Each(Mean()), replies, torch.tensor([3, 1]))
    (False, {'w': tensor([2.])})
    """

    rule: Rule

    @property
    def by_number(self) -> bool:  # type: ignore[override]
        """As the rule."""
        return self.rule.by_number

    def join(self, replies: Replies) -> Parameters:
        """As the rule."""
        return self.rule.join(replies)
