"""Who wins under which prices: the two bills side by side, for every profile and level."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fedspike.energy.bill import LEVELS, Bill, Level
from fedspike.energy.estimate import estimate

Bills = Mapping[str, Mapping[Level, Sequence[Bill]]]
"""profile -> level -> the bill of every seed."""

Winner = Literal["ann", "snn", "level", "no verdict"]
WORK = {"forward.mac", "forward.ac"}


@dataclass(frozen=True)
class Verdict:
    """SNN over ANN, and who is cheaper.

    `ratio` is the mean over so many seeds of SNN energy / ANN energy at nominal prices, with the ends of
    its 95 % interval, which one seed does not have. The winner is "level" if the interval reaches 1 (for one
    seed: if the energies are equal), and "no verdict" if one of the two does work that has no price.
    What the winner did that has no price stands in `could_flip`: with it, it may not be the winner.
    """

    profile: str
    level: Level
    seeds: int
    winner: Winner
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    could_flip: tuple[str, ...]

    @property
    def factor(self) -> float | None:
        """By how much the winner is cheaper; None without a winner."""
        if self.ratio is None or self.winner not in ("ann", "snn"):
            return None
        if self.winner == "ann":
            return self.ratio
        return 1 / self.ratio if self.ratio else math.inf

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the factor, of the ratio where there is no winner; None for one seed.

        It has no upper end, inf, where the SNN's energy may as well be nothing.
        """
        if self.ratio_low is None or self.ratio_high is None:
            return None
        if self.winner != "snn":
            return max(self.ratio_low, 0.0), self.ratio_high
        return 1 / self.ratio_high, 1 / self.ratio_low if self.ratio_low > 0 else math.inf


def says_nothing(not_priced: Iterable[str]) -> bool:
    """Whether a bill without a price for these has none for a synaptic operation: nothing to compare."""
    return not WORK.isdisjoint(not_priced)


def verdict(ann_bills: Bills, snn_bills: Bills) -> list[Verdict]:
    """The verdict for every profile and level that both networks have bills for.

    Bills of the same seed stand at the same place: they share data and initial weights, so their ratio
    has less scatter than a ratio of means.
    """
    return [
        _judge(profile, level, ann_bills[profile][level], snn_bills[profile][level])
        for profile in ann_bills
        if profile in snn_bills
        for level in LEVELS
        if level in ann_bills[profile] and level in snn_bills[profile]
    ]


def _judge(profile: str, level: Level, ann: Sequence[Bill], snn: Sequence[Bill]) -> Verdict:
    missing = {"ann": _not_priced(ann), "snn": _not_priced(snn)}
    if any(map(says_nothing, missing.values())) or any(bill.nominal_mj == 0 for bill in ann):
        return Verdict(profile, level, len(ann), "no verdict", None, None, None, ())
    ratio = estimate([s.nominal_mj / a.nominal_mj for a, s in zip(ann, snn, strict=True)])
    mean, half = ratio.mean, ratio.half_width
    winner: Winner = "level"
    if abs(mean - 1) > (half or 0):
        winner = "ann" if mean > 1 else "snn"
    low, high = (None, None) if half is None else (mean - half, mean + half)
    could_flip = tuple(missing.get(winner, ()))
    return Verdict(profile, level, ratio.count, winner, mean, low, high, could_flip)


def _not_priced(bills: Sequence[Bill]) -> list[str]:
    return list(dict.fromkeys(term for bill in bills for term in bill.not_priced))
