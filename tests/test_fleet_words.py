"""What is wrong with a fleet is said in words, each its own, on the side where somebody can mend it."""

import datetime
import http.server
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from certifying import answering, clock_off_by, write_certificates
from fedspike.cli import main
from fedspike.cli.stopping import Stopped
from fedspike.deploy import certificates, control, flower, status
from fedspike.deploy.control_client import Presence
from fedspike.deploy.device import participant
from fedspike.deploy.folder import FleetFolder, FleetSettings, NodeFolder
from fedspike.deploy.hosts import demand_host, split
from fedspike.errors import InputError
from fedspike.federation.places.flower import absent, hosted
from fedspike.files import claimed, json_bytes
from running import python

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "grpc_proxy")
AXES = "sample height width"
NOWHERE = "http://127.0.0.1:9"  # nobody listens there


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("fleet") / "fleet"
    options = ["--nodes", "2", "--set", "fleet.clients=4", "--port", str(flower.free_port())]
    assert main(["fleet", "init", str(home), "fleet", *options]) == 0
    return home


@pytest.fixture
def fleet(made: Path, tmp_path: Path) -> Path:
    """A copy of a fleet's folder, in another place than where it was made."""
    return shutil.copytree(made, tmp_path / "moved")


def test_health_is_asked_for_without_a_proxy(fleet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.setenv(name, NOWHERE)
    with answering(fleet / "server") as port:
        assert flower.ailment(f"127.0.0.1:{port}", fleet / "server" / "ca.crt") == ""
    assert not {
        name for name in flower.environment(FleetFolder(fleet)) if name.lower().endswith("_proxy")
    }
    with flower.directly():
        import httpx

        assert not httpx.Client()._mounts
    import os

    assert os.environ["https_proxy"] == NOWHERE


def test_a_server_with_an_ipv6_address_answers_there(fleet: Path) -> None:
    with answering(fleet / "server", "::1") as port:
        assert flower.ailment(f"[::1]:{port}", fleet / "server" / "ca.crt") == ""
    far = FleetSettings("2001:db8::7", 8000)
    assert (far.address, far.listens_on, far.here) == ("[2001:db8::7]:8000", "::", "[::1]:8000")
    near = FleetSettings("192.0.2.7", 8000)
    assert (near.listens_on, near.here) == ("0.0.0.0", "127.0.0.1:8000")


def test_certificates_and_clocks_have_their_own_words(
    fleet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = fleet / "server" / "ca.crt"
    other = tmp_path / "other"
    other.mkdir()
    write_certificates(other, ["elsewhere.example"])
    with answering(other) as port, pytest.raises(InputError, match="of another authority"):
        flower.ailment(f"127.0.0.1:{port}", ours)
    with answering(other) as port, pytest.raises(InputError, match="for other names"):
        flower.ailment(f"127.0.0.1:{port}", other / "ca.crt")
    late = (datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=400)).strftime(
        "%a, %d %b %Y %H:%M:%S GMT"
    )
    ahead = pytest.raises(InputError, match=r"clock is 40\d s ahead of")
    with answering(fleet / "server", date=late) as port, ahead:
        flower.ailment(f"127.0.0.1:{port}", ours)
    for days, word in ((-1000, "has expired|expired"), (1000, "not valid yet|not yet valid")):
        old = tmp_path / f"days{days}"
        old.mkdir()
        with clock_off_by(days, monkeypatch):
            write_certificates(old, ["127.0.0.1"])
        with pytest.raises(InputError, match=word):
            certificates.demand_valid(old / "server.crt", fix="-")
        with answering(old) as port, pytest.raises(InputError, match=word):
            flower.ailment(f"127.0.0.1:{port}", old / "ca.crt")


def test_a_clock_that_is_wrong_is_waited_for(fleet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small device has it some seconds after its start. Flower takes 5 s ahead, 300 s behind."""
    knocked = list[NodeFolder]()

    def said_by(seconds: float) -> str:
        there = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=seconds)
        date, told = there.strftime("%a, %d %b %Y %H:%M:%S GMT"), list[str]()
        knocked.clear()
        with answering(fleet / "server", date=date) as port:
            home = fleet / "nodes" / "node-0"
            text = (home / "node.toml").read_text()
            address = FleetFolder(fleet).settings.address
            (home / "node.toml").write_text(text.replace(address, f"127.0.0.1:{port}"))
            flower.wait_for_server(NodeFolder(home), told.append, knocked.append)
            (home / "node.toml").write_text(text)
        return " ".join(told)

    def mended(_: float) -> None:
        monkeypatch.setattr(flower, "_demand_same_time", lambda *_: None)

    monkeypatch.setattr("time.sleep", mended)
    assert said_by(3) == said_by(-290) == ""
    assert knocked == []
    assert "12 s ahead of" in (told := said_by(12)) or "13 s ahead of" in told
    assert "fix: set the clocks of both" in told
    assert len(knocked) == 1  # so that its owner sees it on the server, too


def test_what_is_not_there_yet_is_waited_for_with_the_reason(fleet: Path) -> None:
    reason = flower.ailment(f"127.0.0.1:{flower.free_port()}", fleet / "server" / "ca.crt")
    assert reason == "no program listens there"
    (fleet / "server" / "ca.crt").unlink()
    with pytest.raises(InputError, match=r"ca\.crt: No such file"):
        flower.ailment("127.0.0.1:9", fleet / "server" / "ca.crt")


def test_an_owner_hears_why_a_server_does_not_answer_and_what_to_do(
    fleet: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that is not there, and one whose certificate has expired, which keeps a revoked key out."""
    folder = FleetFolder(fleet)
    assert main(["fleet", "run", str(fleet)]) == 2
    told = capsys.readouterr().err
    assert f"the server at {folder.settings.here}: no program listens there\n" in told
    assert f"fix: fedspike fleet server {fleet}\n" in told
    assert main(["fleet", "revoke", str(fleet), "node-0"]) == 0
    told = capsys.readouterr().err
    assert f"No server runs that could be told (the server at {folder.settings.here}: no" in told
    with clock_off_by(-1000, monkeypatch):
        write_certificates(fleet / "server", ["127.0.0.1"])
    text = (fleet / "fleet.toml").read_text()
    with answering(fleet / "server") as port:
        (fleet / "fleet.toml").write_text(text.replace(str(folder.settings.port), str(port)))
        assert main(["fleet", "revoke", str(fleet), "node-1"]) == 0
    told = capsys.readouterr().err
    assert "The server keeps it out, but could not be asked" in told
    assert "has expired" in told
    assert f"fedspike fleet renew {fleet}" in told
    assert "No server runs" not in told


def test_what_speaks_no_tls_is_not_waited_for(fleet: Path) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        with pytest.raises(InputError, match="is not this fleet's server"):
            flower.ailment(f"127.0.0.1:{server.server_address[1]}", fleet / "server" / "ca.crt")
        server.shutdown()


def test_a_port_that_is_taken_is_named(fleet: Path) -> None:
    port = FleetFolder(fleet).settings.port
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(InputError, match=f"port {port} is taken by another program"):
            flower.superlink(FleetFolder(fleet))
    with pytest.raises(InputError, match=r"address 192\.0\.2\.7 of this machine"):
        flower.demand_port("192.0.2.7", port, fleet / "fleet.toml")


def test_a_folder_has_one_server_on_whatever_port(fleet: Path) -> None:
    """Two would share Flower's memory of the fleet, and each would start its trainings."""
    words = pytest.raises(InputError, match="its server runs already")
    with claimed(fleet), words, flower.serving(FleetFolder(fleet)):
        pass


@pytest.mark.thorough
def test_a_server_does_not_outlive_its_command(fleet: Path) -> None:
    """Killed, the command says good-bye to nobody; its port is free for the next one all the same."""
    command, around = flower.superlink(FleetFolder(fleet))
    gone = "1"  # a process that is not its parent
    ended = subprocess.run([*command[:-1], gone], env=around, timeout=60, capture_output=True)
    assert ended.returncode == 1


@pytest.mark.thorough
def test_idle_connections_up_to_what_the_system_allows_shut_nobody_out() -> None:
    code = (
        "import resource as r; kind = r.RLIMIT_NOFILE; _, most = r.getrlimit(kind);"
        "r.setrlimit(kind, (256, most)); from fedspike.deploy.door import hold_many; hold_many();"
        "print(r.getrlimit(kind) == (most, most))"
    )
    assert python(code).stdout.split() == ["True"]


def test_a_nodes_data_can_say_what_is_asked_of_them(tmp_path: Path) -> None:
    """Where there is no [data] to write it into, as on a device."""
    mine = tmp_path / "mine.npz"
    x, y = np.full((3, 4, 4), 7, np.uint8), np.arange(3)
    np.savez(mine, x_train=x, y_train=y)
    with pytest.raises(InputError, match=r"np\.savez\(FILE, axes=\.\.\., range=\.\.\.,"):
        hosted.read(mine, 3)
    np.savez(mine, x_train=x, y_train=y, axes=AXES)
    with pytest.raises(InputError, match=r"np\.savez\(FILE, axes=\.\.\., range=\.\.\.,"):
        hosted.read(mine, 3)
    np.savez(mine, x_train=x, y_train=y, axes=AXES, range=[0, 255])
    assert hosted.read(mine, 3).data.x_train.shape == (3, 4, 4)


@pytest.mark.parametrize(
    ("how", "words"), [("stopped", "the training was stopped"), ("failed", "fedspike fleet logs")]
)
def test_who_watches_a_training_that_ends_hears_how(
    fleet: Path, monkeypatch: pytest.MonkeyPatch, how: str, words: str
) -> None:
    folder = FleetFolder(fleet)
    monkeypatch.setattr(control, "ASK_EVERY_S", 0.0)
    monkeypatch.setattr(control, "progress", lambda _: ("finished", how))
    with pytest.raises(InputError, match=words):
        next(control.follow(folder, folder.experiment, print))


def test_a_training_that_is_stopped_leaves_no_traceback_in_the_log() -> None:
    """Flower interrupts the program whose order is not valid any more."""
    code = (
        "import os, signal, sys; from fedspike.deploy import trainer;"
        "trainer.training = lambda folder: os.kill(os.getpid(), signal.SIGINT);"
        "sys.argv = ['trainer', 'a-fleet', str(os.getppid())]; trainer.main()"
    )
    ended = subprocess.run([sys.executable, "-c", code], timeout=60, capture_output=True)
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, b"")


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("", "empty"),
        ("https://server.example/x", "fix: write server.example"),
        ("server.example:8000", "fix: write server.example, and the port"),
        ("192.0.2.7:80", "fix: write 192.0.2.7,"),
        ("my server", "a space"),
        ("server\n", "a space"),
        ("sérver.example", "fix: write xn--srver-bsa.example"),
        ("x" * 64, "too long"),
        ("a." * 130 + "b", "too long"),
        ("[::1]", "without brackets"),
        ("fe80::1%eth0", "zones"),
        ("300.1.1.1", "no IPv4 address"),
        ("-server", "no name"),
        ("a..b", "no name"),
        ("user@server", "no name"),
    ],
)
def test_a_name_that_is_none_is_refused(
    host: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "new"
    assert main(["fleet", "init", str(home), "fleet", "--nodes", "2", f"--host={host}"]) == 2
    assert words in capsys.readouterr().err
    assert not home.exists()


@pytest.mark.parametrize("host", ["localhost", "server.example", "a_b", "192.0.2.7", "::1", "a-1."])
def test_a_name_that_is_one_is_taken(host: str) -> None:
    demand_host(host, "--host")


def test_addresses_and_ports_are_held_to_their_form(tmp_path: Path) -> None:
    assert split("[::1]:8000", "-") == ("::1", 8000)
    for address in ("server", "server:", "server:x", "server:99999", "https://server:80", ":80"):
        with pytest.raises(InputError):
            split(address, "server")
    options = ["fleet", "init", str(tmp_path / "new"), "fleet", "--nodes", "2", "--port"]
    assert main([*options, "0"]) == main([*options, "70000"]) == 2
    assert not (tmp_path / "new").exists()


def test_a_folder_that_was_moved_is_whole(fleet: Path, made: Path) -> None:
    """Nothing in it points to where it was."""
    command, around = flower.superlink(FleetFolder(fleet))
    assert str(made) not in " ".join(command) + str(around)
    texts = [file.read_bytes() for file in fleet.rglob("*.toml")]
    assert not any(str(made).encode() in text for text in texts)


@pytest.mark.parametrize(
    ("part", "content", "words"),
    [
        ("server/server.crt", None, "without TLS"),
        ("server/server.crt", b"x", "server.crt"),
        ("server/token", None, "token: No such file"),
        ("fedspike.toml", None, "fedspike.toml: No such file"),
        ("fleet.toml", b"host = 'https://x'\nport = 1", "there is a scheme in it"),
        ("fleet.toml", b"host = 'x'\nport = 0", "port 0"),
        ("fleet.toml", b"host = 'x'\nport = 1\ndeadline_s = inf", "deadline_s"),
        ("nodes/node-0/node.key", None, "node.key: No such file"),
        ("nodes/node-0/node.key", b"x", "copy nodes/node-0"),
        ("nodes/node-0/ca.crt", None, "ca.crt: No such file"),
        ("nodes/node-0/node.toml", b"node = 'a'", "node.toml"),
    ],
)
def test_a_part_that_is_missing_or_spoilt_is_named(
    fleet: Path, part: str, content: bytes | None, words: str
) -> None:
    """Before anything of Flower is started, on the side where it is."""
    (fleet / part).unlink() if content is None else (fleet / part).write_bytes(content)

    def started() -> Any:
        if part.startswith("nodes"):
            home = fleet / "nodes" / "node-0"
            return participant(NodeFolder(home), home / "data", print)
        return flower.superlink(FleetFolder(fleet))

    with pytest.raises(InputError) as told:
        started()
    assert words in str(told.value)


def samples(file: Path, count: int = 3, labels: Any = None, **more: Any) -> None:
    y = np.arange(count) % 3 if labels is None else np.array(labels)
    np.savez(
        file, **{"x_train": np.zeros((count, 4, 4), np.float32), "y_train": y, "axes": AXES, **more}
    )


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "no .npz file in it"),
        ({"client-1.npz": {}, "client-01.npz": {}}, "client-01.npz in it"),
        ({"client-1.npz": {}, "mine.npz": {}}, "mine.npz in it"),
        ({"client-1.npz": {}, "client-x.npz": {}}, "client-x.npz in it"),
        (
            {"client-1.npz": {}, "client-2.npz": {"count": 0, "labels": np.zeros(0, int)}},
            "client-2",
        ),
        ({"client-1.npz": {"labels": [0, 1, 9]}}, "labels from 0 to 9"),
        ({"client-1.npz": {"labels": [0, 1, -1]}}, "labels from -1 to 1"),
        (
            {"client-1.npz": {"labels": [0, 1]}, "client-2.npz": {"labels": [0, 1, 2, 0]}},
            "client-1",
        ),
        ({"client-1.npz": {"x_train": np.full((3, 4, 4), np.nan, np.float32)}}, "NaN"),
        ({"client-1.npz": {"x_train": np.zeros((3, 4, 5), np.float32)}}, "(4, 5)"),
        ({"client-1.npz": b"no zip"}, "client-1.npz"),
    ],
)
def test_a_nodes_data_are_looked_at_before_it_connects(
    tmp_path: Path, files: dict[str, Any], words: str
) -> None:
    for name, content in files.items():
        if isinstance(content, bytes):
            (tmp_path / name).write_bytes(content)
        else:
            samples(tmp_path / name, **content)
    with pytest.raises(InputError) as told:
        hosted.demand(tmp_path, classes=3, shape=(4, 4))
    assert words in str(told.value)


