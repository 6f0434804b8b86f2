"""How far the verdict hangs on each single price: one price moved, all others left as they are."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from msgspec.structs import replace

from fedspike.energy.bill import bill
from fedspike.energy.levels import Level
from fedspike.energy.profiles import Access, P, Price, Profile
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
    ann_mj, snn_mj = (
        bill(side.counts, profile, level, footprint=side.footprint).nominal_mj
        for side in (ann, snn)
    )
    return snn_mj / ann_mj


def sensitivity(ann: Recorded, snn: Recorded, profile: Profile, level: Level) -> list[Sensitivity]:
    """The ratio at both ends of every price of the profile, the price that moves it most first.

    A price that stands for several terms moves them all: the one of `mac` is paid by the ANN and by
    the SNN's gradients alike. Prices that belong together, as those of an addition and of an
    accumulate, are still moved one by one.

    Raises what `ratio` raises.
    """
    found = []
    for name, price, at in _movable(profile):
        given = price.pj.low < price.pj.high
        nominal = float(price.pj.nominal)
        low, high = nominal / FACTOR, nominal * FACTOR
        if given:
            low, high = float(price.pj.low), float(price.pj.high)
        ratios = (ratio(ann, snn, at(pj), level) for pj in (low, high))
        found.append(Sensitivity(name, low, nominal, high, given, *ratios))
    return sorted(found, key=lambda one: -one.swing)


def _movable(profile: Profile) -> Iterator[tuple[str, Price, Callable[[float], Profile]]]:
    """Every price of a profile with its name, and the profile that has another energy there."""
    for key, price in profile.price.items():
        yield key, price, partial(_with_price, profile, key)
    for place, memory in enumerate(profile.memory):
        yield f"memory of {memory.bytes:,} bytes", memory, partial(_with_memory, profile, place)
    if profile.dram is not None:
        yield "dram", profile.dram, partial(_with_dram, profile, profile.dram)


def _with_price(profile: Profile, key: str, pj: float) -> Profile:
    return replace(profile, price={**profile.price, key: _at(profile.price[key], pj)})


def _with_memory(profile: Profile, place: int, pj: float) -> Profile:
    moved = list(profile.memory)
    moved[place] = _at(moved[place], pj)
    return replace(profile, memory=tuple(moved))


def _with_dram(profile: Profile, dram: Access, pj: float) -> Profile:
    return replace(profile, dram=_at(dram, pj))


def _at(price: P, pj: float) -> P:
    return replace(price, value_pj=pj, low_pj=None, nominal_pj=None, high_pj=None)
