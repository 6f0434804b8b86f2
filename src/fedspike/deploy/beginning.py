"""When a training begins: with so many clients, as `fedspike fleet run --at-least N` says, else with all.

It stays so in the fleet's folder until another number is said, also while a training waits.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from fedspike.deploy.folder import FleetFolder
from fedspike.errors import InputError
from fedspike.files import json_bytes, read_json, write_whole
from fedspike.shell import command

FILE = "beginning.json"


class Beginning(Struct, frozen=True, forbid_unknown_fields=True):
    """What is in the file."""

    at_least: Annotated[int, Meta(ge=1, lt=2**31)]


def at_least(folder: FleetFolder, seats: int) -> int:
    """The clients that must be there, all where nothing was said. InputError where the file is damaged."""
    file = folder.server / FILE
    if not file.exists():
        return seats
    fix = f"say it again: {command('fleet', 'run', folder.path, '--at-least', seats)}"
    beginning: Beginning = read_json(file, Beginning, fix=fix)
    return beginning.at_least


def set_at_least(folder: FleetFolder, clients: int) -> None:
    """From now on, so many clients must be there. Raises InputError where the fleet has fewer."""
    seats = folder.experiment.runs[0].plan.fleet.clients
    if not 1 <= clients <= seats:
        raise InputError(
            f"--at-least {clients}",
            expected=f"a number from 1 to {seats}, the clients of this fleet",
            fix=f"leave it out to begin when all {seats} are there",
        )
    content = json_bytes(msgspec.to_builtins(Beginning(clients)))
    write_whole(folder.server / FILE, content, folder.path)
