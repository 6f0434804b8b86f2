"""A mean over seeds with its interval: what accuracies, energies and their ratios are reported as."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

FEWEST = 3  # seeds with an interval: that of two is 13 times as wide as they are apart
# 97.5 % quantiles of Student's t for 1, 2, ... degrees of freedom (any statistics textbook). Beyond
# the table its last value is used: the interval is then a little too wide, never too narrow.
STUDENT_T = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its 95 % interval, which one or two seeds do not have.

    That reaches `half_width` to both sides; or from one of the `ends` to the other, where they are given.
    """

    mean: float
    half_width: float | None
    count: int
    ends: tuple[float, float] | None = None

    @property
    def low(self) -> float:
        """The lower end; the mean where there is no interval."""
        return self.ends[0] if self.ends else self.mean - (self.half_width or 0.0)

    @property
    def high(self) -> float:
        """The upper end; the mean where there is no interval."""
        return self.ends[1] if self.ends else self.mean + (self.half_width or 0.0)

    def __neg__(self) -> "Estimate":
        """Of the same values with the other sign."""
        ends = (-self.ends[1], -self.ends[0]) if self.ends else None
        return replace(self, mean=-self.mean, ends=ends)


def estimate(values: Sequence[float]) -> Estimate:
    """mean +- t(0.975, n - 1) * s / sqrt(n), Student's interval for the mean of n runs.

    >>> f"{estimate([1.0, 2.0, 3.0]).half_width:.3f}"
    '2.484'
    >>> estimate([1.0, 2.0])
    Estimate(mean=1.5, half_width=None, count=2, ends=None)
    """
    count, mean = len(values), statistics.fmean(values)
    if count < FEWEST:
        return Estimate(mean, None, count)
    t = STUDENT_T[min(count - 1, len(STUDENT_T)) - 1]
    return Estimate(mean, t * statistics.stdev(values) / math.sqrt(count), count)


def decimals(half_width: float, usual: int) -> int:
    """Digits behind the point with which half an interval is no zero: the usual ones, or as many as it takes.

    >>> decimals(0.31, 1), decimals(0.004, 1), decimals(0.000031, 4)
    (1, 3, 5)
    """
    return max(usual, -math.floor(math.log10(half_width)))


def ends(low: float, high: float | None) -> str:
    """An interval of positive numbers as text: three digits, or four where three show no difference.

    None as `high` is an interval without an upper end. One of under a thousandth either way is named so.

    >>> ends(2.414, 2.867), ends(10.86, 10.92), ends(1.0010, 1.0012), ends(144.2, None)
    ('2.41 to 2.87', '10.86 to 10.92', '± under 0.1 %', '144 to ∞')
    """
    high = math.inf if high is None else high
    if high - low < 2e-3 * low:
        return "± under 0.1 %"
    digits = next((n for n in (3, 4) if _rounded(low, n) != _rounded(high, n)), 4)
    return f"{_rounded(low, digits)} to {_rounded(high, digits)}"


def _rounded(value: float, digits: int) -> str:
    """A number with so many digits, and all of its whole ones."""
    if math.isinf(value):
        return "∞"
    if value == 0:
        return "0"
    return f"{value:,.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"
