"""Names of price profiles and radios -> the profiles and radios."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from fedspike.energy import profiles
from fedspike.energy.profiles import Profile, Radio
from fedspike.errors import InputError
from fedspike.experiment.check import nearest
from fedspike.experiment.events import Record


def profile(name_or_file: str) -> Profile:
    """The profile that ships under this name, or that of a TOML file of yours.

    >>> profile("horowitz45-int8").title
    '45 nm, 8-bit integers'
    """
    if name_or_file.endswith(".toml"):
        return profiles.read(Path(name_or_file))
    shipped = profiles.shipped()
    if name_or_file not in shipped:
        raise InputError(
            f"unknown price profile {name_or_file}",
            expected="the name of a profile that ships, or a file that ends in .toml",
            fix=nearest(name_or_file, shipped),
        )
    return shipped[name_or_file]


def described(names_or_files: Sequence[str] = ()) -> dict[str, list[Record]]:
    """Profiles in plain values, as their files say; without names, all that ship and the radios."""
    if names_or_files:
        return {"profiles": [_plain(profile(name)) for name in names_or_files], "radios": []}
    return {
        "profiles": [_plain(one) for one in profiles.shipped().values()],
        "radios": [_plain(one) for one in profiles.radios().values()],
    }


def _plain(one: Profile | Radio) -> Record:
    plain: Record = msgspec.to_builtins(one)
    return plain
