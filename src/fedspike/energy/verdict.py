"""Which network needs less energy: two bills side by side, for every price profile and level."""

from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct

from fedspike.energy.bill import Bill, Bills
from fedspike.energy.estimate import estimate

Winner = Literal["conventional", "spiking", "level", "no verdict"]


class Verdict(Struct, frozen=True, kw_only=True):
    """Energy of the spiking network (SNN) over that of the conventional one (ANN), and which is cheaper.

    `level` is its name in the bills, such as "training" or "communication:lte". `ratio` is the mean over the
    seeds of SNN energy / ANN energy at nominal prices, with the ends of its 95 % interval, which one seed
    does not have. The winner is "level" if the interval reaches 1 (for one seed: if the energies are equal),
    and "no verdict" if one of the two did synaptic operations that have no price, or does not work.

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
    factor: Annotated[float, Meta(gt=0)] | None = None
    interval: tuple[float, float | None] | None = None
    could_flip: list[str] = []


def verdicts(ann: Sequence[Bills], snn: Sequence[Bills], *, fit: bool = True) -> list[Verdict]:
    """The verdict for every profile and level that all these bills have; "no verdict" unless all are `fit`.

    Bills of one seed stand at the same place: they share data and initial weights, so their ratio has less
    scatter than a ratio of means.
    """
    return [
        _judge(profile, level, _of(profile, level, ann), _of(profile, level, snn), fit)
        for profile, levels in ann[0].items()
        for level in levels
        if all(level in bills.get(profile, {}) for bills in (*ann, *snn))
    ]


def _of(profile: str, level: str, bills: Sequence[Bills]) -> list[Bill]:
    return [one[profile][level] for one in bills]


def _judge(
    profile: str, level: str, ann: Sequence[Bill], snn: Sequence[Bill], fit: bool
) -> Verdict:
    comparable = fit and all(bill.is_comparable for bill in (*ann, *snn))
    if not comparable or any(bill.nominal_mj == 0 for bill in ann):
        return Verdict(profile=profile, level=level, seeds=len(ann), winner="no verdict")
    of_energies = estimate([s.nominal_mj / a.nominal_mj for a, s in zip(ann, snn, strict=True)])
    ratio, half = of_energies.mean, of_energies.half_width
    low, high = (None, None) if half is None else (ratio - half, ratio + half)
    winner: Winner = "level"
    if abs(ratio - 1) > (half or 0):
        winner = "conventional" if ratio > 1 else "spiking"
    interval: tuple[float, float | None] | None
    interval = None if low is None or high is None else (max(low, 0.0), high)
    if winner == "spiking" and high == 0:
        interval = None  # it needs nothing with any seed: by no factor, however large
    elif winner == "spiking" and low is not None and high is not None:
        # It has no upper end where the energy of the SNN may as well be nothing.
        interval = 1 / high, 1 / low if low > 0 else None
    bills = {"conventional": ann, "spiking": snn}.get(winner, ())
    factors = {"conventional": ratio, "spiking": 1 / ratio if ratio else None}
    return Verdict(
        profile=profile,
        level=level,
        seeds=len(ann),
        winner=winner,
        ratio=ratio,
        ratio_low=low,
        ratio_high=high,
        factor=factors.get(winner),
        interval=interval,
        could_flip=list(dict.fromkeys(term for bill in bills for term in bill.not_priced)),
    )
