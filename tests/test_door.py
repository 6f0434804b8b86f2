"""Flower's server behind our door, over real sockets: who is let in, who is not, and what passes through."""

import logging
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from shutil import copytree

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import ConfigRecord, Message, MessageType, RecordDict
from flwr.common.constant import TIMESTAMP_HEADER
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER, FLEET_HTTP_SIGNATURE_HEADER
from flwr.supercore.date import now
from flwr.supercore.primitives.asymmetric import public_key_to_bytes, sign_message
from flwr.supercore.task_identity import TaskIdentity
from flwr.supernode import node_auth_http_interceptor

from fedspike.cli import main
from fedspike.deploy import (
    certificates,
    control,
    door,
    flower,
    keys,
    knocks,
    refusals,
    runtime_client,
    status,
    trainer,
)
from fedspike.deploy import line as line_inside
from fedspike.deploy.connections import MOST_WAITING
from fedspike.deploy.control_client import connected
from fedspike.deploy.folder import FleetFolder, NodeFolder
from fedspike.deploy.headers import TOKEN_HEADER
from fedspike.deploy.line import Line, NotWanted
from fedspike.deploy.runtime_client import grid_of_a_training
from fedspike.errors import InputError
from running import python

OWNERS = (
    *("/v1/control/list-runs", "/v1/control/start-run", "/v1/runtime/acquire-task", "/docs"),
    *("/openapi.json", "/metrics", "//v1/fleet/pull-messages"),
)
PULL = "/v1/fleet/pull-messages"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetFolder]:
    """A server that runs, and lets two nodes in."""
    home = tmp_path_factory.mktemp("door") / "fleet"
    options = ["--nodes", "2", "--set", "data.kind=fashion-mnist-sample", "--port"]
    assert main(["fleet", "init", str(home), "fleet", *options, str(flower.free_port())]) == 0
    folder = FleetFolder(home)
    with (home / "log").open("ab", buffering=0) as log, flower.serving(folder, log):
        control.register(folder)
        yield folder


def node(fleet: FleetFolder, number: int = 0) -> NodeFolder:
    return NodeFolder(fleet.path / "nodes" / f"node-{number}")


def answer(
    fleet: FleetFolder,
    path: str,
    heads: dict[str, str] | None = None,
    body: bytes | Iterator[bytes] = b"",
    of: str = "127.0.0.1",
) -> tuple[int, str]:
    """HTTP's status and what the server answers to a request from this address of this machine."""
    context = ssl.create_default_context(cafile=str(fleet.server / certificates.AUTHORITY))
    from_here = httpx.HTTPTransport(verify=context, local_address=of)
    with httpx.Client(transport=from_here, timeout=60) as client:
        got = client.post(
            f"https://{fleet.settings.here}/",
            content=body,
            headers={"content-type": "application/protobuf", **(heads or {})},
            extensions={"target": path.encode()},
        )
    return got.status_code, got.text


