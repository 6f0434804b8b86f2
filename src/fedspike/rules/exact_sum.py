"""Sums over clients that are exact, so that their bits hang on no order, chunk, node or process.

    x = sum over p of q_p,    q_p a multiple of 2^(40 p),    S_p <- S_p + q_p

Each number is cut at absolute places, 40 bits apart, and what lies at one place is added up on its own: all
are multiples of one power of two, and of these a float64 holds 2^53, so no addition is rounded. Before a
place gets full, its upper part is carried to the next. A number is cut by adding and taking away 1.5 * 2^52
times the power of two, which rounds it there; the rest is exact.

So a sum is the exact one, whatever came first: it is rounded once, at its end. Its relative error is at most
2^-51, also where the clients cancel each other; the mean's, divided by the sum of weights, 2^-50. A weight
below 2^29 times a float32 number is exact in float64; another product is rounded once, for its client alone.

Source: Demmel, Nguyen, "Parallel Reproducible Summation", IEEE Transactions on Computers 64, 2015; Ahrens,
Demmel, Nguyen, "Algorithms for Efficient Reproducible Floating Point Summation", ACM Transactions on
Mathematical Software 46, 2020. They keep the uppermost two or three places of each number's sum and forget
what is below; here all tensors of one sum share their places, and as many are kept as there are bits.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Float64
from torch import Tensor

APART = 40  # bits from one place to the next
ROOM = 2.0**52  # multiples of its unit that a place may hold
CUT = 2.0**50  # and that a number may be to be cut there
LEAST = -1074  # exponent of the least float64
LARGEST = 2.0**960  # what is larger counts as infinite
MOST_PARTS = (
    12  # of a sum of float32 numbers times weights: their bits are at eleven places, or infinite
)
AT_ONCE = 2**17  # numbers of each client that are added up together, so that they stay in the cache


class ExactSum:
    """A sum of tensors of one shape that grows by `deposit`, `merge` and `deposit_parts`, in any order.

    >>> sums = ExactSum((2,))
    >>> for numbers in ([1e30, 1.0], [1.0, 2.0**-60], [-1e30, -1.0]):
    ...     sums.deposit(torch.tensor(numbers, dtype=torch.float64))
    >>> sums.value() == torch.tensor([1.0, 2.0**-60])
    tensor([True, True])

    A nan, and infinities of both signs, make a nan; an infinity, or what is beyond 2^960, an infinity.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = torch.Size(shape)
        self._places: dict[int, Tensor] = {}
        self._most: dict[int, float] = {}  # a bound of the sizes at a place
        self._infinite: Tensor | None = None  # the sum of what is nan or infinite

    def deposit(self, numbers: Float[Tensor, "*shape"], weight: int = 1) -> None:
        """Add `weight` times the numbers."""
        left = numbers.double() * weight
        size = _size(left)
        if not size <= LARGEST:
            left, size = self._without_infinite(left)
        rounded = torch.empty_like(left)
        while size:
            place = math.ceil((math.frexp(size)[1] - math.log2(CUT)) / APART)
            unit = _unit(place)
            cut = 1.5 * 2.0**52 * unit
            torch.add(left, cut, out=rounded)
            rounded -= cut
            left -= rounded
            self._put(place, rounded, size + unit)
            size = _size(left)

    def merge(self, other: "ExactSum") -> None:
        """Add another sum."""
        for place, numbers in other._places.items():
            self._put(place, numbers, other._most[place])
        if other._infinite is not None:
            self._without_infinite(other._infinite)

    def parts(self) -> Float64[Tensor, "part *shape"]:
        """The sum as a few tensors that add up to it exactly: what travels from node to server.

        One for each place that holds something: seldom more than three. Sums that are equal may come in
        other parts where they were put together otherwise.

        >>> sums = ExactSum(())
        >>> for number in (1.0, 2.0**-70):
        ...     sums.deposit(torch.tensor(number, dtype=torch.float64))
        >>> [float(part) for part in sums.parts()] == [1.0, 2.0**-70]
        True
        """
        places = [self._places[place] for place in sorted(self._places, reverse=True)]
        places = [numbers for numbers in places if _size(numbers)]
        if self._infinite is not None:
            places.append(self._infinite)
        return torch.stack(places) if places else torch.zeros(1, *self.shape, dtype=torch.float64)

    def deposit_parts(self, parts: Float64[Tensor, "part *shape"]) -> None:
        """Add a sum that came as its `parts`, or any others: they need not be what we send."""
        for part in parts:
            self.deposit(part)

    def value(self) -> Float64[Tensor, "*shape"]:
        """The sum in float64, rounded at its end; 0 has no sign, nor has nan."""
        whole = ExactSum(self.shape)
        whole.merge(self)
        places = whole._places
        for place in range(min(places, default=0), max(places, default=0)):
            if place in places:
                whole._carry(place)  # now it holds what is between 0 and the next place's unit
        first, *lower = sorted(places, reverse=True) or [0]
        value = places.get(first, torch.zeros(self.shape, dtype=torch.float64))
        for place in lower:
            value += places[place]
        if self._infinite is not None:
            strange = torch.where(self._infinite.isnan(), torch.nan, self._infinite)
            value = torch.where(strange == 0, value, strange)
        return value

    def _put(self, place: int, numbers: Tensor, most: float) -> None:
        """Add multiples of a place's unit, of a size of at most so much."""
        if place in self._places and self._most[place] + most > ROOM * _unit(place):
            self._carry(place)
        if place in self._places:
            self._places[place] += numbers
        else:
            self._places[place] = numbers.clone()
        self._most[place] = self._most.get(place, 0.0) + most

    def _carry(self, place: int) -> None:
        """Leave at a place what is from 0 to below the next one's unit, and put the rest there."""
        unit = _unit(place + 1)
        up = (self._places[place] / unit).floor_().mul_(unit)
        self._places[place] -= up
        self._put(place + 1, up, self._most[place] + unit)
        self._most[place] = unit

    def _without_infinite(self, numbers: Tensor) -> tuple[Tensor, float]:
        """The numbers without those that no place takes, which are kept; and their largest size."""
        infinite = ~(numbers.abs() <= LARGEST)
        kept = torch.where(infinite, numbers * math.inf, 0.0)
        self._infinite = kept if self._infinite is None else self._infinite + kept
        finite = torch.where(infinite, 0.0, numbers)
        return finite, _size(finite)


