"""Names of price profiles and radios -> the profiles and radios."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from fedspike.energy import profiles
from fedspike.energy.profiles import Profile, Radio
from fedspike.errors import InputError
from fedspike.experiment.check import nearest
from fedspike.records.events import Record


def profile(name_or_file: str) -> Profile:
    """The profile that ships under this name, or that of a TOML file of yours.

    >>> profile("horowitz45-int8").title
    '45 nm, 8-bit integers'
    """
    found = _found(name_or_file, profiles.shipped(), "price profile")
    if not isinstance(found, Profile):
        raise InputError(
            f"{name_or_file}: a radio in place of a price profile",
            expected="prices of operations, such as [price.mac]",
            fix=f"give it as the radio: --radio {name_or_file}",
        )
    return found


def radio(name_or_file: str) -> Radio:
    """The radio that ships under this name, or that of a TOML file of yours.

    >>> radio("lte").title
    'LTE'
    """
    found = _found(name_or_file, profiles.radios(), "radio")
    if not isinstance(found, Radio):
        raise InputError(
            f"{name_or_file}: a price profile in place of a radio",
            expected="prices of [price.uplink_bit] and [price.downlink_bit]",
            fix=f"give it as a profile: --profile {name_or_file}",
        )
    return found


def described(names_or_files: Sequence[str] = ()) -> dict[str, list[Record]]:
    """Profiles and radios in plain values, as their files say; without names, all that ship."""
    known: dict[str, Profile | Radio] = {**profiles.shipped(), **profiles.radios()}
    found = [_found(name, known, "price profile or radio") for name in names_or_files or known]
    return {
        "profiles": [_plain(one) for one in found if isinstance(one, Profile)],
        "radios": [_plain(one) for one in found if isinstance(one, Radio)],
    }


def _found(name_or_file: str, known: Mapping[str, Profile | Radio], kind: str) -> Profile | Radio:
    """The one of this name, or what is in the file, of whatever kind."""
    if name_or_file.endswith(".toml"):
        return profiles.read(Path(name_or_file))
    if name_or_file not in known:
        raise InputError(
            f"unknown {kind} {name_or_file}",
            expected=f"the name of a {kind} that ships, or a file that ends in .toml",
            fix=nearest(name_or_file, known),
        )
    return known[name_or_file]


def _plain(one: Profile | Radio) -> Record:
    plain: Record = msgspec.to_builtins(one)
    return plain
