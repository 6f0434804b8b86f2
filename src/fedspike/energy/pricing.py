"""Names of price profiles and radios -> the profiles and radios."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from fedspike.energy import profiles
from fedspike.energy.levels import LEVELS, Level
from fedspike.energy.profiles import Profile, Radio
from fedspike.errors import InputError
from fedspike.reading import nearest


def profile(name_or_file: str) -> Profile:
    """The profile that ships under this name, or the one in a TOML file of your own.

    >>> profile("horowitz45-int8").title
    '45 nm, 8-bit integers'
    """
    named = _named(name_or_file, profiles.shipped(), "price profile")
    if not isinstance(named, Profile):
        raise InputError(
            f"{name_or_file}: a radio, not a price profile",
            expected="prices of operations, such as [price.mac]",
            fix=f"give it as the radio: --radio {name_or_file}",
        )
    return named


def radio(name_or_file: str) -> Radio:
    """The radio that ships under this name, or the one in a TOML file of your own.

    >>> radio("lte").title
    'LTE'
    """
    named = _named(name_or_file, profiles.radios(), "radio")
    if not isinstance(named, Radio):
        raise InputError(
            f"{name_or_file}: a price profile, not a radio",
            expected="prices of [price.uplink_bit] and [price.downlink_bit]",
            fix=f"give it as a profile: --profile {name_or_file}",
        )
    return named


def level(name: str, origin: str = "level") -> Level:
    """The level of this name, which stood at the `origin`; InputError with the nearest one for others."""
    for one in LEVELS:
        if one == name:
            return one
    raise InputError(
        f"{origin} {name}", expected=f"one of {', '.join(LEVELS)}", fix=nearest(name, LEVELS)
    )


def described(names_or_files: Sequence[str] = ()) -> dict[str, list[dict[str, Any]]]:
    """Profiles and radios as plain values, as in their files; without names, all that ship."""
    shipped: dict[str, Profile | Radio] = {**profiles.shipped(), **profiles.radios()}
    chosen = [_named(name, shipped, "price profile or radio") for name in names_or_files or shipped]
    return {
        "profiles": [msgspec.to_builtins(one) for one in chosen if isinstance(one, Profile)],
        "radios": [msgspec.to_builtins(one) for one in chosen if isinstance(one, Radio)],
    }


def _named(name_or_file: str, shipped: Mapping[str, Profile | Radio], kind: str) -> Profile | Radio:
    """The one of this name, or what is in the file, of whatever kind."""
    if name_or_file.endswith(".toml"):
        return profiles.read(Path(name_or_file))
    if name_or_file not in shipped:
        raise InputError(
            f"unknown {kind} {name_or_file}",
            expected=f"the name of a {kind} that ships, or a file that ends in .toml",
            fix=nearest(name_or_file, shipped),
        )
    return shipped[name_or_file]
