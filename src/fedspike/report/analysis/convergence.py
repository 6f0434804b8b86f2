"""Whether a network has learned what it can: it no longer rises, and it has not fallen back."""

import math
import statistics
from collections.abc import Sequence

from fedspike.records.schema import RunSummary
from fedspike.report.analysis.settings import Network

PARTS = 5  # of the rounds
RISES = 1.0  # points from a fifth of the rounds to the next that matter
FALLS = 10.0  # points below the best fifth


def unsettled(network: Network) -> str:
    """Why the accuracy of a network may still change, after its name; "" where it has settled.

    The last fifth of the rounds is compared with the fifth before it, by the mean curve over the seeds. It
    rises by more than a point, and by more than twice what the scatter of the rounds explains; or it is 10
    points below the best fifth; or the loss is no number.
    """
    if any(map(_lost, network.runs)):
        return "diverged (its loss is no longer a number)"
    curve = [100 * statistics.fmean(of) for of in zip(*_curves(network.runs), strict=True)]
    size = len(curve) // PARTS
    if not size:
        rounds = "1 round" if len(curve) == 1 else f"{len(curve)} rounds"
        return f"has had {rounds}, too few to see whether it still improves"
    parts = [curve[end - size : end] for end in range(len(curve), size - 1, -size)]
    means = [statistics.fmean(part) for part in parts]
    rise, fall = means[0] - means[1], max(means) - means[0]
    if fall > FALLS:
        return f"has forgotten ({fall:.0f} points less than it once had)"
    if rise > max(RISES, 2 * _error(parts[0], parts[1])):
        return f"still improves ({rise:.1f} points more in the last fifth of the rounds)"
    return ""


def _lost(run: RunSummary) -> bool:
    return run.training_loss[-1] is None


def _curves(runs: Sequence[RunSummary]) -> list[list[float]]:
    """As many rounds of each as all have."""
    rounds = min(len(run.accuracy) for run in runs)
    return [run.accuracy[:rounds] for run in runs]


def _error(last: Sequence[float], before: Sequence[float]) -> float:
    """Of the difference of their means, from the scatter within each."""
    if len(last) < 2:
        return 0.0
    return math.sqrt((statistics.variance(last) + statistics.variance(before)) / len(last))
