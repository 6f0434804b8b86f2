"""Which network needs less energy: two bills side by side, for every price profile and level."""

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

from fedspike.energy.bill import Bill, Bills
from fedspike.energy.estimate import estimate

Winner = Literal["ann", "snn", "level", "no verdict"]


class Verdict(Struct, frozen=True, kw_only=True):
    """Energy of the spiking network (SNN) over that of the conventional one (ANN), and which is cheaper.

    `level` is its name in the bills, such as "training" or "communication:lte". `ratio` is the mean over the
    seeds of SNN energy / ANN energy at nominal prices, with the ends of its 95 % interval, which one seed
    does not have. The winner is "level" if the interval reaches 1 (for one seed: if the energies are equal),
    and "no verdict" if one of the two did synaptic operations that have no price.

    `factor` is by how much the winner is cheaper, `interval` its 95 % interval (without a winner, that of the
    ratio). None stands for what is not there: no winner, one seed; and, as JSON has no infinity, for a
    factor or an upper end without bounds. `could_flip` is what the winner did that has no price: with a
    price for it, the other network might win.
    """

    profile: str
    level: str
    seeds: int
    winner: Winner
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    factor: float | None = None
    interval: tuple[float, float | None] | None = None
    could_flip: list[str] = []


def verdicts(ann: Sequence[Bills], snn: Sequence[Bills]) -> list[Verdict]:
    """The verdict for every profile and level that all these bills have.

    Bills of one seed stand at the same place: they share data and initial weights, so their ratio has less
    scatter than a ratio of means.
    """
    return [
        _judge(profile, level, _of(profile, level, ann), _of(profile, level, snn))
        for profile, levels in ann[0].items()
        for level in levels
        if all(level in bills.get(profile, {}) for bills in (*ann, *snn))
    ]


def _of(profile: str, level: str, bills: Sequence[Bills]) -> list[Bill]:
    return [one[profile][level] for one in bills]


def _judge(profile: str, level: str, ann: Sequence[Bill], snn: Sequence[Bill]) -> Verdict:
    comparable = all(bill.is_comparable for bill in (*ann, *snn))
    if not comparable or any(bill.nominal_mj == 0 for bill in ann):
        return Verdict(profile=profile, level=level, seeds=len(ann), winner="no verdict")
    ratio = estimate([s.nominal_mj / a.nominal_mj for a, s in zip(ann, snn, strict=True)])
    mean, half = ratio.mean, ratio.half_width
    winner: Winner = "level"
    if abs(mean - 1) > (half or 0):
        winner = "ann" if mean > 1 else "snn"
    ends = None if half is None else (mean - half, mean + half)
    winners: Mapping[Winner, Sequence[Bill]] = {"ann": ann, "snn": snn}
    not_priced = [term for bill in winners.get(winner, ()) for term in bill.not_priced]
    return Verdict(
        profile=profile,
        level=level,
        seeds=len(ann),
        winner=winner,
        ratio=mean,
        ratio_low=ends and ends[0],
        ratio_high=ends and ends[1],
        factor=_factor(winner, mean),
        interval=ends and _interval(winner, *ends),
        could_flip=list(dict.fromkeys(not_priced)),
    )


def _factor(winner: Winner, ratio: float) -> float | None:
    if winner == "ann":
        return ratio
    return 1 / ratio if winner == "snn" and ratio else None


def _interval(winner: Winner, low: float, high: float) -> tuple[float, float | None]:
    """It has no upper end where the energy of the winning SNN may as well be nothing."""
    if winner != "snn":
        return max(low, 0.0), high
    return 1 / high, 1 / low if low > 0 else None
