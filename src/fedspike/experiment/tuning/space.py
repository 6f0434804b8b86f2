"""[tune] of an experiment's file: which values a search may choose, checked before anything is trained."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any

from msgspec import Meta, Struct

from fedspike.errors import InputError
from fedspike.experiment.advice import home_of
from fedspike.experiment.document import Document, set_by
from fedspike.experiment.fields import value_of
from fedspike.experiment.kinds import Kinds
from fedspike.experiment.sweep import NOT_SWEPT, Experiment
from fedspike.part import fields_of
from fedspike.reading import nearest, written

# They say what is learnt, by whom and for how long; the seeds are what a result is averaged over.
NOT_TUNED = (*NOT_SWEPT, "network", "partition", "partition_seed", "rounds", "seed")
EXAMPLE = '"optimiser.learning_rate" = { low = 1e-4, high = 1e-1, log = true }'
ENDS = ("low", "high", "log")
DIGITS = 4  # significant ones of a number that is searched, so that people can read and copy it


class Budget(Struct, frozen=True):
    """How much is searched for each network: `trials` settings, on a share of the training samples."""

    trials: Annotated[int, Meta(ge=1, le=10_000)] = 20
    validation: Annotated[float, Meta(gt=0, lt=1)] = 0.2


@dataclass(frozen=True)
class Range:
    """All numbers from `low` to `high`, or the whole ones; with `log`, evenly in their logarithm."""

    key: str
    low: int | float
    high: int | float
    log: bool = False
    whole: bool = False

    @property
    def ends(self) -> list[Any]:
        """Values that say whether the key can have them."""
        return [self.low, self.high]

    @property
    def values(self) -> list[Any] | None:
        """All of them; None where they cannot be listed."""
        return list(range(int(self.low), int(self.high) + 1)) if self.whole else None

    def readable(self, value: int | float) -> int | float:
        """The value in as few digits as it is trained with."""
        if self.whole:
            return int(value)
        return min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)


@dataclass(frozen=True)
class Choices:
    """A list of values, of any type; a table sets a part with all of its keys."""

    key: str
    values: list[Any]

    @property
    def ends(self) -> list[Any]:
        """All of them."""
        return self.values


Axis = Range | Choices


def read(experiment: Experiment) -> tuple[Budget, list[Axis]]:
    """What [tune] of an experiment's file says.

    Raises InputError, naming file, line or option, and key, where it cannot be used.
    """
    source = experiment.source
    if "tune" not in source.values:
        raise source.error(
            ("tune",),
            f"{experiment.name} has no [tune]",
            expected="a table that says what to search",
            fix=f"add [tune] and below it a line such as {EXAMPLE}",
        )
    table = source.tune
    settings = {field.name: field for field in fields_of(Budget)}
    budget = Budget(
        **{
            name: value_of(source, table[name], field, ("tune", name))
            for name, field in settings.items()
            if name in table
        }
    )
    swept = list(_swept(source))
    axes: list[Axis] = []
    for name, value in table.items():
        if name not in settings:
            _demand_key(source, name, swept, experiment.kinds)
            axes.append(_axis(source, name, value))
            swept.append((name, "tuned"))
    if not axes:
        raise source.error(
            ("tune",),
            "[tune] has no key to search",
            expected="a dotted key with a range or a list of values",
            fix=f"add a line such as {EXAMPLE}",
        )
    return budget, axes


def fitted(axis: Axis, leaves: dict[str, object]) -> Axis:
    """A range between whole numbers has all numbers in it, where its key has all in a plan."""
    if isinstance(axis, Range) and isinstance(leaves.get(axis.key), float):
        return replace(axis, low=float(axis.low), high=float(axis.high), whole=False)
    return axis


def size(axes: list[Axis]) -> float:
    """How many settings there are; infinitely many where a range has all numbers."""
    many = [math.inf if axis.values is None else len(axis.values) for axis in axes]
    return float(math.prod(many)) if axes else 0.0


def grid(axes: list[Axis]) -> Iterator[dict[str, Any]]:
    """All settings, where they can be listed."""
    lists = [axis.values or [] for axis in axes]
    for values in itertools.product(*lists):
        yield {axis.key: value for axis, value in zip(axes, values, strict=True)}


def _swept(source: Document) -> Iterator[tuple[str, str]]:
    """The keys of the sweep, and those inside a table that it sets."""
    for name, values in source.sweep.items():
        for value in values if isinstance(values, list) else []:
            for key, one in set_by(name, value).items():
                yield key, "swept"
                if isinstance(one, dict):
                    yield from ((f"{key}.{inner}", "swept") for inner in one)


def _demand_key(source: Document, name: str, before: list[tuple[str, str]], kinds: Kinds) -> None:
    """Raise InputError where a key is none, is not tuned, or is chosen elsewhere as well."""
    place = ("tune", *name.split("."))
    top = name.split(".")[0]
    if top in NOT_TUNED:
        raise source.error(
            place,
            f"{name} in [tune]",
            expected=f"a key that begins with none of {', '.join(sorted(NOT_TUNED))}",
            fix=f"set {name} outside [tune]"
            + ("" if top in NOT_SWEPT else ", or write it into [sweep] to search at each value"),
        )
    tops = [one for one in kinds.top if one not in NOT_TUNED]
    if top not in tops:
        raise source.error(
            place,
            f"unknown key {name} in [tune]",
            expected=f"trials, validation, or a dotted key that begins with one of {', '.join(sorted(tops))}",
            fix=home_of(kinds, name, "") or nearest(top, [*tops, "trials", "validation"]),
        )
    for other, how in before:
        inside = other.startswith(f"{name}.") or (how == "tuned" and name.startswith(f"{other}."))
        if other == name or inside:
            raise source.error(
                place,
                f"{name} is tuned, and {other} is {how}" if inside else f"{name} is {how}, too",
                expected="each key in [tune] or in [sweep]",
                fix=f"remove {name} from [tune], or {other} from "
                + ("[sweep]" if how == "swept" else "[tune]"),
            )


def _axis(source: Document, name: str, value: object) -> Axis:
    """The values of a key. Raises InputError where they are none."""
    place = ("tune", *name.split("."))

    def error(passed: str, expected: str, fix: str) -> InputError:
        return source.error(place, passed, expected=expected, fix=fix)

    if isinstance(value, list):
        if not value:
            raise error(f"{name} = []", "a list with at least one value", f"write {EXAMPLE}")
        if any(one in value[:index] for index, one in enumerate(value)):
            raise error(f"{name} holds a value twice", "different values", "remove the repetition")
        return Choices(name, value)
    if not isinstance(value, dict):
        raise error(
            f"{name} = {written(value)}",
            "a range { low = ..., high = ... }, or a list of values",
            f"write {EXAMPLE}, or set {name} outside [tune]",
        )
    if unknown := [key for key in value if key not in ENDS]:
        raise error(
            f"unknown key {unknown[0]} in the range of {name}",
            f"{', '.join(ENDS)}",
            nearest(unknown[0], ENDS),
        )
    low, high, log = value.get("low"), value.get("high"), value.get("log", False)
    for end, number in (("low", low), ("high", high)):
        if isinstance(number, bool) or not isinstance(number, int | float):
            passed = "is missing" if number is None else f"= {written(number)}"
            raise error(f"{end} of {name} {passed}", "a number", f"write {EXAMPLE}")
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    if not isinstance(log, bool):
        raise error(f"log of {name} = {written(log)}", "true or false", "write log = true")
    if not low < high:
        raise error(
            f"{name} from {low} to {high}",
            "low below high",
            f"exchange them, or write {name} = [{low}] for a single value",
        )
    if log and low <= 0:
        raise error(
            f"{name} from {low} with log = true",
            "low above 0, which has no logarithm",
            "write low = 1e-4, or leave log out",
        )
    return Range(name, low, high, log, isinstance(low, int) and isinstance(high, int))
