"""What an optimiser remembers while a cohort trains, and from round to round, where that is kept.

Kept, it comes with the parameters that a client starts from, by names of its own, and goes with those that it
trained. Clients that are not in every round have made unlike numbers of steps, which Adam asks for.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence

import torch

from fedspike.engine.engines import Engine
from fedspike.networks import Parameters
from fedspike.parts.optimisers import Optimiser, Step

KEPT = "optimiser."
LAST_STEP = f"{KEPT}steps"


def beginning(optimiser: Optimiser, model: Parameters) -> Parameters:
    """What is kept of one client before its first round; nothing of an optimiser that has no memory."""
    groups = optimiser.start(model)
    return flat(groups) | {LAST_STEP: torch.zeros(())} if groups else {}


class OptimiserMemory:
    """Of clients that start from these tensors, and that the optimiser then steps together."""

    def __init__(self, optimiser: Optimiser, start: Parameters, learned: Parameters) -> None:
        clients = len(next(iter(learned.values())))
        self.optimiser = optimiser
        self._kept = {n: numbers.clone() for n, numbers in start.items() if is_kept(n)}
        self._groups = grouped(self._kept) if self._kept else optimiser.start(learned)
        self._before = self._kept[LAST_STEP].long().tolist() if self._kept else [0] * clients

    def step(
        self, engine: Engine, parameters: Parameters, gradients: Parameters, number: int
    ) -> None:
        """Step number so and so of the round, from 1 on, of the first clients, whose parameters these are."""
        k = len(next(iter(parameters.values()), ()))  # an algorithm may leave nothing to be learned
        for alike in runs(self._before[:k]):
            memory = {group: own(numbers, alike) for group, numbers in self._groups.items()}
            place = self._before[alike.start] + number
            now = Step(own(parameters, alike), own(gradients, alike), memory, place)
            engine.step(self.optimiser, now)

    def after(self, steps: Sequence[int]) -> Parameters:
        """What is kept, once each client has made so many."""
        if self._kept:
            last = self._kept[LAST_STEP]
            last += torch.tensor(steps).to(last)
        return self._kept


def is_kept(name: str) -> bool:
    """Whether a tensor that comes with `start` is an optimiser's."""
    return name.startswith(KEPT)


def flat(groups: Mapping[str, Parameters]) -> Parameters:
    """An optimiser's memory by single names."""
    return {
        f"{KEPT}{g}.{name}": tensor for g, own in groups.items() for name, tensor in own.items()
    }


def grouped(kept: Parameters) -> dict[str, Parameters]:
    """The groups of that memory again; what is written to them is written to it."""
    groups: dict[str, Parameters] = {}
    for name, tensor in kept.items():
        group, _, own = name.removeprefix(KEPT).partition(".")
        if name != LAST_STEP:
            groups.setdefault(group, {})[own] = tensor
    return groups


def runs(numbers: Sequence[int]) -> Iterator[slice]:
    """Where neighbours are the same.

    >>> list(runs([3, 3, 5]))
    [slice(0, 2, None), slice(2, 3, None)]
    """
    begin = 0
    for _, alike in itertools.groupby(numbers):
        end = begin + len(list(alike))
        yield slice(begin, end)
        begin = end


def own(tensors: Parameters, clients: slice) -> Parameters:
    """Those of some clients, the same memory."""
    return {name: numbers[clients] for name, numbers in tensors.items()}
