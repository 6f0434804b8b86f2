"""The register of a fleet: which keys may come, how their nodes are called, and whose clients are whose.

server/nodes/kitchen.toml            a node that may come: its public key, and the clients that are its own
server/revoked/7KQF-2M9X-RD4T.toml   one that may never come again, by the code of its key
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Meta, Struct

from fedspike import reading
from fedspike.deploy import keys, toml_files
from fedspike.deploy.authority import RESTORE
from fedspike.errors import InputError
from fedspike.federation.client_numbers import clients_of, spelled
from fedspike.federation.plan import Name
from fedspike.files import claimed, remove
from fedspike.shell import command

NODES, REVOKED = "nodes", "revoked"


class Entry(Struct, frozen=True, forbid_unknown_fields=True):
    """`server/nodes/NAME.toml`; `clients` as in "0-4, 7"."""

    key: Annotated[str, Meta(max_length=1000)]
    clients: str


class Revoked(Struct, frozen=True, forbid_unknown_fields=True):
    """`server/revoked/CODE.toml`; `clients` as in "0-4, 7", or "" where nobody knows them any more."""

    name: Name
    key: Annotated[str, Meta(max_length=1000)]
    clients: str
    at: Annotated[datetime, Meta(tz=True)]


@dataclass(frozen=True)
class Member:
    """A node that may come."""

    name: str
    key: ec.EllipticCurvePublicKey
    clients: tuple[int, ...]

    @property
    def code(self) -> str:
        """The short code of its key."""
        return keys.code_of(self.key)


@dataclass(frozen=True)
class Register:
    """The register in a server's folder."""

    server: Path

    def members(self) -> list[Member]:
        """The nodes that may come, by name. Raises InputError where a file is spoilt, or two say the same."""
        members = [self._member(file) for file in sorted((self.server / NODES).glob("*.toml"))]
        by_code: dict[str, Member] = {}
        by_client: dict[int, Member] = {}
        for member in members:
            _demand_new(by_code.setdefault(member.code, member), member, "the key")
            for client in member.clients:
                _demand_new(by_client.setdefault(client, member), member, f"client {client}")
        return members

    def write(self, member: Member) -> None:
        """Let a node come; what is said of it is not looked at."""
        entry = Entry(keys.written(member.key), spelled(member.clients))
        toml_files.write(self._file(member.name), entry, self.server)

    def admit(
        self, key: ec.EllipticCurvePublicKey, name: str, clients: Sequence[int], seats: int
    ) -> Member:
        """Let a node come, with these clients out of so many, or with those that were this name's if all are
        free, or else the first that is.

        Raises InputError where its key, its name or one of its clients is taken.
        """
        with claimed(self.server / NODES, wait=True):
            if self.is_revoked(key):
                raise InputError(
                    f"the key {keys.code_of(key)} was revoked",
                    expected="a key that was never revoked",
                    fix=keys.ANOTHER_KEY,
                )
            member = Member(name, key, tuple(clients) or self._free_clients(name, seats))
            demand_name(name, "a node that knocks", "name the node with --name")
            for other in self.members():
                _demand_apart(member, other)
            if beyond := [client for client in member.clients if client >= seats]:
                raise InputError(
                    f"the clients {spelled(beyond)}",
                    expected=f"clients below {seats}, which is fleet.clients",
                    fix="name others with --clients, or leave it out",
                )
            self.write(member)
        return member

    def withdraw(self, member: Member) -> None:
        """Undo that a node was let in."""
        remove(self._file(member.name), self.server)

    def revoke(self, name: str) -> None:
        """Keep a node out for good. Raises InputError where there is none of this name."""
        if not is_name(name) or not self._file(name).exists():
            names = ", ".join(member.name for member in self.members())
            raise InputError(
                f"no node is called {name[:100]}",
                expected=f"one of: {names}" if names else "a node that was let in",
                fix=f"see their names: {command('fleet', 'status', self.server.parent)}",
            )
        member = self._member(self._file(name))
        self.bar(name, member.key, member.clients)
        remove(self._file(name), self.server)

    def bar(self, name: str, key: ec.EllipticCurvePublicKey, clients: Sequence[int] = ()) -> None:
        """Keep a key out for good; its node was called so, and had these clients. The first word counts."""
        if not self.is_revoked(key):
            revoked = Revoked(name, keys.written(key), spelled(clients), datetime.now(UTC))
            toml_files.write(self._revoked_file(key), revoked, self.server)

    def revoked(self) -> list[Revoked]:
        """Who is kept out for good. Raises InputError where a file is spoilt."""
        files = sorted((self.server / REVOKED).glob("*.toml"))
        return [toml_files.read(file, Revoked, fix=RESTORE) for file in files]

    def is_revoked(self, key: ec.EllipticCurvePublicKey) -> bool:
        """Whether a key is kept out for good."""
        return self._revoked_file(key).exists()

    def _free_clients(self, name: str, seats: int) -> tuple[int, ...]:
        """Those that were this name's, if they are no node's now, or the first out of so many that is none's.

        Raises InputError where all are taken.
        """
        taken = {client for member in self.members() for client in member.clients}
        free = [client for client in range(seats) if client not in taken]
        before = [one for one in self.revoked() if one.name == name and one.clients]
        if before:
            last = max(before, key=lambda one: one.at)
            former = clients_of(last.clients, f"the revoked key of {name}")
            if {*former} <= {*free}:
                return former
        if free:
            return (free[0],)
        raise InputError(
            f"all {seats} clients have their nodes",
            expected="a client that is free",
            fix=f"revoke one that is gone, {command('fleet', 'revoke', self.server.parent, 'NAME')}; "
            "or make a fleet with more: --set fleet.clients=N",
        )

    def _file(self, name: str) -> Path:
        return self.server / NODES / f"{name}.toml"

    def _revoked_file(self, key: ec.EllipticCurvePublicKey) -> Path:
        return self.server / REVOKED / f"{keys.code_of(key)}.toml"

    def _member(self, file: Path) -> Member:
        fix = "restore it, or delete it to keep the node out"
        demand_name(file.stem, str(file), "rename it")
        entry = toml_files.read(file, Entry, fix=fix)
        key = keys.public(entry.key, str(file), fix)
        return Member(file.stem, key, clients_of(entry.clients, str(file)))


