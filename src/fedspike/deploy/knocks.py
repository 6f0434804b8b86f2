"""Who asks to be let in: keys that signed rightly and are not registered, as the door remembers them."""

import logging
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated

from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Meta, Struct

from fedspike.deploy import keys
from fedspike.deploy.register import Register, is_name
from fedspike.errors import InputError
from fedspike.files import json_bytes, read_json, remove, write_whole
from fedspike.records.fleet_status import Knocking

FILE = "knocking.json"
MOST, MOST_OF_ONE_PLACE = 64, 16
WRITE_EVERY_S = 1.0


class Knock(Struct, frozen=True):
    """A key that asked: how its node says that it is called, from where, and when last (Unix time)."""

    key: Annotated[str, Meta(max_length=1000)]
    name: Annotated[str, Meta(max_length=100)]
    address: Annotated[str, Meta(max_length=100)]
    at: float

    @property
    def public(self) -> ec.EllipticCurvePublicKey:
        """The key. Raises InputError where the file is damaged."""
        return keys.public(self.key, FILE, "start the server again")

    @property
    def code(self) -> str:
        """The short code of the key."""
        return keys.code_of(self.public)

    def told(self, now: datetime) -> Knocking:
        """For whoever may let it in."""
        return Knocking(
            code=self.code,
            name=self.name,
            address=self.address,
            at=datetime.fromtimestamp(self.at, tz=UTC),
            seconds_ago=max(0.0, now.timestamp() - self.at),
        )


class Heard(Struct, frozen=True):
    """What is in the file: who knocked, the last at the end."""

    knocks: list[Knock]


class Knocks:
    """The last keys that knocked: 64 at most, and 16 from one place, the newest; in a file, too.

    The file is written once a second at most: who waits to be let in knocks again.
    """

    def __init__(self, server: Path) -> None:
        self._server = server
        self._by_key: dict[str, Knock] = {}  # the one that knocked last is the last
        self._lock, self._writing, self._written_at = threading.Lock(), threading.Lock(), 0.0
        if (server / FILE).exists():
            remove(server / FILE, server)

    def hear(self, key: ec.EllipticCurvePublicKey, name: str, address: str) -> None:
        """Remember a key that knocks; `name` is what its node says, whatever that is. From any thread."""
        knock = Knock(keys.written(key), name if is_name(name) else "", address, time.time())
        with self._lock:
            self._by_key.pop(knock.key, None)
            self._by_key[knock.key] = knock
            self._forget()
        if self._writing.acquire(blocking=False):
            try:
                self._write()
            finally:
                self._writing.release()

    def _forget(self) -> None:
        """Drop the oldest of a place with too many; of all, the oldest of the place with the most."""
        newest = next(reversed(self._by_key.values()))
        places = Counter(place(knock.address) for knock in self._by_key.values())
        crowded = place(newest.address)
        if places[crowded] <= MOST_OF_ONE_PLACE:
            if len(self._by_key) <= MOST:
                return
            crowded = places.most_common(1)[0][0]
        del self._by_key[
            next(key for key, knock in self._by_key.items() if place(knock.address) == crowded)
        ]

    def _write(self) -> None:
        if time.monotonic() - self._written_at < WRITE_EVERY_S:
            return
        self._written_at = time.monotonic()
        with self._lock:
            content = json_bytes(Heard(list(self._by_key.values())))
        try:
            write_whole(self._server / FILE, content, self._server)
        except InputError as error:  # the knock is refused all the same
            logging.getLogger("flwr").warning("fedspike: %s", error)


def place(address: str) -> str:
    """An address, or where it is of IPv6 its network: who has one there has them all.

    >>> place("2001:db8::7"), place("192.0.2.7")
    ('2001:db8::/64', '192.0.2.7')
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return str(ip_network((parsed, 64), strict=False)) if parsed.version == 6 else address


def waiting(register: Register) -> list[Knock]:
    """Who knocked and is neither let in nor revoked, the last first. Raises InputError as `read` does."""
    members = {member.code for member in register.members()}
    return [
        knock
        for knock in read(register.server)
        if knock.code not in members and not register.is_revoked(knock.public)
    ]


def read(server: Path) -> list[Knock]:
    """Who knocked, the last first. Raises InputError where the file is damaged."""
    file = server / FILE
    if not file.exists():
        return []
    fix = f"delete {file}: who waits knocks again"
    heard: Heard = read_json(file, Heard, fix=fix)
    return heard.knocks[::-1]
