"""What a real fleet did, done again in a simulation with the same clients in each round."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from msgspec import structs

from fedspike.federation.devices import Given
from fedspike.federation.order import Answers, Order
from fedspike.federation.places.here import Here
from fedspike.federation.plan import Plan
from fedspike.federation.rounds import rounds
from fedspike.federation.state import State

NOBODY = np.arange(0)


@dataclass(frozen=True)
class Seated(Given):
    """Shards of which some are empty: seats that nobody has taken."""

    dealt: ClassVar[bool] = False


@dataclass(frozen=True)
class Without:
    """The place of a simulation without certain clients."""

    missing: Sequence[int]

    def work(self, order: Order) -> Answers:
        present = {k: n for k, n in order.samples.items() if k not in self.missing}
        return Here().work(replace(order, samples=present))


def replayed(
    plan: Plan,
    shards: Sequence[np.ndarray],
    happened: Iterable[tuple[Iterable[int], Sequence[int]]],
) -> State:
    """The state after rounds with these clients that took part and these that were missing.

    Who is neither has no seat yet. The plan's cohort is everybody.
    """
    plan, state = plan.loaded(), State(0, {})
    for number, (clients, missing) in enumerate(happened, 1):
        seated = {*clients, *missing}
        held = tuple(own if k in seated else NOBODY for k, own in enumerate(shards))
        one = structs.replace(plan, partition=Seated(held), rounds=number)
        (round,) = rounds(one, Without(missing), state if number > 1 else None)
        state = round.state
    return state
