"""The mean of what is compared within a seed: from ten seeds on its interval is bootstrapped.

Such an interval assumes no normal distribution, and follows differences that lean to one side.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from statistics import NormalDist

import numpy as np

from fedspike.energy.estimate import Estimate, estimate
from fedspike.randomness import stream
from fedspike.report.analysis.significance import ALIKE

ENOUGH = 10  # seeds: fewer are too few to draw from
RESAMPLES = 9_999
NORMAL = NormalDist()


def of_pairs(values: Sequence[float]) -> Estimate:
    """The mean of one value for each seed: Student's interval below `ENOUGH` of them, else BCa's.

    >>> of_pairs([0.1, 0.2, 0.3]).half_width is None, of_pairs([0.1] * 9 + [2.0]).half_width is None
    (False, True)
    """
    made = estimate(values)
    if made.count < ENOUGH:
        return made
    return replace(made, half_width=None, ends=bca(tuple(sorted(values))))


@cache
def bca(values: tuple[float, ...]) -> tuple[float, float]:
    """The ends of the 95 % interval of a mean, bias-corrected and accelerated, of at least ten values.

    With G the distribution of the means of the resamples, and m that of the values:

        end(z) = G^-1(Phi(z0 + (z0 + z) / (1 - a (z0 + z)))),  z = -1.96 and 1.96
        z0     = Phi^-1(P(mean < m) + P(mean = m) / 2)
        a      = sum d^3 / (6 (sum d^2)^(3/2)),  d = value - m: what the jackknife of a mean comes to

    Source: Efron, "Better Bootstrap Confidence Intervals", Journal of the American Statistical Association
    82, 1987.
    """
    sample = np.array(values)
    centre = float(sample.mean())
    apart = sample - centre
    if np.abs(apart).max() <= ALIKE:
        return centre, centre
    means = sample[_resamples(len(sample))].mean(1)
    off = means - centre
    z0 = NORMAL.inv_cdf(float((off < -ALIKE).mean() + (np.abs(off) <= ALIKE).mean() / 2))
    a = float((apart**3).sum() / (6 * (apart**2).sum() ** 1.5))
    shifted = (z0 + NORMAL.inv_cdf(0.025), z0 + NORMAL.inv_cdf(0.975))
    low, high = np.quantile(means, [NORMAL.cdf(z0 + z / (1 - a * z)) for z in shifted])
    return float(low), float(high)


@cache
def _resamples(count: int) -> np.ndarray:
    """Which of so many values each resample has, [resample, value]: always the same."""
    return stream(0, "bootstrap", sample=count).integers(count, size=(RESAMPLES, count))