def exact_mean(
    tensors: Sequence[Float[Tensor, "*shape"]], weights: Sequence[int], over: int | None = None
) -> Float64[Tensor, "*shape"]:
    """The sum of tensors times their weights, divided by that of all weights, or by what it is `over`.

    >>> exact_mean([torch.tensor([1e8, 1.0]), torch.tensor([1.0, 1.0]), torch.tensor([-1e8, 4.0])], [1, 2, 1])
    tensor([0.5000, 1.7500], dtype=torch.float64)
    """
    flat, joined = [tensor.flatten() for tensor in tensors], []
    for first in range(0, max(1, len(flat[0])), AT_ONCE):
        some = [numbers[first : first + AT_ONCE] for numbers in flat]
        joined.append(_summed(some, weights).value() / (over or sum(weights)))
    return torch.cat(joined).reshape(tensors[0].shape)


def exact_parts(
    tensors: Sequence[Float[Tensor, "*shape"]], weights: Sequence[int]
) -> Float64[Tensor, "part *shape"]:
    """The sum of tensors times their weights, in the `parts` of an exact sum.

    >>> exact_parts([torch.tensor([1.0, 2.0]), torch.tensor([5.0, 6.0])], [3, 1])
    tensor([[ 8., 12.]], dtype=torch.float64)
    """
    return _summed(tensors, weights).parts()


def _summed(tensors: Sequence[Tensor], weights: Sequence[int]) -> ExactSum:
    sums = ExactSum(tensors[0].shape)
    for numbers, weight in zip(tensors, weights, strict=True):
        sums.deposit(numbers, weight)
    return sums


def _unit(place: int) -> float:
    """What the numbers at a place are multiples of; at the lowest the least number that there is."""
    return 2.0 ** max(APART * place, LEAST)


def _size(numbers: Tensor) -> float:
    """The largest size of all; nan where one is."""
    if not numbers.numel():
        return 0.0
    least, largest = numbers.aminmax()
    return max(-float(least), float(largest))
