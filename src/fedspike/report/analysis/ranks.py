"""Methods over many settings: the average rank of each, and which of them differ.

Friedman's test asks whether any method differs from the others; if so, Wilcoxon's signed-rank test over the
settings asks it of each pair, corrected by Holm's method. Sources: Friedman, "The Use of Ranks to Avoid the
Assumption of Normality", Journal of the American Statistical Association 32, 1937; Demšar, "Statistical
Comparisons of Classifiers over Multiple Data Sets", JMLR 7, 2006; the pairs after Benavoli, Corani, Mangili,
"Should We Really Use Post-Hoc Tests Based on Mean-Ranks?", JMLR 17, 2016.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from fedspike.report.analysis.side_by_side import SideBySide
from fedspike.report.analysis.significance import (
    ALIKE,
    SIGNIFICANT,
    holm,
    pairs_for,
    signed_rank,
)

FEWEST = 3  # methods, of which two are one pair, and settings


@dataclass(frozen=True)
class Ranks:
    """The average rank of each method over so many settings, the best in front; 1 is the best.

    `p` is Friedman's. `pairs` has the corrected p of each pair of methods; none where Friedman's test finds
    no difference. `what` is what the methods are. The accuracies of those `left_out` are of another kind.
    """

    average: dict[str, float]
    settings: int
    p: float
    pairs: dict[frozenset[str], float]
    what: str = "method"
    left_out: tuple[str, ...] = ()

    @property
    def settings_needed(self) -> int:
        """How many it takes to test each pair."""
        return pairs_for(self.comparisons)

    @property
    def comparisons(self) -> int:
        """How many pairs of methods there are."""
        return len(self.average) * (len(self.average) - 1) // 2

    def differ(self, one: str, other: str) -> bool:
        """Whether two methods differ significantly."""
        return self.pairs.get(frozenset({one, other}), 1.0) < SIGNIFICANT

    @property
    def cliques(self) -> list[list[str]]:
        """The largest groups of methods of which no two differ, as far as they have several."""
        groups: set[frozenset[str]] = {frozenset()}
        for name in self.average:
            with_it = {
                frozenset({name, *(one for one in group if not self.differ(one, name))})
                for group in groups
            }
            both = groups | with_it
            groups = {group for group in both if not any(group < other for other in both)}
        order = list(self.average)
        ordered = (sorted(group, key=order.index) for group in groups if len(group) > 1)
        return sorted(ordered, key=lambda group: [*map(order.index, group)])


def ranks(accuracies: Mapping[str, Sequence[float]]) -> Ranks:
    """Of each method's accuracies, in percent, in the same settings.

    >>> made = ranks({"a": [1.0, 2.0, 3.0], "b": [2.0, 3.0, 4.0], "c": [0.0, 2.0, 1.0]})
    >>> made.average, made.settings
    ({'b': 1.0, 'a': 2.1666666666666665, 'c': 2.8333333333333335}, 3)
    """
    from scipy import stats  # takes a third of a second

    steps = np.rint(np.array([*accuracies.values()]).T / ALIKE)
    placed = stats.rankdata(-steps, axis=1)
    differ = bool((placed != placed[:, :1]).any())
    p = float(stats.friedmanchisquare(*steps.T).pvalue) if differ else 1.0
    by_name = dict(zip(accuracies, placed.mean(0).tolist(), strict=True))
    pairs = [*combinations(accuracies, 2)] if p < SIGNIFICANT else []
    differences = (np.subtract(accuracies[one], accuracies[other]).tolist() for one, other in pairs)
    corrected = holm([signed_rank(each) for each in differences])
    return Ranks(
        dict(sorted(by_name.items(), key=lambda one: one[1])),
        len(steps),
        p,
        {frozenset(pair): value for pair, value in zip(pairs, corrected, strict=True)},
    )


def over_settings(side: SideBySide) -> Ranks | None:
    """Of the columns in the settings where all of them were run.

    Of those whose accuracy is of the baseline's kind. None where they, or the settings, are fewer than three.
    Pairs have a p where the settings are so many that one could differ significantly.
    """
    columns = side.compared
    complete = [row.accuracy for row in side.rows if row.accuracy.keys() >= {*columns}]
    if min(len(columns), len(complete)) < FEWEST:
        return None
    over = ranks({name: [row[name].mean for row in complete] for name in columns})
    if len(complete) < over.settings_needed:
        over = replace(over, pairs={})
    return replace(over, what=side.what, left_out=tuple(side.apart))
