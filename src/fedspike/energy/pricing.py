"""Names of price profiles, radios and duties, or files of one's own -> these."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from fedspike import reading
from fedspike.energy import duties, profiles
from fedspike.energy.duties import Duty
from fedspike.energy.levels import LEVELS, Level
from fedspike.energy.profiles import Profile, Radio
from fedspike.errors import InputError
from fedspike.reading import nearest

T = TypeVar("T", Profile, Radio, Duty)
KINDS = {Profile: "price profile", Radio: "radio", Duty: "duty"}
OPTIONS = {Profile: "--profile", Radio: "--radio", Duty: "--duty"}


@dataclass(frozen=True)
class Hardware:
    """The chips, the radio and the duty that a user chose; without, those that are usual."""

    chosen: tuple[Profile, ...] = ()
    chosen_radio: Radio | None = None
    duty: Duty = field(default_factory=lambda: duties.duties()[duties.USUAL])

    @property
    def profiles(self) -> dict[str, Profile]:
        """Those that ship and those of one's own, by name."""
        return {**profiles.shipped(), **{one.name: one for one in self.chosen}}

    @property
    def radios(self) -> dict[str, Radio]:
        """The same of radios."""
        own = {} if self.chosen_radio is None else {self.chosen_radio.name: self.chosen_radio}
        return {**profiles.radios(), **own}

    @property
    def profile(self) -> Profile:
        """The one that is shown first."""
        return (*self.chosen, profiles.shipped()[profiles.SHOWN_FIRST])[0]

    @property
    def radio(self) -> Radio:
        """The one that was chosen, or the usual one."""
        return self.chosen_radio or profiles.radios()[profiles.USUAL_RADIO]


def hardware(profile_names: Sequence[str], radio_name: str, duty_name: str) -> Hardware:
    """What these names on the command line stand for; "" is none.

    Raises InputError, with the nearest name, at one that is unknown.
    """
    return Hardware(
        tuple(profile(name) for name in profile_names),
        radio(radio_name) if radio_name else None,
        duty(duty_name or duties.USUAL),
    )


def profile(name_or_file: str) -> Profile:
    """The profile that ships under this name, or the one in a TOML file of your own.

    >>> profile("horowitz45-int8").title
    '45 nm, 8-bit integers'
    """
    return _of_kind(
        Profile, name_or_file, profiles.shipped(), "prices of operations, as [price.mac]"
    )


def radio(name_or_file: str) -> Radio:
    """The radio that ships under this name, or the one in a TOML file of your own.

    >>> radio("lte").title
    'LTE'
    """
    expected = "prices of [price.uplink_bit] and [price.downlink_bit]"
    return _of_kind(Radio, name_or_file, profiles.radios(), expected)


def duty(name_or_file: str) -> Duty:
    """The duty that ships under this name, or the one in a TOML file of your own.

    >>> duty("coin-cell").title
    'a sensor on a coin cell'
    """
    return _of_kind(Duty, name_or_file, duties.duties(), "what a device does, as [rounds_per_day]")


def level(name: str, origin: str = "level") -> Level:
    """The level of this name, which stood at the `origin`; InputError with the nearest one for others."""
    for one in LEVELS:
        if one == name:
            return one
    raise InputError(
        f"{origin} {name}", expected=f"one of {', '.join(LEVELS)}", fix=nearest(name, LEVELS)
    )


def described(names_or_files: Sequence[str] = ()) -> dict[str, list[dict[str, Any]]]:
    """Profiles, radios and duties as plain values, as in their files; without names, all that ship."""
    shipped: dict[str, Profile | Radio | Duty] = {
        **profiles.shipped(),
        **profiles.radios(),
        **duties.duties(),
    }
    words = "price profile, radio or duty"
    chosen = [_named(name, shipped, words) for name in names_or_files or shipped]
    return {
        group: [msgspec.to_builtins(one) for one in chosen if isinstance(one, kind)]
        for group, kind in (("profiles", Profile), ("radios", Radio), ("duties", Duty))
    }


def read(path: Path, wanted: type | None = None) -> Profile | Radio | Duty:
    """What is in a TOML file of yours: a duty, a radio's prices, else a profile's.

    Where the file does not say, it is taken for what is `wanted`. Raises InputError that says what is wrong.
    """
    text = reading.read(
        path,
        str(path),
        expected="a TOML file with prices or a duty, in UTF-8",
        fix="check the path; `fedspike energy profiles` lists what ships",
    )
    values = reading.parse(text, path.name, fix="correct that place")
    made: Profile | Radio | Duty
    shipped: Mapping[str, object]
    if duties.looks_like_one(values) or (wanted is Duty and "price" not in values):
        made, shipped = duties.duty(text, path.name), duties.duties()
    elif profiles.looks_like_a_radio(values):
        made, shipped = profiles.radio(text, path.name), profiles.radios()
    else:
        made, shipped = profiles.profile(text, path.name), profiles.shipped()
    if made.name in shipped:
        raise InputError(
            f"{path.name}: name = {made.name}",
            expected="a name of its own, that nothing has that ships",
            fix=f"call it my-{made.name}, say: bills are told apart by these names",
        )
    return made


def _of_kind(kind: type[T], name_or_file: str, shipped: Mapping[str, T], expected: str) -> T:
    """The one of this name, or in the file. Raises InputError where it is of another kind."""
    named = _named(name_or_file, shipped, KINDS[kind], kind)
    if isinstance(named, kind):
        return named
    raise InputError(
        f"{name_or_file}: a {KINDS[type(named)]}, not a {KINDS[kind]}",
        expected=expected,
        fix=f"give it as {OPTIONS[type(named)]} {name_or_file}",
    )


def _named(
    name_or_file: str,
    shipped: Mapping[str, Profile | Radio | Duty],
    kind: str,
    wanted: type | None = None,
) -> Profile | Radio | Duty:
    """The one of this name, or what is in the file, of whatever kind."""
    if name_or_file.endswith(".toml"):
        return read(Path(name_or_file), wanted)
    if name_or_file not in shipped:
        raise InputError(
            f"unknown {kind} {name_or_file}",
            expected=f"the name of a {kind} that ships, or a file that ends in .toml",
            fix=nearest(name_or_file, shipped),
        )
    return shipped[name_or_file]
