"""How a fleet is, from what its folder knows and its server says: as a record, as text, as metrics."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.common.constant import HEARTBEAT_PATIENCE
from flwr.proto.node_pb2 import NodeInfo

from fedspike.cli import main, overview
from fedspike.cli.progress import refusals
from fedspike.deploy import control, flower, keys, knocks, metrics, status
from fedspike.deploy.control_client import Presence, presences
from fedspike.deploy.folder import FleetFolder
from fedspike.deploy.register import Member
from fedspike.errors import InputError
from fedspike.federation.places.flower import absent
from fedspike.files import json_bytes
from fedspike.layers.activity import Activity
from fedspike.records import reader
from fedspike.records.fleet_status import Failure, NodeStatus, Status
from fedspike.records.ledger import rounds_by_node
from fedspike.records.schema import NodeRound, RoundRecord

RUN = "ann-iid-seed0"
ROUNDS = {RUN: 3}
RUNNING = ("running", "")
REASON = 'client-1.npz: "y_train" holds labels\nfrom 0 to 12'


def look(fleet: FleetFolder, view: status.View | None, away: str | None = None) -> Status:
    reason = InputError(away, expected="one", fix="start it") if away else None
    return status.Observer(fleet, ROUNDS).status(view, reason)


def by_name(now: Status) -> dict[str, NodeStatus]:
    return {node.node: node for node in now.nodes}


def asked(node: str, client: int, seconds: float, **more: Any) -> NodeRound:
    return NodeRound(
        node=node,
        clients=[client],
        downlink_bytes=1,
        seconds={"training": seconds},
        joules={"powercap package": 10.0},
        **more,
    )


def round_of(number: int, *nodes: NodeRound) -> RoundRecord:
    work = Activity(samples=100, steps=1, events_in={})
    return RoundRecord(
        round=number,
        accuracy=number / 10,
        tested=work,
        uplink_bytes=0,
        downlink_bytes=0,
        training_loss=0.5,
        activity={k: work for node in nodes if not node.error for k in node.clients},
        clients=[0, 1],
        samples=200,
        spikes={},
        operations={},
        firing_rates={},
        seconds={"training": 0.5, "waiting": 1.25},
        rejected=[],
        missing=[],
        at_work=[],
        staleness={},
        skipped=False,
        nodes=list(nodes),
    )


def let_in(folder: FleetFolder, numbers: dict[str, int]) -> None:
    """Nodes that are registered under these numbers of Flower's, each with a client."""
    codes = {}
    for client, (name, number) in enumerate(numbers.items()):
        public = ec.generate_private_key(ec.SECP384R1()).public_key()
        folder.register.write(Member(name, public, (client,)))
        codes[keys.code_of(public)] = number
    (folder.server / control.REGISTERED).write_bytes(json_bytes(codes))


@pytest.fixture
def fleet(tmp_path: Path) -> FleetFolder:
    """A folder in which node-2 answered twice, node-10 once and then not, and node-3 is refused."""
    folder = FleetFolder(tmp_path)
    home = folder.run / RUN
    home.mkdir(parents=True)
    folder.server.mkdir()
    rounds = [
        round_of(1, asked("node-2", 0, 1.0), asked("node-10", 1, 4.0)),
        round_of(2, asked("node-2", 0, 3.0), asked("node-10", 1, 0.0, error="no answer")),
    ]
    lines = [json_bytes(each, indent=None) for each in rounds]
    (home / "rounds.jsonl").write_bytes(b"".join(lines) + b'{"round": 3, "half')
    let_in(folder, {"node-2": 2, "node-10": 10, "node-3": 3})
    (folder.server / "clients.json").write_bytes(json_bytes({"0": [5, 7], "1": [0, 9]}))
    (folder.server / "run.json").write_bytes(json_bytes({"run-id": 7}))
    absent.write(folder.server, {"node-3": REASON}, [])
    return folder


def view(training: tuple[str, str] = RUNNING) -> status.View:
    now = datetime.now(UTC)
    nodes = {2: Presence(True, now - timedelta(seconds=4)), 3: Presence(True, now)}
    return status.View(training, nodes | {10: Presence(False, None)})


