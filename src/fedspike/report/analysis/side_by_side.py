"""Sets the methods of a sweep side by side: a column for each algorithm, a row for each setting.

- column: what runs do differently in their algorithm, its rule, its remedies or their learner; where they do
  nothing differently there, what else a sweep changed, such as a learning rate
- row: the data of each client, the network, and what else differs

What follows from the column, such as the neurons that a learner needs, makes no row of its own. Runs of one
row and one seed have the same data, so methods are compared seed by seed, as far as their accuracies are of
the same kind.
"""

import json
import tomllib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Any

from fedspike.data.partition.likeness import AccuracyOf
from fedspike.energy import pairing
from fedspike.energy.estimate import Estimate, estimate
from fedspike.errors import InputError
from fedspike.files import content_of
from fedspike.reading import nearest
from fedspike.records.schema import RunSummary
from fedspike.report.analysis import naming, tested
from fedspike.report.analysis.bootstrap import of_pairs
from fedspike.report.analysis.settings import by_skew
from fedspike.report.analysis.significance import (
    SIGNIFICANT,
    holm,
    least_p,
    pairs_for,
    signed_rank,
)

BASELINE: dict[str, Any] = tomllib.loads(
    content_of(Path(__file__).with_name("baseline.toml")).decode()
)
METHOD = ("algorithm", "graph", "rule", "remedies", "learner")
NEVER_A_COLUMN = ("partition", "partition_seed", "network")
Configuration = dict[str, Any]  # dotted key -> value
Cells = dict[str, dict[int, RunSummary]]  # column -> seed -> run


@dataclass(frozen=True)
class Difference:
    """By how many points a column is more accurate than the baseline in a row, and how sure that is.

    `by_seed` has the seeds of both. `p` and `corrected` are None where so few seeds can show nothing.
    """

    by_seed: dict[int, float]
    p: float | None = None
    corrected: float | None = None

    @cached_property
    def points(self) -> Estimate:
        """The mean over the seeds of both."""
        return of_pairs(list(self.by_seed.values()))

    @property
    def significant(self) -> bool:
        """Whether it is one after correction."""
        return self.corrected is not None and self.corrected < SIGNIFICANT

    @property
    def better(self) -> bool:
        """Whether the column is significantly better."""
        return self.significant and self.points.mean > 0


@dataclass(frozen=True)
class Row:
    """A setting: the runs of each column in it, seed by seed, and the column's difference.

    The `network` has no name if it is the only one. The accuracy of so many columns as are `alike`, the
    baseline with them, is of the same kind as the baseline's.
    """

    setting: str
    network: str
    role: str
    runs: dict[str, tuple[RunSummary, ...]]
    differences: dict[str, Difference]
    alike: int

    @property
    def label(self) -> str:
        """The setting, and the network."""
        return ", ".join(filter(None, (self.setting, self.network)))

    @cached_property
    def accuracy(self) -> dict[str, Estimate]:
        """Of each column, in percent, after the last round."""
        return {column: estimate([*map(_percent, runs)]) for column, runs in self.runs.items()}

    @property
    def best(self) -> str | None:
        """The column that is the furthest ahead of the baseline; None where nothing can be compared.

        One that is significantly better is before one that is not.
        """
        ahead = self.differences
        return max(
            ahead, key=lambda name: (ahead[name].better, ahead[name].points.mean), default=None
        )

    @property
    def baseline_best(self) -> bool:
        """Whether the baseline is significantly better than all others like it that the row has."""
        others = self.differences.values()
        return 0 < len(others) == self.alike - 1 and all(
            one.significant and not one.better for one in others
        )


