"""How a node with a key of its own making comes into a fleet, and how one is kept out for good."""

import platform
import re
import time
from collections.abc import Sequence
from pathlib import Path

from fedspike.deploy import control, keys, knocks, toml_files
from fedspike.deploy.control_client import ServerAway
from fedspike.deploy.folder import FleetFolder, Invitation, NodeFolder, write_node
from fedspike.deploy.knocks import Knock
from fedspike.deploy.register import Member, demand_name
from fedspike.errors import InputError
from fedspike.experiment.kept_files import keep
from fedspike.files import content_of
from fedspike.own_files import OwnFile

KNOCKS_WITHIN_S, LOOK_EVERY_S = 4.0, 0.2  # a node that waits knocks every 2 s


def read(file: Path) -> Invitation:
    """What the fleet's owner invites to. Raises InputError where it cannot be read."""
    fix = "copy invitation.toml from the folder of the fleet"
    return toml_files.read(file, Invitation, fix=fix)


def enrol(
    invited: Invitation, beside: Path, name: str = "", output: Path | None = None
) -> NodeFolder:
    """A node's folder for an invitation, with a key that is made here; a key that is there stays.

    The owner's files with parts, if the fleet has any, lie `beside` the invitation in own/. Without a name
    the node is called as before, or as this machine. Raises InputError where the folder is in other use, one
    of those files is not there, or the fleet deals its data out: there a new folder would have none.
    """
    home = output or Path(name or host())
    folder = NodeFolder(home)
    if folder.is_made:
        before = folder.settings
        if before.server != invited.server and folder.authority != invited.authority:
            raise InputError(
                f"{home} is the folder of a node of another fleet, at {before.server}",
                expected="a new folder, or one of this fleet",
                fix="name another folder with --output",
            )
        name = name or before.node
    elif not invited.own_data:
        raise InputError(
            f"{home} is no node's folder, and this fleet deals its data out to the folders that it made",
            expected="a fleet whose devices have data of their own, or a folder that it made",
            fix="copy one out of nodes/ in the folder of the fleet, or make the fleet with --own-data",
        )
    elif home.exists() and not (home.is_dir() and not any(home.iterdir())):
        raise InputError(
            f"{home} is not empty", expected="a new folder", fix="name another with --output"
        )
    name = name or host()
    demand_name(name, "--name", "name the node with --name")
    files = [_own(beside, file) for file in invited.own_files]
    write_node(home, name, invited, home)
    keep(files, home, home)
    return folder


def host() -> str:
    """What this machine is called, as the name of a node."""
    fit = re.sub(r"[^A-Za-z0-9._-]+", "-", platform.node()).lstrip("._-")
    return fit[:100] or "node"


def admit(folder: FleetFolder, typed: str, name: str = "", clients: Sequence[int] = ()) -> Member:
    """Let in the node that knocks with this code; the server goes on meanwhile.

    Without a name it is called as it says. Without clients it gets those that it had under this name before
    its key was revoked, if all are free, or else the first that is. Raises InputError where no server runs,
    nobody knocks with this code, or a name or a client is taken.
    """
    code, seats = keys.code(typed), folder.experiment.runs[0].plan.fleet.clients
    control.register(folder)
    knock = _knocking(folder, code)
    member = folder.register.admit(knock.public, name or knock.name, clients, seats)
    try:
        control.register(folder)
    except InputError:
        folder.register.withdraw(member)
        raise
    return member


def knocking(folder: FleetFolder) -> list[Knock]:
    """Who asks to be let in, the last first. Raises InputError where no server runs."""
    control.register(folder)
    return knocks.waiting(folder.register)


def revoke(folder: FleetFolder, name: str) -> ServerAway | None:
    """Keep a node out for good, from now on; why its server could not be told so, if it could not.

    A server that starts later knows it, too. Raises InputError where there is no such node, or a server
    that runs cannot take the register as it is.
    """
    folder.register.revoke(name)
    try:
        control.register(folder)
    except ServerAway as error:
        return error
    except InputError as error:
        revoked = f"the key of {name} is revoked, but {error.passed}"
        raise InputError(revoked, expected=error.expected, fix=error.fix) from error
    return None


def _knocking(folder: FleetFolder, code: str) -> Knock:
    """The key with this code that knocks, or does so in a moment."""
    until = time.monotonic() + KNOCKS_WITHIN_S
    while not (same := [each for each in knocks.read(folder.server) if each.code == code]):
        if time.monotonic() > until:
            others = ", ".join(f"{each.code} ({each.name})" for each in knocking(folder)[:20])
            raise InputError(
                f"no node knocks with the code {code}",
                expected=f"one of: {others}" if others else "a node that asks to be let in",
                fix="start the node on its device, fedspike fleet node NODE, and type the code that it says",
            )
        time.sleep(LOOK_EVERY_S)
    if len(same) > 1:
        raise InputError(
            f"{len(same)} keys have the code {code}, which cannot be chance",
            expected="one key for a code",
            fix=keys.ANOTHER_KEY,
        )
    return same[0]


def _own(folder: Path, name: str) -> OwnFile:
    """A file with parts of the owner's, which came with the invitation."""
    file = folder / "own" / name
    try:
        return OwnFile(name, content_of(file))
    except OSError as error:
        raise InputError(
            f"{file}: {error.strerror}",
            expected="the files with parts that this fleet uses, beside the invitation",
            fix="copy the folder own out of the folder of the fleet, too",
        ) from error
