"""What is asked of a running server: which nodes may come, and to train; and how the training goes on."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from flwr.common.constant import Status, SubStatus
from msgspec.structs import replace

from fedspike.deploy import keys, knocks
from fedspike.deploy.control_client import connected
from fedspike.deploy.folder import FleetFolder
from fedspike.deploy.knocks import Knock
from fedspike.errors import InputError
from fedspike.experiment.sweep import Experiment
from fedspike.federation.places.flower import absent
from fedspike.federation.places.flower.absent import Absent, Refusal
from fedspike.federation.places.flower.nodes import Registered
from fedspike.files import (
    MOST_JSON,
    claimed,
    content_of,
    is_full,
    json_bytes,
    read_json,
    remove,
    write_whole,
)
from fedspike.records import reader
from fedspike.records.events import Event, Finished, Skipped, Started, Trained
from fedspike.records.schema import RoundRecord
from fedspike.shell import command

LOOK_EVERY_S, ASK_EVERY_S = 0.2, 5.0
MOST_STRANGERS = 16  # who are said to ask; the others are in the fleet's status
REGISTERED = "registered.json"


def register(folder: FleetFolder) -> dict[int, Registered]:
    """Let in the nodes of the register, no others; Flower's number of each -> who it is.

    Flower's command line does this for one node, and takes seconds; here all are done at once. Who was let in
    and is not in the register any more stays out for good: Flower takes no key twice.
    """
    with claimed(folder.server, wait=True), connected(folder) as server:
        members = {keys.pem(member.key): member for member in folder.register.members()}
        present = server.keys()
        numbers = {members[key].code: n for key, (n, _) in present.items() if key in members}
        try:
            for key in present.keys() - members.keys():
                number, name = present[key]
                folder.register.bar(name, keys.of_pem(key))
                server.unregister(number)
            for key in members.keys() - present.keys():
                numbers[members[key].code] = server.register(members[key].name, key)
        finally:
            if numbers != _numbers(folder):
                write_whole(folder.server / REGISTERED, json_bytes(numbers), folder.path)
    return registered(folder)


def registered(folder: FleetFolder) -> dict[int, Registered]:
    """As `register` left it, without those who were revoked since then."""
    numbers = _numbers(folder)
    return {
        numbers[member.code]: Registered(member.name, frozenset(member.clients))
        for member in folder.register.members()
        if member.code in numbers
    }


def _numbers(folder: FleetFolder) -> dict[str, int]:
    """The code of a node's key -> its number in Flower."""
    file = folder.server / REGISTERED
    if not file.exists():
        return {}
    fix = f"delete {file}, and start the server again"
    numbers: dict[str, int] = read_json(file, dict[str, int], fix=fix)
    return numbers


def submit(folder: FleetFolder) -> None:
    """Start the training, or what is left of it; one that still runs is left alone."""
    with claimed(folder.server, wait=True):  # two that start at once would start two
        if state(folder) in ("", Status.FINISHED):
            _start(folder)


def resume(folder: FleetFolder) -> bool:
    """After a restart of the server: go on with a training that was going on. Whether there was one."""
    with claimed(folder.server, wait=True):  # two that start at once would start two
        if run_id(folder) is None or is_done(folder):
            return False
        stop(folder)  # its process ended with the server before
        _start(folder)
        return True


def stop(folder: FleetFolder) -> bool:
    """End the training; what is done is stored. Whether there was one."""
    number = run_id(folder)
    if number is None:
        return False
    with connected(folder) as server:
        if server.status(number) != Status.FINISHED:
            server.stop(number)
    return True


def _start(folder: FleetFolder) -> None:
    if (folder.server / absent.FILE).exists():
        remove(folder.server / absent.FILE, folder.path)
    with connected(folder) as server:
        number = server.start()
    write_whole(_run_file(folder), json_bytes({"run-id": number}), folder.path)


def run_id(folder: FleetFolder) -> int | None:
    """Flower's number of the training, if it was started."""
    file = _run_file(folder)
    if not file.exists():
        return None
    fix = f"delete {file}"
    stored: dict[str, int] = read_json(file, dict[str, int], fix=fix)
    return stored.get("run-id")


def state(folder: FleetFolder) -> str:
    """What Flower says of the training: "running", "finished", ...; "" before it was started."""
    return progress(folder)[0]


def progress(folder: FleetFolder) -> tuple[str, str]:
    """As `state`, and how one that is finished ended: "completed", "failed", "stopped"."""
    number = run_id(folder)
    if number is None:
        return "", ""
    with connected(folder) as server:
        return server.progress(number)


def is_done(folder: FleetFolder) -> bool:
    """Whether all runs have their summaries."""
    return all((folder.run / run.name / reader.SUMMARY).exists() for run in folder.experiment.runs)


