"""What a run has spent after each of its rounds: exact sums, so that the last is the run's bill.

A bill is counts times prices, so the price of a term, such as `forward.mac`, is what it costs in the last
work divided by how often it was done there. All sums are of whole numbers, and rounded once, as a bill is.
"""

import math
from collections.abc import Sequence
from fractions import Fraction

from fedspike.energy.account import Work
from fedspike.energy.bill import PICOJOULES_IN_A_MILLIJOULE, WORK
from fedspike.energy.counts import entries
from fedspike.energy.levels import Level
from fedspike.energy.profiles import Profile


def spent_mj(works: Sequence[Work | None], profile: Profile, level: Level) -> list[float] | None:
    """Nominal millijoule of each of these works of a run, which grow, up to a level without the radio.

    None where nobody trained even in the last, or a synaptic operation has no price.
    """
    whole = works[-1] if works else None
    if whole is None:
        return None
    cost = whole.trained.cost(whole.training(), profile, level)
    if not WORK.isdisjoint(cost.not_priced):
        return None
    numbers = _by_term(whole)
    prices = {term: energy.nominal / numbers[term] for term, energy in cost.terms.items()}
    unit = math.lcm(*(price.denominator for price in prices.values()))
    units = {term: int(price * unit) for term, price in prices.items()}
    scale = unit * PICOJOULES_IN_A_MILLIJOULE
    return [
        float(Fraction(sum(number * units.get(term, 0) for term, number in counts.items()), scale))
        for counts in (_by_term(work) if work else {} for work in works)
    ]


def _by_term(work: Work) -> dict[str, int]:
    """How often each phase.operation was done, in all layers."""
    numbers: dict[str, int] = {}
    for phase, _, operation, number in entries(work.training()):
        term = f"{phase}.{operation}"
        numbers[term] = numbers.get(term, 0) + number
    return numbers
