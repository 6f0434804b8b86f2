"""Whether methods differ over seeds: Wilcoxon's signed-rank test, and Holm's correction of many.

Exact where ties and zeros are, too, as accuracies have them: they are counts of a few thousand samples.
"""

from collections.abc import Sequence

import numpy as np

SIGNIFICANT = 0.05
ALIKE = 1e-9  # differences of accuracies, in percent, that are equal but for rounding


def signed_rank(differences: Sequence[float]) -> float:
    """The two-sided p of paired differences under the hypothesis that either sign is as likely.

    p = share of the 2^n choices of signs whose sum of ranks is as far from its mean as the one that was seen

    Zeros are left out, and equal sizes have the mean of their ranks. Source: Wilcoxon, "Individual
    Comparisons by Ranking Methods", Biometrics Bulletin 1, 1945.

    >>> signed_rank([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) == 2 / 2**6
    True
    >>> signed_rank([0.0, 0.0])
    1.0
    """
    steps = [step for difference in differences if (step := round(difference / ALIKE))]
    sizes = [abs(step) for step in steps]
    twice = [2 * sum(o < one for o in sizes) + sum(o == one for o in sizes) + 1 for one in sizes]
    whole = sum(twice)
    chance = np.zeros(whole + 1)  # of each sum of the ranks whose sign is positive
    chance[0] = 1.0
    for rank in twice:
        chance[rank:] = chance[rank:] + chance[:-rank]
        chance /= 2
    positive = sum(rank for rank, step in zip(twice, steps, strict=True) if step > 0)
    distance = np.abs(2 * np.arange(whole + 1) - whole)
    return min(1.0, float(chance[distance >= distance[positive]].sum()))


def least_p(pairs: int) -> float:
    """The p of so many differences of one sign: no smaller one is possible.

    >>> least_p(5), least_p(6)
    (0.0625, 0.03125)
    """
    return min(1.0, 2.0 ** (1 - pairs))


def pairs_for(comparisons: int) -> int:
    """With how many pairs so many comparisons can be significant after correction.

    >>> pairs_for(1), pairs_for(15)
    (6, 10)
    """
    return next(n for n in range(1, 1000) if comparisons * least_p(n) < SIGNIFICANT)


def holm(ps: Sequence[float]) -> list[float]:
    """Corrected values of p, so that at most one time in twenty anything is wrongly significant at 0.05.

    p(k) <- max over j <= k of min(1, (m - j + 1) p(j)), in ascending order. Source: Holm, "A Simple
    Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 6, 1979.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected, highest = [0.0] * len(ps), 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=lambda place: ps[place])):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[place]))
        corrected[place] = highest
    return corrected


def in_words(p: float) -> str:
    """A value of p with two digits.

    >>> in_words(0.0039), in_words(0.31), in_words(1.0), in_words(0.0002)
    ('p = 0.0039', 'p = 0.31', 'p = 1', 'p < 0.001')
    """
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