@dataclass(frozen=True)
class SideBySide:
    """All columns, the baseline in front, and the rows in which several of them were run.

    `what` a column is; so many `comparisons` were tested together; `bound` are the keys that differ with it.
    `accuracy_of` says what the accuracy of each column is of.
    """

    what: str
    accuracy_of: dict[str, AccuracyOf]
    rows: tuple[Row, ...]
    comparisons: int
    bound: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self.accuracy_of)

    @property
    def baseline(self) -> str:
        """The column that the others are tested against."""
        return self.columns[0]

    @property
    def headings(self) -> dict[str, str]:
        """Of each column; it says what the accuracy is of where that is not alike in all."""
        marked = tested.marked(self.columns, self.accuracy_of.values())
        return dict(zip(self.columns, marked, strict=True))

    @property
    def compared(self) -> list[str]:
        """The columns whose accuracy answers the same question as the baseline's, that in front."""
        first = self.accuracy_of[self.baseline]
        return [name for name, kind in self.accuracy_of.items() if tested.comparable(kind, first)]

    @property
    def apart(self) -> list[str]:
        """The other columns."""
        return [column for column in self.columns if column not in self.compared]

    @property
    def differences(self) -> list[Difference]:
        """Of all rows."""
        return [one for row in self.rows for one in row.differences.values()]

    @property
    def tested(self) -> bool:
        """Whether any difference has seeds enough for a test."""
        return any(one.p is not None for one in self.differences)

    @property
    def too_few(self) -> str:
        """What so few seeds cannot show; nothing where they are enough."""
        pairs = max((len(one.by_seed) for one in self.differences), default=0)
        least, needed = self.comparisons * least_p(pairs), pairs_for(self.comparisons)
        if not pairs or least < SIGNIFICANT:
            return ""
        if self.tested:
            return (
                f"{pairs} seeds are too few for {self.comparisons} comparisons: were one ahead in each of "
                f"them, p would still be {min(1.0, least):.2g} after correction. It takes {needed}."
            )
        seeds = "1 seed is" if pairs == 1 else f"{pairs} seeds are"
        more = f", and {needed} for {self.comparisons} of them" if self.comparisons > 1 else ""
        return (
            f"{seeds} too few for a test: were one ahead in each of them, p would still be "
            f"{least_p(pairs):.2g}. It takes {pairs_for(1)} for one comparison{more}."
        )


def side_by_side(runs: Sequence[RunSummary], baseline: str = "") -> SideBySide | None:
    """The table of these runs; None where no setting was run in two ways.

    The columns are compared with the one of this name, or with the plainest. Raises InputError where there is
    none of this name.
    """
    flat = [naming.flat(run.config) for run in runs]
    keys, what = _column_keys([naming.flat(pairing.shared(run)) for run in runs])
    ways = [_text(one, keys) for one in flat]
    bound = _bound(flat, ways, keys)
    left = {*pairing.NOT_A_DIFFERENCE, *keys, *bound}
    cells: dict[str, Cells] = {}
    for run, way, one in zip(runs, ways, flat, strict=True):
        row = cells.setdefault(_text(one, sorted(one.keys() - left)), {})
        row.setdefault(way, {})[run.seed] = run
    met = [row for row in cells.values() if len(row) > 1]
    if not met:
        if baseline:
            raise _no_column(baseline, ())
        return None
    columns = {way: one for way, one in zip(ways, flat, strict=True) if any(way in r for r in met)}
    plain = next((way for way, one in columns.items() if is_plain(one)), next(iter(columns)))
    columns = {plain: columns[plain]} | columns
    names = _names(columns, keys)
    first_way = _way(names, baseline) if baseline else plain
    columns = {first_way: columns[first_way]} | columns
    first = [next(iter(next(iter(row.values())).values())) for row in met]
    rows = [
        _row(label, run, {names[way]: cell for way, cell in row.items()}, names[first_way])
        for label, run, row in zip(_labels(first, left), first, met, strict=True)
    ]
    ordered = [
        row for _, row in sorted(zip(map(by_skew, first), rows, strict=True), key=itemgetter(0))
    ]
    of = {way: run.accuracy_of for way, run in zip(ways, runs, strict=True)}
    kinds = {names[way]: of[way] for way in columns}
    return SideBySide(what, kinds, *_tested(ordered), tuple(bound))


def _names(columns: dict[str, Configuration], keys: Sequence[str]) -> dict[str, str]:
    """A name for each column; the plainest is in front."""
    own = [{key: one[key] for key in keys if key in one} for one in columns.values()]
    return dict(zip(columns, naming.of_methods(own), strict=True))


def _way(names: dict[str, str], asked: str) -> str:
    """The column of this name."""
    ways = {name: way for way, name in names.items()}
    if asked not in ways:
        raise _no_column(asked, ways)
    return ways[asked]


def _no_column(asked: str, names: Iterable[str]) -> InputError:
    listed = "; ".join(names)
    return InputError(
        f"--baseline {asked}: no such column",
        expected=f"one of {listed}" if listed else "runs of which a setting was run in two ways",
        fix=nearest(asked, names, otherwise="leave it out"),
    )


