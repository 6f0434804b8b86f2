"""How far the verdict hangs on each single price: one price moved, all others left as they are."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from msgspec.structs import replace

from fedspike.energy.levels import Level
from fedspike.energy.profiles import Memory, Price, Profile
from fedspike.energy.recorded import Recorded

FACTOR = 2  # either way, where a source gives one number


@dataclass(frozen=True)
class Sensitivity:
    """SNN energy / ANN energy with a price at its low and at its high end.

    The ends are those of its source if `from_source`, else half and twice the price.
    """

    price: str
    low_pj: float
    nominal_pj: float
    high_pj: float
    from_source: bool
    ratio_at_low: float
    ratio_at_high: float

    @property
    def swing(self) -> float:
        """By what factor the ratio changes from one end to the other."""
        low, high = sorted((self.ratio_at_low, self.ratio_at_high))
        return high / low if low else math.inf


def ratio(ann: Recorded, snn: Recorded, profile: Profile, level: Level) -> float:
    """SNN energy / ANN energy of what the clients did, at nominal prices.

    Raises ZeroDivisionError where the profile prices nothing that the ANN did, and InputError where
    it does not allow the level.
    """
    ann_mj, snn_mj = (s.bill(s.counts, profile, level).nominal_mj for s in (ann, snn))
    return snn_mj / ann_mj


def sensitivity(ann: Recorded, snn: Recorded, profile: Profile, level: Level) -> list[Sensitivity]:
    """The ratio at both ends of every price of the profile, the price that moves it most first.

    A price that stands for several terms moves them all: the one of `mac` is paid by the ANN and by
    the SNN's gradients alike. Prices that belong together, as those of an addition and of an
    accumulate, are still moved one by one.

    Raises what `ratio` raises.
    """
    found = []
    for name, price, changed in _movable(profile):
        given = price.pj.low < price.pj.high
        nominal = float(price.pj.nominal)
        low, high = nominal / FACTOR, nominal * FACTOR
        if given:
            low, high = float(price.pj.low), float(price.pj.high)
        ratios = (ratio(ann, snn, changed(_at(price, pj)), level) for pj in (low, high))
        found.append(Sensitivity(name, low, nominal, high, given, *ratios))
    return sorted(found, key=lambda one: -one.swing)


def _movable(profile: Profile) -> Iterator[tuple[str, Price, Callable[[Any], Profile]]]:
    """Every price of a profile with its name, and the profile that has another one there."""

    def with_price(key: str, price: Price) -> Profile:
        return replace(profile, price={**profile.price, key: price})

    def with_memory(place: int, memory: Memory) -> Profile:
        before, after = profile.memory[:place], profile.memory[place + 1 :]
        return replace(profile, memory=(*before, memory, *after))

    for key, price in profile.price.items():
        yield key, price, partial(with_price, key)
    for place, memory in enumerate(profile.memory):
        yield f"memory of {memory.bytes:,} bytes", memory, partial(with_memory, place)
    if profile.dram is not None:
        yield "dram", profile.dram, lambda dram: replace(profile, dram=dram)


def _at(price: Price, pj: float) -> Price:
    return replace(price, value_pj=pj, low_pj=None, nominal_pj=None, high_pj=None)
