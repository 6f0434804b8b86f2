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

    `first_clients[i]` is the number of the first of these clients, where somebody said so.
    """

    trees: Sequence[Parameters]
    samples: Int64[Tensor, " reply"]
    clients: Int64[Tensor, " reply"]
    first_clients: Sequence[int] = ()

    def stacked(self, name: str) -> Float[Tensor, "reply *shape"]:
        """What all sent under a name, float64. Raises InputError where it differs in its form."""
        tensors = [tree.get(name) for tree in self.trees]
        shapes = {None if tensor is None else tuple(tensor.shape) for tensor in tensors}
        if len(shapes) > 1:
            raise InputError(
                f"replies with {name} of the shapes {', '.join(sorted(map(str, shapes)))}",
                expected="one shape, from every client",
                fix="join them with a rule that takes different ones",
            )
        return torch.stack([tensor for tensor in tensors if tensor is not None]).double()


class Rule(Part):
    """How the tensors that clients send in one group become one.

    `partial` says whether some clients' tensors may be joined first, and the result with the others' then: a
    mean may, a median may not. A node that hosts many clients sends apart what is not `partial`. `by_number`
    says whether each number is joined on its own, so that some clients may send a part of them only.
    """

    partial: ClassVar[bool] = False
    by_number: ClassVar[bool] = True

    @abstractmethod
    def join(self, replies: Replies) -> Parameters:
        """One of all, float64; each reply stands for one client where the rule is not `partial`."""


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
) -> Parameters:
    """One of all, in the types of `like`, by default those of the first reply; of one client each by default.

    >>> from fedspike.rules import Mean
    >>> joined(Mean(), [{"w": torch.tensor([1.0])}, {"w": torch.tensor([5.0])}], torch.tensor([3, 1]))
    {'w': tensor([2.])}
    """
    like = like or replies[0]
    clients = torch.ones_like(samples) if clients is None else clients
    wide = rule.join(Replies(replies, samples, clients, first_clients))
    return {name: narrowed(tensor, like[name].dtype) for name, tensor in wide.items()}


def narrowed(wide: Float[Tensor, "*shape"], dtype: torch.dtype) -> Float[Tensor, "*shape"]:
    """A float64 sum in the clients' type, nearly always the same in whatever order it was added up.

    That holds for n clients as long as the sizes of what is added, in all, are at most 2^8 / n times the size
    of the sum. It does not hold where the clients nearly cancel each other, as the movements of SCAFFOLD's
    control variates do: there the last bits hang on the order, and on which node hosts whom.

    Weights are multiples of a power of two, so means of updates often lie exactly between two float32
    numbers, and the error of the sum, 1e-16, which depends on the order, would decide to which side. So the
    last 9 of its 53 bits are rounded away first, by Veltkamp's splitting (Dekker, "A floating-point
    technique for extending the available precision", Numerische Mathematik 18, 1971). What remains are sums
    that lie, within their error, halfway between two of the numbers with 44 bits next to such a middle.

    The error is at most n 2^-53 times the sizes of what is added, and must stay below 2^-45 times the sum.

    >>> middle = torch.tensor(1 + 2.0**-24, dtype=torch.float64)  # between two float32 numbers
    >>> [float(narrowed(middle + error, torch.float32)) for error in (-2e-16, 0.0, 2e-16)]
    [1.0, 1.0, 1.0]
    """
    if dtype == wide.dtype:
        return wide
    scaled = wide * (2.0**9 + 1)
    return (scaled - (scaled - wide)).to(dtype)