def _column_keys(shared: Sequence[Configuration]) -> tuple[list[str], str]:
    """The dotted keys in which columns differ, and what such a column is called."""
    differing = [k for k in naming.differing_keys(shared) if _table(k) not in NEVER_A_COLUMN]
    of_method = [key for table in METHOD for key in differing if _table(key) == table]
    return (of_method, "algorithm") if of_method else (differing, "variant")


def _bound(flat: Sequence[Configuration], ways: Sequence[str], keys: Sequence[str]) -> list[str]:
    """The other keys that each column has one value of, and not all the same."""
    made = []
    for key in naming.differing_keys(flat):
        if key not in (*pairing.NOT_A_DIFFERENCE, *keys) and _table(key) not in NEVER_A_COLUMN:
            values = {(way, _text(one, [key])) for way, one in zip(ways, flat, strict=True)}
            if len(values) == len({*ways}):
                made.append(key)
    return made


def is_plain(column: Configuration) -> bool:
    """Whether a column is the usual baseline."""
    return all(column[key] == value for key, value in BASELINE.items() if key in column)


def _labels(runs: Sequence[RunSummary], left: Collection[str]) -> list[tuple[str, str]]:
    """A name for each row, of one of its runs: of the setting, and of the network where there are several."""

    def kept(table: dict[str, Any]) -> Configuration:
        return {key: value for key, value in naming.flat(table).items() if key not in left}

    settings = naming.of_settings(
        [kept(pairing.shared(run)) | {"partition": run.partition} for run in runs]
    )
    own = [kept(pairing.own(run)) for run in runs]
    kinds: dict[str, list[Configuration]] = {}
    for run, network in zip(runs, own, strict=True):
        others = kinds.setdefault(run.network, [])
        others += [network] if network not in others else []
    labels = []
    for setting, run, network in zip(settings, runs, own, strict=True):
        alike = kinds[run.network]
        variant = naming.of_networks(alike)[alike.index(network)]
        words = [run.network.upper() if len(kinds) > 1 else "", variant]
        labels.append((setting, ", ".join(filter(None, words))))
    return labels


def _row(label: tuple[str, str], run: RunSummary, cells: Cells, baseline: str) -> Row:
    """A row without tests."""
    plain = cells.get(baseline, {})
    of = {column: next(iter(cell.values())).accuracy_of for column, cell in cells.items()}
    like = of.get(baseline)
    alike = [column for column in cells if like and tested.comparable(of[column], like)]
    differences = {
        column: {
            seed: _percent(own) - _percent(plain[seed])
            for seed, own in sorted(cell.items())
            if seed in plain
        }
        for column, cell in cells.items()
        if column != baseline and column in alike
    }
    return Row(
        *label,
        "conventional" if run.time_steps is None else "spiking",
        {column: tuple(cell[seed] for seed in sorted(cell)) for column, cell in cells.items()},
        {column: Difference(by_seed) for column, by_seed in differences.items() if by_seed},
        len(alike),
    )


def _percent(run: RunSummary) -> float:
    return 100 * run.final_accuracy


def _tested(rows: Sequence[Row]) -> tuple[tuple[Row, ...], int]:
    """The rows with their tests, as far as there are seeds enough, and how many comparisons these are."""
    ps = {
        (place, column): signed_rank(list(difference.by_seed.values()))
        for place, row in enumerate(rows)
        for column, difference in row.differences.items()
        if least_p(len(difference.by_seed)) < SIGNIFICANT
    }
    corrected = dict(zip(ps, holm(list(ps.values())), strict=True))
    made = [
        replace(
            row,
            differences={
                column: replace(
                    one, p=ps.get((place, column)), corrected=corrected.get((place, column))
                )
                for column, one in row.differences.items()
            },
        )
        for place, row in enumerate(rows)
    ]
    return tuple(made), len(ps) or sum(len(row.differences) for row in rows)


def _table(key: str) -> str:
    """The table of a dotted key."""
    return key.partition(".")[0]


def _text(values: Configuration, keys: Iterable[str]) -> str:
    """The values of these keys, as text that is equal where they are."""
    return json.dumps({key: values.get(key) for key in keys}, sort_keys=True)