def _demand_apart(member: Member, other: Member) -> None:
    """Raise InputError where a new node has something that is another's."""
    if other.code == member.code:
        raise InputError(
            f"the key {member.code} is let in already, as {other.name}",
            expected="a key that is not let in yet",
            fix="nothing is to be done",
        )
    if other.name.casefold() == member.name.casefold():
        raise InputError(
            f"the name {member.name} is taken",
            expected="a name of its own for each node",
            fix="name the node with --name",
        )
    if taken := {*other.clients} & {*member.clients}:
        raise InputError(
            f"the clients {spelled(taken)} are those of {other.name}",
            expected="clients that are free",
            fix="name others with --clients, or revoke it: "
            + command("fleet", "revoke", "FOLDER", other.name),
        )


def is_name(name: str) -> bool:
    """Whether a node can be called so."""
    try:
        return msgspec.convert(name, Name) == name
    except msgspec.ValidationError:
        return False


def demand_name(name: str, where: str, fix: str) -> None:
    """Raise InputError where a node cannot be called so; `where` it stands."""
    if not is_name(name):
        expected = reading.limits_in_words(Name)
        raise InputError(f"{where}: the name {name[:200]}", expected=expected, fix=fix)


def _demand_new(first: Member, member: Member, what: str) -> None:
    """Raise InputError where something that is a node's alone was another's before."""
    if first is not member:
        raise InputError(
            f"{what} is that of {first.name} and of {member.name}",
            expected="each on one node",
            fix=f"mend server/nodes/{first.name}.toml or server/nodes/{member.name}.toml",
        )
