"""Whether two accuracies differ by more than chance."""

import math

from fedspike.report.analysis.results import Results
from fedspike.report.analysis.settings import Comparison
from fedspike.report.rendering.tables import number

NORMAL_975 = 1.96  # 97.5 % quantile of the standard normal distribution


def chance_points(results: Results, comparison: Comparison) -> float:
    """By how many points a finite test set sets two equally good networks apart; 0 where it is not known.

    1.96 * sqrt((p(1-p) + q(1-q)) / n): accuracies p and q, each a mean of n independent tosses.
    """
    dataset = results.experiment.dataset
    if dataset is None:
        return 0.0
    accuracies = [comparison.reference, comparison.spiking]
    shares = [network.accuracy.mean / 100 for network in accuracies if network]
    variance = sum(p * (1 - p) for p in shares) / max(1, dataset.test_samples)
    return 100 * NORMAL_975 * math.sqrt(variance)


def difference_in_words(results: Results, comparison: Comparison) -> str:
    """How the spiking network's accuracy differs from the reference's, inside a sentence."""
    gap, reference, spiking = comparison.gap_points(), comparison.reference, comparison.spiking
    if gap is None or reference is None or spiking is None:
        return "has no rival"
    accuracies = " against ".join(
        f"{number(network.accuracy.mean, 1)} %" for network in (spiking, reference)
    )
    size = number(abs(gap.mean), 1)
    limit = chance_points(results, comparison) if gap.half_width is None else gap.half_width
    if gap.half_width is not None:
        size += f" ± {number(gap.half_width, 1)}"
        accuracies += f"; {gap.count} seeds, difference {size} points"
    if abs(gap.mean) <= limit:
        return f"is not significantly different from the conventional network ({accuracies})"
    return f"is {size} points {'less' if gap.mean < 0 else 'more'} accurate ({accuracies})"