class RoundsSoFar:
    """The finished rounds of a run that another process is doing; what was read before is not read again."""

    def __init__(self, home: Path) -> None:
        self._file, self._text, self._records = home / reader.ROUNDS, b"", list[RoundRecord]()

    def read(self) -> list[RoundRecord]:
        """All of them by now. Raises InputError where the file is damaged."""
        text = content_of(self._file, MOST_JSON) if self._file.exists() else b""
        text = text[: text.rfind(b"\n") + 1]
        if not text.startswith(self._text):  # the run went back to its checkpoint
            self._text, self._records = b"", []
        new, first = text[len(self._text) :], len(self._records) + 1
        self._records += reader.decode_rounds(new, self._file, first)
        self._text = text
        return list(self._records)


def follow(
    folder: FleetFolder, experiment: Experiment, say: Callable[[str], None]
) -> Iterator[Event]:
    """What happens in the run folder, until everything is done.

    Raises InputError where the training ends before that. A server that is away is waited for.
    """
    asked_at, told, door = time.monotonic(), Absent(), AtDoor(folder)
    for run in experiment.runs:
        home, finished = folder.run / run.name, -1
        so_far = RoundsSoFar(home)
        while finished < run.plan.rounds or not (home / reader.SUMMARY).exists():
            records = so_far.read()
            if finished < 0 and (home / "config.toml").exists():
                finished = len(records)
                yield Started(run.name, finished)
            for record in records[max(finished, 0) :]:
                yield Trained(run.name, record)
            finished = max(finished, len(records)) if finished >= 0 else finished
            out = absent.read(folder.server)
            if (now := replace(out, refused=out.refused | door.refused)) != told:
                _tell(now, told, say)
                told = now
            door.look(say)
            if time.monotonic() - asked_at > ASK_EVERY_S:
                _demand_running(folder, say)
                asked_at = time.monotonic()
            time.sleep(LOOK_EVERY_S)
        summary = reader.run(home)
        assert summary is not None  # it was there a moment ago
        yield Finished(run.name, summary) if finished >= 0 else Skipped(run.name, summary)
    while not _stored(folder, len(experiment.runs)):
        time.sleep(LOOK_EVERY_S)


class AtDoor:
    """Who asks in vain, for who watches a training; looked at once a second."""

    def __init__(self, folder: FleetFolder) -> None:
        self.refused: dict[str, Refusal] = {}
        self._folder, self._looked_at, self._strangers = folder, float("-inf"), set[str]()

    def look(self, say: Callable[[str], None]) -> None:
        """See who is refused, and say of new strangers how they are let in."""
        if time.monotonic() - self._looked_at < knocks.WRITE_EVERY_S:
            return
        self._looked_at = time.monotonic()
        with suppress(InputError):  # while the register is changed and not whole, all is as it was
            self.refused = knocks.refused(self._folder.register)
            for knock in knocks.waiting(self._folder.register):
                if knock.goes_on and knock.code not in self._strangers:
                    self._introduce(knock, say)

    def _introduce(self, knock: Knock, say: Callable[[str], None]) -> None:
        if len(self._strangers) < MOST_STRANGERS:
            self._strangers.add(knock.code)
            say(
                f"a device asks to be let in and calls itself {knock.name or '(no name)'}, "
                f"from {knock.address}: {knocks.UNREGISTERED}; if its screen shows the same code, "
                f"{command('fleet', 'admit', self._folder.path, knock.code)}"
            )


def _tell(now: Absent, before: Absent, say: Callable[[str], None]) -> None:
    """Say who is newly absent, and who came back."""
    if now.waiting and now.waiting != before.waiting:
        say(now.waiting)
    for node, refusal in now.refused.items():
        if before.refused.get(node) != refusal:
            say(f"{node} takes no part: {refusal.reason}")
    for node in before.refused.keys() - now.refused.keys():
        say(f"{node} is not refused any more")


def _stored(folder: FleetFolder, runs: int) -> bool:
    """Whether the summary of all runs is there."""
    return (folder.run / reader.SUMMARY).exists() and len(reader.read(folder.run).runs) == runs


def _demand_running(folder: FleetFolder, say: Callable[[str], None]) -> None:
    if is_full(folder.path):
        say(f"the disk of {folder.path} is full: the training waits for room")
        return
    try:
        status, how = progress(folder)
    except InputError as error:
        words = error.passed.splitlines()[0][:300]
        say(f"the server is away, waiting for it ({words}); usual fix: {error.fix}")
        return
    if status == Status.FINISHED and not is_done(folder):
        again = command("fleet", "run", folder.path)
        if how == SubStatus.STOPPED:
            raise InputError(
                "the training was stopped",
                expected="one that runs until all rounds are done",
                fix=f"to go on: {again}",
            )
        raise InputError(
            "the training ended before all rounds were done",
            expected="all rounds",
            fix=f"see why: {command('fleet', 'logs', folder.path)}; then {again}",
        )


def _run_file(folder: FleetFolder) -> Path:
    return folder.server / "run.json"
