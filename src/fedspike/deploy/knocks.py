"""Who asks and is not let in, and why: keys that signed rightly, as the door remembers them.

Strangers, whose keys are not registered, ask until the owner lets them in. A node that is registered is not
let in while its clock is wrong, or while another one is there with its key.
"""

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
from fedspike.federation.places.flower.absent import Refusal
from fedspike.files import json_bytes, read_json, remove, write_whole
from fedspike.records.fleet_status import Knocking
from fedspike.shell import command

FILE = "knocking.json"
MOST, MOST_OF_ONE_PLACE = 64, 16
WRITE_EVERY_S = 1.0
STILL_ASKS_S = 10.0  # a node that is not let in asks every 2 s
HEARTBEAT_S = 10.0  # Flower takes no less; a node is gone for the server after two that are missed
UNREGISTERED = "this key is not registered"
CLOCK = "the clocks of node and server are too far apart: set both, for example with NTP"
TWICE = (
    f"another node with the same key is there, or was until {2 * HEARTBEAT_S:.0f} s ago; "
    "if there are two, end one, and give each device a folder of its own"
)
STRANGERS = "(not registered)"  # in a record all of them are one: nobody fills it with keys


class Knock(Struct, frozen=True):
    """A key that asked: how its node says that it is called, from where, and why it was not let in.

    It was heard last `at` this Unix time, and for this reason again and again `since` that one.
    """

    key: Annotated[str, Meta(max_length=1000)]
    name: Annotated[str, Meta(max_length=100)]
    address: Annotated[str, Meta(max_length=100)]
    reason: Annotated[str, Meta(max_length=500)]
    since: float
    at: float

    @property
    def goes_on(self) -> bool:
        """Whether it still asks."""
        return time.time() - self.at < STILL_ASKS_S

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
    """The last keys that knocked, and in a file, too.

    Of strangers there are 64 at most, and 16 from one place, the newest; the others are as many as the owner
    let in. The file is written once a second at most: who waits knocks again.
    """

    def __init__(self, server: Path) -> None:
        self._server = server
        self._by_key: dict[str, Knock] = {}  # the one that knocked last is the last
        self._lock, self._writing, self._written_at = threading.Lock(), threading.Lock(), 0.0
        if (server / FILE).exists():
            remove(server / FILE, server)

    def hear(self, key: ec.EllipticCurvePublicKey, name: str, address: str, reason: str) -> None:
        """Remember a key that knocks; `name` is what its node says, whatever that is. From any thread."""
        written, name, now = keys.written(key), name if is_name(name) else "", time.time()
        with self._lock:
            before = self._by_key.pop(written, None)
            again = before is not None and before.reason == reason and before.goes_on
            since = before.since if before and again else now
            self._by_key[written] = Knock(written, name, address, reason, since, now)
            self._forget()
        if self._writing.acquire(blocking=False):
            try:
                self._write()
            finally:
                self._writing.release()

    def _forget(self) -> None:
        """Drop the oldest stranger of a place with too many; of all, the oldest of the fullest place."""
        place_of = {
            key: place(knock.address)
            for key, knock in self._by_key.items()
            if knock.reason == UNREGISTERED
        }
        if not place_of:
            return
        places, crowded = Counter(place_of.values()), next(reversed(place_of.values()))
        if places[crowded] <= MOST_OF_ONE_PLACE:
            if len(place_of) <= MOST:
                return
            crowded = places.most_common(1)[0][0]
        del self._by_key[next(key for key, own in place_of.items() if own == crowded)]

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


def refused(register: Register) -> dict[str, Refusal]:
    """How nodes are called that are registered and ask in vain now -> why; a second one says that it is one.

    Raises InputError where the file or the register is damaged.
    """
    asking = [each for each in read(register.server) if each.goes_on]
    names = {member.code: member.name for member in register.members()} if asking else {}
    reasons = {}
    for knock in asking:
        if knock.reason != UNREGISTERED and (name := names.get(knock.code)):
            reasons[f"{name} (second)" if knock.reason == TWICE else name] = Refusal(
                f"{knock.reason}; it asks from {knock.address}",
                datetime.fromtimestamp(knock.since, tz=UTC),
            )
    return reasons


def in_vain(register: Register) -> dict[str, str]:
    """Who asks in vain now -> why, for the record of a round; of strangers only that there is one.

    Raises InputError as `refused` does.
    """
    reasons = {name: refusal.reason for name, refusal in refused(register).items()}
    if any(knock.goes_on for knock in waiting(register)):
        see = command("fleet", "status", "FOLDER")
        reasons[STRANGERS] = f"{UNREGISTERED}; to see its code, and how to let it in: {see}"
    return reasons


def waiting(register: Register) -> list[Knock]:
    """Who knocked and is neither let in nor revoked, the last first. Raises InputError as `refused` does."""
    if not (heard := read(register.server)):
        return []
    members = {member.code for member in register.members()}
    return [
        knock
        for knock in heard
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