def answer_to_head(fleet: FleetFolder, heads: dict[str, str]) -> int:
    """HTTP's status for a request of which only the head is sent."""
    context = ssl.create_default_context(cafile=str(fleet.server / certificates.AUTHORITY))
    lines = [f"POST {PULL} HTTP/1.1", "host: it", *(f"{name}: {v}" for name, v in heads.items())]
    with (
        socket.create_connection(("127.0.0.1", fleet.settings.port), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as line,
    ):
        line.sendall("\r\n".join([*lines, "", ""]).encode())
        return int(line.recv(100).split()[1])


def signed(folder: NodeFolder, seconds_ago: float = 0.0) -> dict[str, str]:
    """The heads of a request that a node signed."""
    return signed_by(folder.key, seconds_ago)


def signed_by(private: ec.EllipticCurvePrivateKey, seconds_ago: float = 0.0) -> dict[str, str]:
    """The heads of a request that was signed with this key."""
    when = (now() - timedelta(seconds=seconds_ago)).isoformat()
    return {
        FLEET_HTTP_PUBLIC_KEY_HEADER: b64encode(public_key_to_bytes(private.public_key())).decode(),
        TIMESTAMP_HEADER: when,
        FLEET_HTTP_SIGNATURE_HEADER: b64encode(sign_message(private, when.encode())).decode(),
    }


@pytest.mark.thorough
def test_a_node_reports_to_nobody_else() -> None:
    """Flower's telemetry is off in the node's own process, too, whatever its surroundings say."""
    code = (
        "import os; os.environ['FLWR_TELEMETRY_ENABLED'] = '1'; import fedspike.deploy.device; "
        "from flwr.supercore import telemetry; print(telemetry.FLWR_TELEMETRY_ENABLED)"
    )
    assert python(code).stdout.split() == ["0"]


@pytest.mark.parametrize("path", OWNERS)
def test_what_is_the_owners_is_refused_to_others(fleet: FleetFolder, path: str) -> None:
    """From another address even with the token, and here without it or with another one."""
    token = {TOKEN_HEADER: fleet.token}
    assert answer(fleet, path, token, of="127.0.0.2")[0] == 403
    assert answer(fleet, path)[0] == 403
    assert answer(fleet, path, {TOKEN_HEADER: "x" * 64})[0] == 403
    assert answer(fleet, path, token)[0] != 403
    roundabout = f"/v1/fleet/..{path}"
    assert answer(fleet, roundabout, token | signed(node(fleet)))[0] in (403, 404)


def test_without_the_token_nobody_starts_a_training(fleet: FleetFolder) -> None:
    """Nor asks anything else, on the server's own machine either."""
    file = fleet.server / "token"
    secret = (file, fleet.server / certificates.KEY, fleet.server)
    assert [path.stat().st_mode & 0o777 for path in secret] == [0o600, 0o600, 0o700]
    token = fleet.token
    file.write_text("another")
    try:
        with (
            pytest.raises(InputError, match="for the server's owner alone"),
            connected(fleet) as it,
        ):
            it.start()
    finally:
        file.write_text(token)


@pytest.mark.parametrize(
    ("heads", "words"),
    [
        (lambda _: {}, "not signed"),
        (lambda of: signed(of) | {TIMESTAMP_HEADER: now().isoformat()}, "signature is wrong"),
        (lambda of: signed(of) | {FLEET_HTTP_PUBLIC_KEY_HEADER: "AAAA"}, "not signed"),
        (lambda of: signed(of) | {FLEET_HTTP_SIGNATURE_HEADER: "?"}, "not signed"),
        (lambda of: signed(of, seconds_ago=400), knocks.CLOCK),
        (lambda of: signed(of, seconds_ago=-400), knocks.CLOCK),
    ],
)
def test_who_is_no_node_is_told_why(fleet: FleetFolder, heads: object, words: str) -> None:
    assert callable(heads)
    code, text = answer(fleet, PULL, heads(node(fleet)), of="127.0.0.2")
    assert (code, words in text) == (403, True), text


def test_metrics_and_status_are_told_to_the_owner(
    fleet: FleetFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    """Prometheus brings the token in its own way; a folder that cannot be read does not harm the server."""
    bearer = {"authorization": f"Bearer {fleet.token}"}

    def up(node: str, is_up: bool) -> None:
        code, text = answer(fleet, "/metrics", bearer)
        assert (code, f'fedspike_node_up{{node="{node}"}} {float(is_up)}' in text) == (200, True)
        (now,) = (one for one in status.read(fleet).nodes if one.node == node)
        assert now.online is is_up
        assert not is_up or (now.seconds_ago is not None and now.seconds_ago < 10)

    up("node-1", False)
    with Line(node(fleet, 1)):
        up("node-1", True)
    up("node-1", False)
    assert main(["fleet", "status", str(fleet.path)]) == 0
    assert "training: not started" in capsys.readouterr().out
    assert answer(fleet, "/metrics", {"authorization": "Bearer x"})[0] == 403
    spoilt = fleet.server / control.REGISTERED
    whole = spoilt.read_bytes()
    spoilt.write_text("{")
    try:
        code, text = answer(fleet, "/metrics", bearer)
    finally:
        spoilt.write_bytes(whole)
    assert (code, "registered.json" in text) == (500, True)
    assert answer(fleet, "/metrics", bearer)[0] == 200


def test_the_log_says_once_an_hour_who_is_refused(fleet: FleetFolder) -> None:
    """Else whoever reaches the port can fill the disk with it."""
    for _ in range(5):
        assert answer(fleet, PULL, of="127.0.0.7")[0] == 403
    log = (fleet.path / "log").read_text().splitlines()
    assert len([line for line in log if " 127.0.0.7:" in line and " 403" in line]) == 1


def test_refusals_are_counted_and_their_lines_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    told = refusals.Refusals()

    def line(peer: str, status: int) -> logging.LogRecord:
        words, args = '%s - "%s %s HTTP/%s" %d', (peer, "POST", PULL, "1.1", status)
        return logging.LogRecord("uvicorn.access", logging.INFO, "", 0, words, args, None)

    peers = [f"192.0.2.{n % 250}:{n}" for n in range(500)]
    assert sum(told.filter(line(peer, 200)) for peer in peers) == 500
    assert sum(told.filter(line(peer, 403)) for peer in peers) == refusals.MOST
    monkeypatch.setattr(refusals, "EVERY_S", -1.0)
    assert told.filter(again := line("[2001:db8::1]:7", 403))
    assert again.getMessage().endswith(" 403 (and 400 refusals before it, untold)")


def test_bodies_have_a_limit_with_and_without_a_length(fleet: FleetFolder) -> None:
    """And nothing of a stranger's is read."""
    own = signed(node(fleet))
    assert answer_to_head(fleet, own | {"content-length": str(door.MOST_BODY + 1)}) == 413
    assert answer_to_head(fleet, {"content-length": str(door.MOST_BODY)}) == 403

    def endless(megabytes: int) -> Iterator[bytes]:
        for _ in range(megabytes):
            yield bytes(2**20)

    try:
        code, _ = answer(fleet, PULL, own, endless(door.MOST_BODY // 2**20 + 1))
    except httpx.WriteError:  # it hangs up before we have said all
        code = 413
    assert code == 413


def test_a_node_gets_in_beside_who_brings_nothing(fleet: FleetFolder) -> None:
    """Those who came first, of more than may wait, are gone."""
    with ExitStack() as stack:
        crowd = [
            stack.enter_context(
                socket.create_connection(
                    ("127.0.0.1", fleet.settings.port), 10, source_address=("127.0.0.2", 0)
                )
            )
            for _ in range(MOST_WAITING + 10)
        ]
        with Line(node(fleet)) as line:
            assert line.pull() is None
        assert crowd[0].recv(1) == b""


def test_a_nodes_connection_notices_when_nobody_is_there(fleet: FleetFolder) -> None:
    """The system asks, and Flower's client uses it: what that means is tried in tests/test_namespaces.py."""
    with (
        Line(node(fleet)) as line,
        line._client._client.stream("GET", f"https://{fleet.settings.here}/health") as health,
    ):
        own = health.extensions["network_stream"].get_extra_info("socket")
        for level, name, value in line_inside.SOCKET_OPTIONS:
            assert own.getsockopt(level, name) == value


def test_who_asks_in_vain_is_told_to_run_status_and_the_record(
    fleet: FleetFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong clock, a second node with a key, and a stranger; and nobody once they stop."""
    stranger = NodeFolder(copytree(node(fleet).path, tmp_path / "stranger"))
    keys.write_private(stranger.path)
    code = keys.code_of(stranger.key.public_key())
    told, watching = list[str](), control.AtDoor(fleet)
    with Line(node(fleet)):
        for _ in range(2):  # the door writes once a second
            with pytest.raises(NotWanted, match="same key") as refused:
                Line(node(fleet))
            assert refused.value.at_door
            line_inside.knock(stranger)
            with monkeypatch.context() as patch:
                patch.setattr(node_auth_http_interceptor, "now", lambda: now() + timedelta(hours=1))
                line_inside.knock(node(fleet, 1))
            time.sleep(knocks.WRITE_EVERY_S)
        line_inside.knock(node(fleet, 1))  # one that is let in is not remembered
        watching.look(told.append)
        shown = {one.node: one for one in status.read(fleet).nodes}
        recorded = trainer.in_vain(fleet)
    (asks,) = told
    assert f"fedspike fleet admit {fleet.path} {code}" in asks
    reasons = {"node-0 (second)": knocks.TWICE, "node-1": knocks.CLOCK}
    assert watching.refused.keys() == reasons.keys()
    assert recorded.keys() == {*reasons, knocks.STRANGERS}
    for name, reason in reasons.items():
        words = f"{reason}; it asks from 127.0.0.1"
        assert watching.refused[name].reason == shown[name].refused == recorded[name] == words
    assert shown["node-0"].refused is None
    assert "fedspike fleet status" in recorded[knocks.STRANGERS]
    monkeypatch.setattr(knocks, "STILL_ASKS_S", 0.0)
    assert trainer.in_vain(fleet) == {}
    assert knocks.refused(fleet.register) == {}


def test_an_unknown_key_a_second_node_and_a_revoked_key_are_refused(
    fleet: FleetFolder, tmp_path: Path
) -> None:
    """Each with its reason, and a node that is let in stays in."""
    stranger = NodeFolder(copytree(node(fleet).path, tmp_path / "stranger"))
    keys.write_private(stranger.path)
    with pytest.raises(NotWanted, match=knocks.UNREGISTERED):
        Line(stranger)
    with Line(node(fleet)) as line:
        with pytest.raises(NotWanted, match="same key"):
            Line(node(fleet))
        assert line.pull() is None
        file = fleet.server / "nodes" / "node-0.toml"
        file.rename(tmp_path / "node-0.toml")
        control.register(fleet)
        with pytest.raises(NotWanted, match=door.REVOKED):
            line.pull()
    (tmp_path / "node-0.toml").rename(file)
    with pytest.raises(InputError, match="no longer let in"):
        control.register(fleet)
    file.unlink()


def test_a_message_and_its_answer_pass_through(
    fleet: FleetFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What we take for granted of Flower's inside: a training is started, asks a node, and hears it."""
    with connected(fleet) as it:
        run = it.start()
        assert it.status(run) == "pending"
    grid = grid_of_a_training(fleet)
    with connected(fleet) as it:
        assert it.status(run) == "running"
    sent = bytes(range(256)) * 4000
    with Line(node(fleet, 1)) as line:
        (number,) = grid.get_node_ids()
        assert control.registered(fleet)[number].name == "node-1"
        content = RecordDict({"a": ConfigRecord({"b": sent})})
        (asked,) = grid.push_messages([Message(content, number, MessageType.TRAIN, ttl=60)])
        message = line.pull()
        assert message is not None
        assert message.content["a"]["b"] == sent
        assert list(grid.pull_messages([asked])) == []
        reply = Message(RecordDict({"c": ConfigRecord({"d": sent[:-1]})}), reply_to=message)
        line.push(reply, 1.0)
        (heard,) = grid.pull_messages([asked])
        assert heard.content["c"]["d"] == sent[:-1]
        line.push(reply, 1.0)  # as after an answer that was lost

        TaskIdentity.node_id = 1  # the server's, which is in this process, too
        (asked,) = grid.push_messages([Message(content, number, MessageType.TRAIN, ttl=60)])
        message = line.pull()
        assert message is not None
        monkeypatch.setattr(line_inside, "push_object_contents_from_iterable", lambda *_: None)
        line.push(Message(RecordDict({"c": ConfigRecord({"d": b"x"})}), reply_to=message), 1.0)
        assert list(grid.pull_messages([asked])) == []  # and does not wait
    others = grid.pull_messages(["another"])  # who asks for another does not take this one away
    assert asked not in {each.metadata.reply_to_message_id for each in others}
    (lost,) = grid.pull_messages([asked])
    assert lost.has_error()
    monkeypatch.undo()
    with Line(node(fleet, 1)) as line:
        TaskIdentity.node_id = 1  # the server's, which is in this process, too
        (asked,) = grid.push_messages([Message(content, number, MessageType.TRAIN, ttl=60)])
        message = line.pull()
        assert message is not None
        line.push(Message(RecordDict({"c": ConfigRecord({"d": b"y"})}), reply_to=message), 1.0)

        def garbage(*_: object) -> None:
            raise KeyError("what nobody knows")

        monkeypatch.setattr(runtime_client, "inflate_object_from_contents", garbage)
        (spoilt,) = grid.pull_messages([asked])
        assert "KeyError" in str(spoilt.error.reason)
        TaskIdentity.node_id = 1  # the server's, which is in this process, too
        grid.push_messages([Message(content, number, MessageType.TRAIN, ttl=60)])
        with connected(fleet) as it:
            it.stop(run)
            assert it.status(run).startswith("finished")
        assert line.pull() is None  # what was on its way is gone
    grid.close()
