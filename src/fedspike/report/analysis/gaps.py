"""How far apart a spiking and a conventional network are in accuracy, and how sure that is.

    one seed         McNemar's exact test on the same test samples; the interval is that of the samples alone
    two seeds        no test: Student's interval of two numbers is 13 times as wide as they are apart
    three or more    Student's t of the differences within a seed, the p of all settings corrected by Holm
    ten or more      the same; the interval is bootstrapped (`bootstrap.py`)

Sources: McNemar, "Note on the Sampling Error of the Difference Between Correlated Proportions or
Percentages", Psychometrika 12, 1947; the interval: Fleiss, Levin, Paik, "Statistical Methods for Rates and
Proportions", 3rd ed., 2003, eq. 13.14 without the correction for continuity.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import special

from fedspike.energy.estimate import FEWEST, Estimate
from fedspike.records.health import NORMAL_975
from fedspike.report.analysis.bootstrap import of_pairs
from fedspike.report.analysis.confusion import Outcome
from fedspike.report.analysis.settings import Comparison
from fedspike.report.analysis.significance import SIGNIFICANT, holm

ALIKE = 1.0  # points: networks whose difference is surely smaller are as accurate as each other
MOST_SEEDS = 100


@dataclass(frozen=True)
class Gap:
    """Points by which the spiking network is ahead, one for each seed.

    `estimate` is their mean with its interval, and `p` that of no difference; None where there is none. Of
    one seed both are of the test samples alone.
    """

    by_seed: tuple[float, ...]
    estimate: Estimate
    p: float | None

    @property
    def points(self) -> float:
        """The mean over the seeds."""
        return self.estimate.mean

    @property
    def seeds(self) -> int:
        """How many there are."""
        return len(self.by_seed)

    @property
    def ahead(self) -> Literal["spiking", "conventional", ""]:
        """Which kind of network is more accurate, "spiking" or "conventional"; "" where that is not sure."""
        if self.p is None or self.p >= SIGNIFICANT:
            return ""
        return "spiking" if self.points > 0 else "conventional"

    @property
    def alike(self) -> bool:
        """Whether a difference that matters is ruled out, which takes three seeds."""
        return self.seeds >= FEWEST and -ALIKE <= self.estimate.low <= self.estimate.high <= ALIKE

    @property
    def seeds_for_an_answer(self) -> int | None:
        """How many seeds would show the difference, or that there is none, if they scatter like these.

        The fewest n with t(0.975, n-1) s/sqrt(n) below the difference, or below what is left of `ALIKE`
        beside it; None where the scatter s is not known, or `MOST_SEEDS` are too few.
        """
        if self.seeds < 2:
            return None
        scatter, room = (
            statistics.stdev(self.by_seed),
            max(abs(self.points), ALIKE - abs(self.points)),
        )
        return next(
            (
                n
                for n in range(max(FEWEST, self.seeds + 1), MOST_SEEDS + 1)
                if special.stdtrit(n - 1, 0.975) * scatter / math.sqrt(n) < room
            ),
            None,
        )


def gaps(
    comparisons: Sequence[Comparison], outcomes: Mapping[str, Outcome], tested: int
) -> list[Gap | None]:
    """The gap of each comparison, None without a pair; `outcomes` has those of runs by their names.

    `tested` is the number of test samples, for runs that have no outcome; 0 if unknown.
    """
    made = [_gap(one, outcomes, tested) for one in comparisons]
    several = [place for place, gap in enumerate(made) if gap and gap.seeds >= FEWEST]
    corrected = holm([p for place in several if (gap := made[place]) and (p := gap.p) is not None])
    for place, p in zip(several, corrected, strict=True):
        gap = made[place]
        assert gap is not None
        made[place] = replace(gap, p=p)
    return made


def _gap(comparison: Comparison, outcomes: Mapping[str, Outcome], tested: int) -> Gap | None:
    pairs = comparison.pairs()
    points = tuple(100 * (snn.final_accuracy - ann.final_accuracy) for ann, snn in pairs)
    if not points:
        return None
    if len(points) == 1:
        ann, snn = pairs[0]
        rival, own = outcomes.get(ann.name), outcomes.get(snn.name)
        half, p = _unpaired(ann.final_accuracy, snn.final_accuracy, tested)
        if rival and own and np.array_equal(rival.labels, own.labels):
            half, p = mcnemar(own.right, rival.right)
        return Gap(points, Estimate(points[0], half, 1), p)
    return Gap(points, of_pairs(points), student(points))


def mcnemar(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Half of the 95 % interval of the difference in points, and the exact p, of who is right where.

    With b samples that only `one` has right and c that only the other has, of n:

        p = P(|X - (b+c)/2| >= |b-c|/2),  X ~ Binomial(b+c, 1/2)
        half = 100 * 1.96 sqrt(b + c - (b-c)^2/n) / n

    >>> one = np.array([True] * 80 + [False] * 20)
    >>> half, p = mcnemar(one, np.roll(one, 10))
    >>> f"{half:.1f} {p:.2f}"
    '8.8 1.00'
    """
    b, c, n = int((one & ~other).sum()), int((other & ~one).sum()), len(one)
    p = min(1.0, 2 * float(special.bdtr(min(b, c), b + c, 0.5)))
    return 100 * NORMAL_975 * math.sqrt(b + c - (b - c) ** 2 / n) / n, p


def student(differences: Sequence[float]) -> float | None:
    """The two-sided p of paired differences whose mean is 0, by Student's t; None of fewer than three.

    >>> round(student([1.0, 2.0, 3.0]), 3), student([0.0, 0.0, 0.0]), student([1.0, 2.0])
    (0.074, 1.0, None)
    """
    if len(differences) < FEWEST:
        return None
    mean, scatter = statistics.fmean(differences), statistics.stdev(differences)
    if scatter == 0:
        return 0.0 if mean else 1.0
    t = mean / scatter * math.sqrt(len(differences))
    return float(2 * special.stdtr(len(differences) - 1, -abs(t)))


def _unpaired(ann: float, snn: float, tested: int) -> tuple[float | None, float | None]:
    """The same as McNemar's of two accuracies that are told apart by independent samples."""
    if not tested:
        return None, None
    deviation = math.sqrt((ann * (1 - ann) + snn * (1 - snn)) / tested)
    z = abs(snn - ann) / deviation if deviation else math.inf
    return 100 * NORMAL_975 * deviation, float(2 * special.ndtr(-z))