def test_the_folder_and_the_server_together_say_how_a_fleet_is(fleet: FleetFolder) -> None:
    now = look(fleet, view())
    assert (now.training, now.run, now.server_away) == ("running", RUN, None)
    (run,) = now.runs
    assert (run.rounds_done, run.rounds, run.accuracy) == (2, 3, 0.2)
    assert run.seconds == {"training": 0.5, "waiting": 1.25}
    assert list(by_name(now)) == ["node-2", "node-3", "node-10"]
    two, three, ten = now.nodes
    assert (two.online, two.clients, two.samples, two.rounds, two.failed) == (
        True,
        [0],
        {0: 12},
        2,
        0,
    )
    assert two.seconds_ago == pytest.approx(4, abs=1)
    assert two.samples_per_second == 50  # 2 x 100 samples in 1 + 3 s
    assert two.joules == {"powercap package": 20.0}
    assert (ten.online, ten.last_seen, ten.rounds, ten.failed) == (False, None, 1, 1)
    assert ten.samples_per_second == 25
    assert ten.joules == {"powercap package": 10.0}
    failure = Failure(reason="no answer", run=RUN, round=2, since=2, mended=False)
    assert (two.last_failure, ten.last_failure) == (None, failure)
    assert (three.refused, two.refused) == (REASON, None)
    assert three.refused_since


def test_a_refusal_is_no_failure_and_rounds_in_a_row_are_said_together(fleet: FleetFolder) -> None:
    """In quick rounds there would soon be hundreds, of which nobody can tell what they count."""
    with (fleet.run / RUN / "rounds.jsonl").open("rb+") as file:
        whole = file.read().rpartition(b"\n")[0] + b"\n"
        file.seek(0)
        file.truncate()
        refused, stranger = (
            NodeRound(node=name, clients=[], downlink_bytes=0, error=REASON)
            for name in ("node-3", knocks.STRANGERS)
        )
        failed = asked("node-10", 1, 0.0, error="on battery")
        later = [round_of(n, failed, refused, stranger) for n in (3, 4)]
        file.write(whole + b"".join(json_bytes(each, indent=None) for each in later))
    now = look(fleet, view())
    nodes = by_name(now)
    assert (nodes["node-3"].rounds, nodes["node-3"].failed) == (0, 0)
    assert (nodes["node-10"].rounds, nodes["node-10"].failed) == (1, 3)
    assert f"node-10, {RUN} rounds 2 to 4: on battery" in overview.text(now, "my-fleet")
    assert refusals(later[0]).keys() == {"node-10: on battery"}
    assert knocks.STRANGERS not in nodes
    assert rounds_by_node(later).keys() == {"node-10"}


def test_who_answers_again_has_mended_it(fleet: FleetFolder) -> None:
    file = fleet.run / RUN / "rounds.jsonl"
    whole = file.read_bytes().rpartition(b"\n")[0] + b"\n"
    file.write_bytes(whole + json_bytes(round_of(3, asked("node-10", 1, 1.0)), indent=None))
    failure = by_name(look(fleet, view()))["node-10"].last_failure
    assert failure == Failure(reason="no answer", run=RUN, round=2, since=2, mended=True)
    (fleet.run / RUN / "summary.json").write_text("{}")
    assert look(fleet, None).training == "done"


@pytest.mark.parametrize(
    ("training", "waiting", "expected"),
    [
        (("pending", ""), [], "running"),
        (RUNNING, [1], "waiting"),
        (("finished", "stopped"), [], "stopped"),
        (("finished", "failed"), [], "failed"),
        (("finished", "completed"), [], "failed"),
        (None, [1], "paused"),
    ],
)
def test_how_the_training_is(
    fleet: FleetFolder, training: tuple[str, str] | None, waiting: list[int], expected: str
) -> None:
    absent.write(fleet.server, {}, waiting)
    now = look(fleet, view(training) if training else None)
    assert now.training == expected
    (fleet.server / "run.json").unlink()
    assert look(fleet, view()).training == "not started"


