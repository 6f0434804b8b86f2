"""What a rule is: the answers of many clients to one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from fedspike.errors import InputError
from fedspike.part import Part, abstractmethod

Parameters = dict[str, Tensor]


@dataclass(frozen=True)
class Replies:
    """What is joined: `trees[i]` is of `clients[i]` clients with `samples[i]` samples in all.

    Where `sums[i]`, it has what a rule that is `partial` made of these: sums, each in its parts. By default
    none has. `first_clients[i]` is the number of the first of the clients, where somebody said so.
    """

    trees: Sequence[Parameters]
    samples: Int64[Tensor, " reply"]
    clients: Int64[Tensor, " reply"]
    first_clients: Sequence[int] = ()
    sums: Sequence[bool] = ()

    def stacked(self, name: str) -> Float[Tensor, "reply *shape"]:
        """What all sent under a name, float64. Raises InputError where it differs in its form."""
        return torch.stack([tensor for tensor, _ in self._sent(name)]).double()

    def terms(
        self, name: str, weights: Int64[Tensor, " reply"]
    ) -> tuple[list[Float[Tensor, "*shape"]], list[int]]:
        """What the sum over all clients is of, and with which weight: each reply with its own, a sum with 1.

        Raises InputError where what they sent under the name differs in its form.
        """
        tensors, times = list[Tensor](), list[int]()
        for (sent, is_sum), weight in zip(self._sent(name), weights.tolist(), strict=True):
            tensors += [*sent] if is_sum else [sent]
            times += [1] * len(sent) if is_sum else [weight]
        return tensors, times

    def shapes(self, i: int) -> dict[str, torch.Size]:
        """Those of the numbers in a reply, whether it has sums or not."""
        return {name: t.shape[self._is_sum(i) :] for name, t in self.trees[i].items()}

    def cut(self, replies: Sequence[int], shapes: Mapping[str, torch.Size]) -> "Replies":
        """Some of the replies, of each tensor the leading corner of this shape; the same memory."""
        return Replies(
            [_corner(self.trees[i], shapes, self._is_sum(i)) for i in replies],
            self.samples[replies],
            self.clients[replies],
            sums=[self._is_sum(i) for i in replies],
        )

    def _is_sum(self, i: int) -> bool:
        return bool(self.sums) and self.sums[i]

    def _sent(self, name: str) -> list[tuple[Tensor, bool]]:
        """What each sent under a name, and whether that is a sum."""
        sent = [tree.get(name) for tree in self.trees]
        shapes = {
            None if tensor is None else tuple(tensor.shape[self._is_sum(i) :])
            for i, tensor in enumerate(sent)
        }
        if len(shapes) > 1:
            raise InputError(
                f"replies with {name} of the shapes {', '.join(sorted(map(str, shapes)))}",
                expected="one shape, from every client",
                fix="join them with a rule that takes different ones",
            )
        return [(tensor, self._is_sum(i)) for i, tensor in enumerate(sent) if tensor is not None]


class Rule(Part):
    """How the tensors that clients send in one group become one.

    `partial` says whether some clients' tensors may be `summed` first, and the sums joined with the others'
    then: for a mean they may, for a median not. A node that hosts many clients sends apart what is not
    `partial`. `by_number` says whether each number is joined on its own, so that some clients may send a part
    of them only.
    """

    partial: ClassVar[bool] = False
    by_number: ClassVar[bool] = True

    @abstractmethod
    def join(self, replies: Replies) -> Parameters:
        """One of all, float64, the same to the bit in whatever order they come, unless it asks for that.

        Each reply stands for one client where the rule is not `partial`; where it is, some may have sums.
        """

    def summed(self, replies: Replies) -> Parameters:
        """Several clients' answers, as a `partial` rule takes them: exact sums in their parts, [part, ...].

        Raises InputError of a rule that is not `partial`.
        """
        del replies
        raise InputError(
            f"{self.kind}: sums of some clients' answers",
            expected="a rule that is partial, with its sums",
            fix=f"write summed() of {self.kind} as rules/mean.py has it, or leave partial out",
        )

    def weights(
        self, samples: Int64[Tensor, " reply"], clients: Int64[Tensor, " reply"]
    ) -> Int64[Tensor, " reply"]:
        """How often each reply counts in what a `partial` rule sums, by its samples and its clients."""
        del clients
        return samples


def heaps(rule: Rule, group: str, tensors: Mapping[int, Parameters]) -> dict[str, list[int]]:
    """Under which names the clients of one reply send a group, and who stands behind each.

    All under the group's own name where their tensors have one form and the rule is `partial`, or there is
    one client; else one for each form, or each client, named by its first client.

    >>> from fedspike.rules import Mean, Median
    >>> wide, narrow = {"b": torch.zeros(4)}, {"b": torch.zeros(2)}
    >>> heaps(Mean(), "update", {3: wide, 5: wide}), heaps(Median(), "update", {3: wide, 5: wide})
    ({'update': [3, 5]}, {'3/update': [3], '5/update': [5]})
    >>> heaps(Mean(), "update", {3: wide, 5: narrow, 6: wide})
    {'3/update': [3, 6], '5/update': [5]}
    """
    alike: dict[object, list[int]] = {}
    for client, own in tensors.items():
        form = tuple((name, tensor.shape) for name, tensor in own.items())
        alike.setdefault(form if rule.partial else client, []).append(client)
    if len(alike) == 1:
        return {group: next(iter(alike.values()))}
    return {f"{clients[0]}/{group}": clients for clients in alike.values()}


def joined(
    rule: Rule,
    replies: Sequence[Parameters],
    samples: Int64[Tensor, " reply"],
    clients: Int64[Tensor, " reply"] | None = None,
    like: Parameters | None = None,
    first_clients: Sequence[int] = (),
    sums: Sequence[bool] = (),
) -> Parameters:
    """One of all, in the types of `like`, by default those of the first reply; of one client each by default.

    >>> from fedspike.rules import Mean
    >>> joined(Mean(), [{"w": torch.tensor([1.0])}, {"w": torch.tensor([5.0])}], torch.tensor([3, 1]))
    {'w': tensor([2.])}
    """
    like = like or replies[0]
    clients = torch.ones_like(samples) if clients is None else clients
    wide = rule.join(Replies(replies, samples, clients, first_clients, sums))
    return {name: tensor.to(like[name].dtype) for name, tensor in wide.items()}


def corner(tree: Parameters, like: Parameters) -> Parameters:
    """The leading corner of each tensor, as large as that of `like`; the same memory.

    >>> corner({"w": torch.tensor([[1, 2], [3, 4]])}, {"w": torch.zeros(2, 1)})
    {'w': tensor([[1],
            [3]])}
    """
    return _corner(tree, {name: tensor.shape for name, tensor in like.items()})


def _corner(tree: Parameters, shapes: Mapping[str, torch.Size], is_sum: bool = False) -> Parameters:
    return {
        name: tensor
        if tensor.shape[is_sum:] == shapes[name]
        else tensor[(*(slice(None),) * is_sum, *map(slice, shapes[name]))]
        for name, tensor in tree.items()
    }