def test_status_and_run_say_who_takes_no_part(
    fleet: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reason = "client-1.npz: y_train holds labels from 0 to 12"
    folder = FleetFolder(fleet)
    waiting = "1 of 2 clients are there; the training begins when 2 are. Not there: 1"
    absent.write(folder.server, {"node-1": reason}, [1], waiting)
    numbers = {member.code: 11 + i for i, member in enumerate(folder.register.members())}
    (folder.server / control.REGISTERED).write_bytes(json_bytes(numbers))
    there = dict.fromkeys(numbers.values(), Presence(True, None))
    monkeypatch.setattr(
        status, "connected", lambda _: nullcontext(SimpleNamespace(nodes=lambda: there))
    )
    assert main(["fleet", "status", str(fleet)]) == 0
    out = capsys.readouterr().out
    assert "node-1  refused" in out
    assert "node-1 takes no part since" in out
    assert reason in out
    assert waiting in out
    told: list[str] = []
    now = absent.read(folder.server)
    control._tell(now, absent.Absent(), told.append)
    control._tell(absent.Absent(), now, told.append)
    assert told == [
        waiting,
        f"node-1 takes no part: {reason}",
        "node-1 is not refused any more",
    ]
    (folder.server / absent.FILE).write_bytes(b'{"refused": 3}')
    with pytest.raises(InputError, match=r"absent\.json"):
        absent.read(folder.server)


def test_a_stopped_local_fleet_says_how_to_go_on(
    fleet: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object) -> None:
        raise Stopped(signal.SIGINT)

    monkeypatch.setattr(flower, "superlink", stop)
    assert main(["fleet", "local", "2", "fleet", "--output", str(fleet)]) == 130
    told = capsys.readouterr().err
    assert f"{fleet} holds every finished round" in told
    assert f"fedspike fleet local 2 fleet --output {fleet}" in told
    assert main(["fleet", "local", "3", "fleet", "--output", str(fleet)]) == 2
    assert f"3 nodes, where {fleet} has 2" in capsys.readouterr().err


def test_commands_in_messages_can_be_copied_where_a_folder_has_a_space_in_its_name(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = shutil.copytree(made, tmp_path / "my fleet")
    assert main(["fleet", "stop", str(home)]) == 2
    assert f"fix: {shlex.join(['fedspike', 'fleet', 'run', str(home)])}" in capsys.readouterr().err
    assert main(["fleet", "status", str(home)]) == 0
    assert f"fedspike fleet server '{home}'\n" in capsys.readouterr().out