def test_rounds_that_were_read_are_not_read_again(
    fleet: FleetFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless the run went back to its checkpoint."""
    file, decode = fleet.run / RUN / "rounds.jsonl", reader.decode_rounds
    lines: list[int] = []

    def decoded(text: bytes, *more: Any) -> list[RoundRecord]:
        lines.append(text.count(b"\n"))
        return decode(text, *more)

    monkeypatch.setattr(reader, "decode_rounds", decoded)
    observer = status.Observer(fleet, ROUNDS)
    one, two, _ = file.read_bytes().split(b"\n")
    third = json_bytes(round_of(3, asked("node-2", 0, 1.0)), indent=None)
    for text in (b"\n".join((one, two, third)), third, one + b"\n"):
        file.write_bytes(text)
        if text == third:
            with pytest.raises(InputError, match="not 1, 2, 3"):
                observer.status(None)
        else:
            (run,) = observer.status(None).runs
            assert run.rounds_done == text.count(b"\n")
    assert lines == [3, 1, 1]
    file.write_bytes(b"\n".join((one, two, third)))
    assert observer.status(None).runs[0].rounds_done == 3
    assert lines == [3, 1, 1, 2]


def test_who_is_revoked_and_who_knocks_are_told(fleet: FleetFolder) -> None:
    """Who was let in or revoked since it knocked does not knock, and nobody knocks where no server is."""
    key, at = keys.written(ec.generate_private_key(ec.SECP384R1()).public_key()), time.time() - 125
    known = {keys.written(member.key): member.name for member in fleet.register.members()}
    heard = [
        knocks.Knock(one, name, "192.0.2.7", knocks.UNREGISTERED, at, at)
        for one, name in {**known, key: "kitchen"}.items()
    ]
    fleet.register.revoke("node-2")
    (fleet.server / knocks.FILE).write_bytes(json_bytes({"knocks": heard}))
    now = look(fleet, view())
    nodes = by_name(now)
    assert (nodes["node-2"].revoked, nodes["node-2"].rounds) == (True, 2)
    assert nodes["node-2"].clients == [0]  # as it trained
    assert not nodes["node-3"].revoked
    (knock,) = now.knocking
    assert (knock.name, knock.code) == ("kitchen", heard[-1].code)
    assert knock.seconds_ago == pytest.approx(125, abs=2)
    text = overview.text(now, "my-fleet")
    assert "node-2   revoked" in text
    assert f"{knock.code}  kitchen  192.0.2.7  2 min 5 s ago" in text
    assert "fedspike fleet admit my-fleet CODE" in text
    assert 'fedspike_node_up{node="node-2"}' not in metrics.render(now)
    assert look(fleet, None, "nobody is there").knocking == []


def test_clients_are_those_of_the_register_before_the_first_round(fleet: FleetFolder) -> None:
    """Also of a node that Flower has not been told of."""
    (fleet.run / RUN / "rounds.jsonl").unlink()
    (fleet.server / control.REGISTERED).unlink()
    nodes = by_name(look(fleet, view()))
    assert {name: node.clients for name, node in nodes.items()} == {
        "node-2": [0],
        "node-3": [2],
        "node-10": [1],
    }
    assert (nodes["node-10"].samples, nodes["node-10"].rounds) == ({1: 9}, 0)


def test_a_refusal_lasts_since_it_began(tmp_path: Path) -> None:
    absent.write(tmp_path, {"a": "x", "b": "y"}, [])
    before = absent.read(tmp_path).refused
    absent.write(tmp_path, {"a": "x", "b": "z"}, [2])
    after = absent.read(tmp_path).refused
    assert after["a"] == before["a"]
    assert after["b"].since > before["b"].since
    (tmp_path / absent.FILE).write_text("spoilt")
    absent.write(tmp_path, {}, [])  # it is written anew
    assert absent.read(tmp_path) == absent.Absent()


def test_when_flower_heard_of_a_node() -> None:
    """Flower says until when a node counts as there: two heartbeats after the last one."""
    listed = [
        NodeInfo(node_id=1, status="online", heartbeat_interval=10.0, online_until=1000.0),
        NodeInfo(node_id=2, status="offline", heartbeat_interval=10.0, online_until=1000.0),
        NodeInfo(node_id=3, status="registered"),
    ]
    heard = datetime.fromtimestamp(1000 - 10 * HEARTBEAT_PATIENCE, tz=UTC)
    assert presences(listed) == {
        1: Presence(True, heard),
        2: Presence(False, datetime.fromtimestamp(1000, tz=UTC)),
        3: Presence(False, None),
    }


def test_the_record_is_what_json_says(fleet: FleetFolder) -> None:
    """And JSON Schema, which others may read it with, can be made of it."""
    now = look(fleet, view())
    assert msgspec.json.decode(msgspec.json.encode(now), type=Status) == now
    assert msgspec.json.schema(Status)["$defs"]["NodeStatus"]["required"]


def test_twenty_nodes_are_readable(fleet: FleetFolder) -> None:
    numbers = {f"raspberry-pi-in-room-{i}": i for i in range(20)} | {"x" * 90: 99}
    for member in fleet.register.members():
        fleet.register.withdraw(member)
    let_in(fleet, numbers)
    now = look(fleet, view(), "nobody is there")
    text = overview.text(now, "my-fleet")
    assert max(map(len, text.splitlines())) <= 100
    assert "the server does not answer: nobody is there\n  usual fix: start it" in text
    lines = {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}
    assert lines["raspberry-pi-in-room-2"][1:5] == ["online", "4", "s", "ago"]
    assert lines[RUN][1:] == ["2/3", "20.0%", "1.8", "s"]
    assert f"the newest round of {RUN}: training 0.5 s, waiting 1.2 s" in text


def test_the_text_says_what_is_wrong_with_whom(fleet: FleetFolder) -> None:
    text = " ".join(overview.text(look(fleet, view()), "my-fleet").split())
    assert "node-3 refused 0 s ago" in text
    assert "takes no part since 20" in text
    assert 'client-1.npz: "y_train" holds labels from 0 to 12' in text
    assert f"node-10, {RUN} round 2: no answer" in text
    assert "powercap package node-2 20 node-10 10" in text


def test_prometheus_reads_the_metrics(fleet: FleetFolder) -> None:
    """By its own parser. A name with quotes and a line's end in it stays one label."""
    from prometheus_client.parser import text_string_to_metric_families

    odd = 'a "b"\\c\nd'
    absent.write(fleet.server, {"node-3": REASON, odd: "no answer"}, [])
    now = look(fleet, view())
    families = {one.name: one for one in text_string_to_metric_families(metrics.render(now))}
    values = {
        (sample.name, *sample.labels.values()): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert values["fedspike_round", RUN] == 2
    assert values["fedspike_rounds", RUN] == 3
    assert values["fedspike_accuracy_ratio", RUN] == 0.2
    assert values["fedspike_round_seconds", RUN, "waiting"] == 1.25
    assert values["fedspike_training_state", "running"] == 1
    assert values["fedspike_training_state", "paused"] == 0
    assert values["fedspike_node_up", odd] == 0
    assert values["fedspike_node_up", "node-2"] == 1
    assert values["fedspike_node_refused", "node-3"] == 1
    assert values["fedspike_node_samples", "node-2"] == 12
    assert values["fedspike_node_failed_rounds_total", "node-10"] == 1
    assert values["fedspike_node_joules_total", "node-2", "powercap package"] == 20
    last_seen = by_name(now)["node-2"].last_seen
    assert last_seen
    moment = values["fedspike_node_last_seen_timestamp_seconds", "node-2"]
    assert moment == pytest.approx(last_seen.timestamp())
    assert ("fedspike_node_last_seen_timestamp_seconds", odd) not in values
    assert families["fedspike_node_joules"].type == "counter"
    assert all(one.documentation and one.type != "unknown" for one in families.values())


def test_the_page_lists_the_metrics(fleet: FleetFolder) -> None:
    """Each with its labels and what it is."""
    page = (Path(__file__).parents[1] / "docs" / "fleet.md").read_text()
    for line in metrics.render(look(fleet, view())).splitlines():
        if line.startswith("# HELP"):
            _, _, name, words = line.split(" ", 3)
            assert any(row.startswith(f"| `{name}`") and words in row for row in page.splitlines())


def test_without_a_server_the_folder_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "fleet"
    options = ["--nodes", "2", "--set", "data.kind=fashion-mnist-sample", "--port"]
    assert main(["fleet", "init", str(home), "fleet", *options, str(flower.free_port())]) == 0
    capsys.readouterr()
    assert main(["fleet", "status", str(home), "--json"]) == 0
    now = msgspec.json.decode(capsys.readouterr().out, type=Status)
    assert (now.training, [node.node for node in now.nodes]) == (
        "not started",
        ["node-0", "node-1"],
    )
    assert now.run
    assert now.server_away
    assert "no program listens there" in now.server_away
    assert main(["fleet", "status", str(home)]) == 0
    text = capsys.readouterr().out
    assert f"fedspike fleet server {home}" in text
    for file in (
        FleetFolder(home).server / absent.FILE,
        home / "run" / now.run / "rounds.jsonl",
    ):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("spoilt\n")
        with pytest.raises(InputError, match=file.name):
            status.read(FleetFolder(home))
        file.unlink()
