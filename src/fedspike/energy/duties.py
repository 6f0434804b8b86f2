"""Duties: how often a device infers and trains, and what it has for that: battery, speed, idle power.

A duty is one TOML file in `energy/duties/`, every number with its source; it may be yours.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from fedspike import reading
from fedspike.energy.profiles import Evidence, Name, Text
from fedspike.energy.units import SECONDS_A_YEAR, written
from fedspike.errors import InputError
from fedspike.files import content_of

USUAL = "two-aa"
TABLE = (
    'a table of value, source and evidence, such as value = {}, source = "{}", evidence = "assumed"'
)
# What stands in a key, for whoever has it wrong.
KEYS = {
    "name": 'letters, digits, ".", "_" and "-"',
    "title": "what the device is, in words",
    "inferences_per_day": TABLE.format(1440, "one a minute"),
    "rounds_per_day": TABLE.format(0.14, "training once a week"),
    "idle_mw": TABLE.format(0.0095, "milliwatt while it does nothing, measured"),
    "operations_per_second": TABLE.format("64e6", "64 MHz, one a cycle; above 0"),
    "battery_wh": TABLE.format(9, "watt-hours, above 0"),
    "self_discharge_percent_per_year": TABLE.format(1, "of the full battery; at most 100"),
}


class Given(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A number, 0 or more, and where it comes from."""

    value: Annotated[float, Meta(ge=0, le=1e15)]
    source: Text
    evidence: Evidence


class Positive(Given, frozen=True, kw_only=True):
    """One above 0."""

    value: Annotated[float, Meta(gt=0, le=1e15)]


class Percent(Given, frozen=True, kw_only=True):
    """One of at most 100."""

    value: Annotated[float, Meta(ge=0, le=100)]


class Duty(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one device does in a day, and what it has for that.

    Without `idle_mw` the device is taken to draw nothing while it does nothing, without
    `operations_per_second` it has no latency, and without `battery_wh` no battery life.
    """

    name: Name
    title: Text
    inferences_per_day: Given
    rounds_per_day: Given
    idle_mw: Given | None = None
    operations_per_second: Positive | None = None
    battery_wh: Positive | None = None
    self_discharge_percent_per_year: Percent | None = None

    @property
    def given(self) -> dict[str, Given]:
        """Its numbers by their keys."""
        values = {key: getattr(self, key) for key in self.__struct_fields__}
        return {key: value for key, value in values.items() if isinstance(value, Given)}

    @property
    def in_words(self) -> str:
        """All its numbers in a sentence."""
        often = f"{_number(self.inferences_per_day, 'inference')} and"
        parts = [f"{often} {_number(self.rounds_per_day, 'training round')} a day"]
        if self.operations_per_second:
            parts.append(
                f"{written(self.operations_per_second.value, '')} operations or words a second"
            )
        watt = None if self.idle_mw is None else self.idle_mw.value / 1000
        parts.append(
            "nothing known of its idle power, so none counted"
            if watt is None
            else f"{written(watt, 'W')} idle ({written(watt * SECONDS_A_YEAR, 'J')} a year)"
        )
        if self.battery_wh:
            lost = self.self_discharge_percent_per_year
            by_itself = (
                f"loses {lost.value:g} % of it a year by itself" if lost else "loses none by itself"
            )
            parts.append(f"a battery of {self.battery_wh.value:,.10g} Wh that {by_itself}")
        return f"{', '.join(parts)}."


def _number(given: Given, what: str) -> str:
    return f"{given.value:,.10g} {what}{'' if given.value == 1 else 's'}"


def looks_like_one(values: Mapping[str, Any]) -> bool:
    """Whether a file's values were meant as a duty, and not as prices."""
    return "price" not in values and any(key in values for key in list(KEYS)[2:])


def duty(text: str, where: str) -> Duty:
    """The duty in a TOML text; `where` names it in errors. Raises InputError that says what is wrong."""
    folder = Path(__file__).parent / "duties"
    values = reading.parse(
        text, where, fix=f"correct that place, or copy one that ships, from {folder}"
    )
    try:
        return msgspec.convert(values, Duty)
    except msgspec.ValidationError as error:
        key = reading.key_of(error)
        raise InputError(
            f"{where}: {error}",
            expected=f"{key} = {KEYS[key]}" if key in KEYS else f"one of {', '.join(KEYS)}",
            fix="correct it, or add it"
            if key in KEYS
            else reading.nearest(key, KEYS, otherwise="leave it out"),
        ) from error


@cache
def duties() -> Mapping[str, Duty]:
    """The duties that come with the package, by name."""
    paths = sorted((Path(__file__).parent / "duties").glob("*.toml"))
    own = [duty(content_of(path).decode(), path.name) for path in paths]
    return {one.name: one for one in own}
