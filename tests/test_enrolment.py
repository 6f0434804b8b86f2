"""A device with a key of its own making comes into a fleet that runs, and leaves it for good."""

import shlex
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import ConfigRecord, Message, MessageType, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from fedspike.cli import main
from fedspike.deploy import control, door, enrolment, flower, keys, knocks
from fedspike.deploy.control_client import connected
from fedspike.deploy.folder import FleetFolder, NodeFolder
from fedspike.deploy.knocks import Knocks
from fedspike.deploy.line import Line, NotWanted
from fedspike.deploy.register import Member
from fedspike.deploy.runtime_client import grid_of_a_training
from fedspike.deploy.trainer import Registration
from fedspike.errors import InputError
from fedspike.federation.client_numbers import clients_of, spelled
from fedspike.federation.places.flower.nodes import Registered

SEATS = 4


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetFolder]:
    """A server that runs, for four devices that bring their own data; none is known yet."""
    home = tmp_path_factory.mktemp("enrolment") / "fleet"
    options = ["--own-data", "--set", "data.kind=fashion-mnist-sample", "--port"]
    assert main(["fleet", "init", str(home), "fleet", *options, str(flower.free_port())]) == 0
    folder = FleetFolder(home)
    with (home / "log").open("ab", buffering=0) as log, flower.serving(folder, log):
        yield folder


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrolment, "KNOCKS_WITHIN_S", 1.5)


def device(fleet: FleetFolder, home: Path, name: str) -> NodeFolder:
    """What `fedspike fleet enrol` makes out of the invitation alone."""
    home.mkdir(exist_ok=True)
    invitation = home / "invitation.toml"
    shutil.copy(fleet.path / "invitation.toml", invitation)
    assert (
        main(["fleet", "enrol", str(invitation), "--name", name, "--output", str(home / name)]) == 0
    )
    return NodeFolder(home / name)


def code(node: NodeFolder) -> str:
    return keys.code_of(node.key.public_key())


def knock(node: NodeFolder) -> str:
    """The door's words to a node that is not let in."""
    time.sleep(knocks.WRITE_EVERY_S)  # as one that asked some time ago
    with pytest.raises(NotWanted) as refused:
        Line(node)
    return str(refused.value)


def test_a_device_enrols_and_is_let_in_while_the_server_runs(
    fleet: FleetFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its code alone: in any case of letters, without hyphens; no secret key travels."""
    kitchen = device(fleet, tmp_path, "kitchen")
    own = code(kitchen)
    assert f"fedspike fleet admit my-fleet {own}" in capsys.readouterr().err
    assert (kitchen.path / keys.NODE_KEY).stat().st_mode & 0o777 == 0o600
    assert code(device(fleet, tmp_path, "kitchen")) == own  # the key is kept
    words = knock(kitchen)
    assert words.startswith(knocks.UNREGISTERED)
    assert own in words
    capsys.readouterr()

    assert main(["fleet", "admit", str(fleet.path)]) == 0
    assert f"{own}  kitchen  127.0.0.1  " in capsys.readouterr().out
    assert main(["fleet", "admit", str(fleet.path), "0000-0000-0000"]) == 2
    assert f"{own} (kitchen)" in capsys.readouterr().err
    assert main(["fleet", "admit", str(fleet.path), "what"]) == 2
    assert "such as 7KQF-2M9X-RD4T" in capsys.readouterr().err

    typed = own.replace("-", "").lower()
    assert main(["fleet", "admit", str(fleet.path), typed]) == 0
    assert "kitchen is let in. Its clients: 0" in capsys.readouterr().err
    with Line(kitchen) as line:
        assert line.pull() is None
        with pytest.raises(NotWanted, match="same key"):
            Line(kitchen)
    assert main(["fleet", "admit", str(fleet.path), own]) == 2
    assert "is let in already, as kitchen" in capsys.readouterr().err
    assert main(["fleet", "admit", str(fleet.path)]) == 0
    assert "Nobody asks" in capsys.readouterr().err
    assert {node.name: node.clients for node in control.registered(fleet).values()} == {
        "kitchen": {0}
    }


def test_names_and_clients_are_one_nodes_each(
    fleet: FleetFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = device(fleet, tmp_path, "cellar")
    (tmp_path / "b").mkdir()
    other = device(fleet, tmp_path / "b", "cellar")
    knock(one)
    knock(other)
    admit = ["fleet", "admit", str(fleet.path)]
    assert main([*admit, code(one), "--clients", "2-3"]) == 0
    for words, said in (
        ([code(other)], "the name cellar is taken"),
        ([code(other), "--name", "Cellar"], "the name Cellar is taken"),
        ([code(other), "--name", "../x"], "the name ../x"),
        ([code(other), "--name", "attic", "--clients", "1, 3"], "clients 3 are those of cellar"),
        ([code(other), "--name", "attic", "--clients", f"1, {SEATS}"], f"clients below {SEATS}"),
        ([code(other), "--name", "attic", "--clients", "x"], "--clients: the clients x"),
        (["--clients", "", code(other), "--name", "attic"], "--clients: the clients "),
        (["--clients", "1", "3", code(other)], f"{code(other)} is not known"),
    ):
        capsys.readouterr()
        assert main([*admit, *words]) == 2
        assert said in capsys.readouterr().err
    assert main([*admit, "--clients", "1", code(other), "--name", "attic"]) == 0
    with Line(one), Line(other):
        names = {node.name for node in control.registered(fleet).values()}
    assert {"cellar", "attic"} <= names


@pytest.mark.thorough
def test_a_node_that_is_revoked_is_out_at_once_and_for_good(
    fleet: FleetFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also one that has work in its hands: the server's side hears at once that nothing comes of it."""
    for name in ("kitchen", "attic"):  # of the tests before, which may have been left out
        if (fleet.server / "nodes" / f"{name}.toml").exists():
            enrolment.revoke(fleet, name)
    gone = device(fleet, tmp_path, "gone")
    knock(gone)
    assert main(["fleet", "admit", str(fleet.path), code(gone)]) == 0
    clients = {node.name: node.clients for node in control.registered(fleet).values()}["gone"]
    with connected(fleet) as it:
        run = it.start()
    grid = grid_of_a_training(fleet)
    with Line(gone) as line:
        (number,) = grid.get_node_ids()
        content = RecordDict({"a": ConfigRecord({"b": b"c"})})
        (asked,) = grid.push_messages([Message(content, number, MessageType.TRAIN, ttl=60)])
        message = line.pull()
        assert message is not None
        assert main(["fleet", "revoke", str(fleet.path), "gone"]) == 0
        for refused in (line.pull, lambda: line.push(Message(content, reply_to=message), 1.0)):
            with pytest.raises(NotWanted, match=door.REVOKED):
                refused()
        TaskIdentity.node_id = 1  # the server's, which is in this process, too
        (answer,) = grid.pull_messages([asked])
        assert answer.has_error()
        assert list(grid.get_node_ids()) == []
    assert knock(gone) == door.REVOKED
    with connected(fleet) as it:
        it.stop(run)
    grid.close()

    capsys.readouterr()
    assert main(["fleet", "admit", str(fleet.path), code(gone)]) == 2
    assert f"the key {code(gone)} was revoked" in capsys.readouterr().err
    assert code(gone) not in {knock.code for knock in enrolment.knocking(fleet)}
    with pytest.raises(InputError, match="was revoked"):
        fleet.register.admit(gone.key.public_key(), "gone", [3], SEATS)
    assert main(["fleet", "revoke", str(fleet.path), "gone"]) == 2
    assert "no node is called gone" in capsys.readouterr().err
    fleet.register.write(Member("gone", gone.key.public_key(), tuple(clients)))  # by hand
    with pytest.raises(InputError, match="no longer let in"):
        control.register(fleet)
    (fleet.server / "nodes" / "gone.toml").unlink()
    new = device(fleet, tmp_path, "new")
    knock(new)
    assert enrolment.admit(fleet, code(new)).clients == tuple(clients)  # they are free again


def test_a_node_that_comes_back_with_another_key_gets_the_clients_that_it_had(
    fleet: FleetFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And what is wrong with the register when a key is revoked is not taken for an absent server."""
    for member in fleet.register.members():  # of the tests before
        enrolment.revoke(fleet, member.name)
    for words in (["--clients", "0, 2-3"], []):
        porch = device(fleet, tmp_path, "porch")
        knock(porch)
        assert main(["fleet", "admit", str(fleet.path), *words, code(porch)]) == 0
        assert "porch is let in. Its clients: 0, 2-3" in capsys.readouterr().err
        assert main(["fleet", "revoke", str(fleet.path), "porch"]) == 0
        (porch.path / keys.NODE_KEY).unlink()
    fleet.register.admit(ec.generate_private_key(ec.SECP384R1()).public_key(), "shed", [], SEATS)
    spoilt = fleet.server / "nodes" / "spoilt.toml"
    spoilt.write_text("key = 3")
    capsys.readouterr()
    assert main(["fleet", "revoke", str(fleet.path), "shed"]) == 2
    said = capsys.readouterr().err
    assert "the key of shed is revoked, but" in said
    assert "spoilt.toml" in said
    assert "No server runs" not in said
    spoilt.unlink()


def test_clients_of_before_are_given_again_where_all_are_free(tmp_path: Path) -> None:
    register = FleetFolder(tmp_path).register

    def comes(name: str, *clients: int) -> tuple[int, ...]:
        public = ec.generate_private_key(ec.SECP384R1()).public_key()
        return register.admit(public, name, clients, SEATS).clients

    (tmp_path / "server").mkdir()
    for clients in ((0, 2, 3), (), (1, 2)):
        assert comes("porch", *clients) == (clients or (0, 2, 3))
        register.revoke("porch")
    assert comes("garden") == (0,)
    assert comes("porch") == (1, 2)  # which it had last
    register.revoke("porch")
    assert comes("shed", 2) == (2,)
    assert comes("porch") == (1,)  # one of those that it had is another's


def test_what_is_done_while_no_server_runs_counts_when_one_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "fleet"
    options = ["--nodes", "2", "--port", str(flower.free_port())]
    assert main(["fleet", "init", str(home), "fleet", *options]) == 0
    capsys.readouterr()
    assert main(["fleet", "revoke", str(home), "node-1"]) == 0
    assert "No server runs" in capsys.readouterr().err
    folder, node = FleetFolder(home), NodeFolder(home / "nodes" / "node-1")
    assert [member.name for member in folder.register.members()] == ["node-0"]
    assert folder.register.is_revoked(node.key.public_key())
    assert main(["fleet", "admit", str(home), "0000-0000-0000"]) == 2
    assert "fix: fedspike fleet server" in capsys.readouterr().err
    assert main(["fleet", "admit", str(home)]) == 2
    assert main(["fleet", "revoke", str(home), "node-1"]) == 2
    assert main(["fleet", "revoke", str(tmp_path), "node-0"]) == 2


def test_knocks_are_bounded_and_each_place_has_its_share(tmp_path: Path) -> None:
    """Who floods from one place, of IPv6 from one network, drives out himself."""
    public = [ec.generate_private_key(ec.SECP384R1()).public_key() for _ in range(100)]
    door_side = Knocks(tmp_path)
    door_side.hear(public[0], "honest", "192.0.2.1", knocks.UNREGISTERED)
    for number, key in enumerate(public[1:]):
        door_side.hear(key, "../../x", f"2001:db8::{number:x}", knocks.UNREGISTERED)
    heard = door_side._by_key.values()
    assert len(heard) == 1 + knocks.MOST_OF_ONE_PLACE
    assert {knock.name for knock in heard} == {"honest", ""}
    for number, key in enumerate(public[1:]):
        door_side.hear(key, "x", f"192.0.2.{100 + number % 5}", knocks.UNREGISTERED)
        assert len(heard) <= knocks.MOST
    assert "honest" in {knock.name for knock in heard}
    door_side._written_at = 0.0
    door_side.hear(public[0], "honest", "192.0.2.1", knocks.UNREGISTERED)
    assert len(knocks.read(tmp_path)) == knocks.MOST
    assert knocks.read(tmp_path)[0].name == "honest"
    (tmp_path / knocks.FILE).write_bytes(b'{"knocks": [{"key": 3}]}')
    with pytest.raises(InputError, match="who waits knocks again"):
        knocks.read(tmp_path)
    assert knocks.read(tmp_path / "elsewhere") == []
    Knocks(tmp_path)  # of before a restart
    assert knocks.read(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "key"),
        ("key = 'ssh-rsa AAAA'\nclients = '0'", "no public key|node's public key"),
        ("key = '{rsa}'\nclients = '0'", "another kind of key"),
        ("key = '{other}'\nclients = ''", "numbers of clients"),
        ("key = '{other}'\nclients = '3-1'", "numbers of clients"),
        ("key = '{other}'\nclients = '0-999999999'", "at most 1000000"),
        ("key = '{other}'\nclients = '7, 7'", "each once"),
        ("key = '{other}'\nclients = '1-3'", "client 1 is that of"),
        ("key = '{own}'\nclients = '3'", "the key is that of"),
        ("key = '{other}'\nclients = '3'\nmore = 1", "more"),
        ("key = 3\nclients = '3'", "second.toml, line 1: key = 3"),
    ],
)
def test_a_spoilt_entry_of_the_register_is_named(tmp_path: Path, content: str, words: str) -> None:
    folder = FleetFolder(tmp_path)
    public = [ec.generate_private_key(ec.SECP384R1()).public_key() for _ in range(2)]
    folder.register.write(Member("first", public[0], (0, 1)))
    small = ec.generate_private_key(ec.SECP256R1()).public_key()
    texts = {"own": public[0], "other": public[1], "rsa": small}
    for name, key in texts.items():
        content = content.replace(f"{{{name}}}", keys.written(key))
    (tmp_path / "server" / "nodes" / "second.toml").write_text(content)
    with pytest.raises(InputError, match=words) as told:
        folder.register.members()
    assert "second" in str(told.value)


def test_an_invitation_is_held_to_its_form(
    fleet: FleetFolder,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is written into a folder that is in other use, and nothing without the owner's own files."""
    text = (fleet.path / "invitation.toml").read_text()
    file, output = tmp_path / "invitation.toml", tmp_path / "here"
    for content, words in (
        (None, "copy invitation.toml"),
        (text + "\nmore = 1", "more"),
        (text.replace("server = ", "server = 'x' #"), "expected: a host and a port"),
        (text.replace("own_files = []", 'own_files = ["mine.py"]'), "copy the folder own"),
        (text.replace("own_files = []", 'own_files = ["../mine.py"]'), "own_files"),
        (text.replace("own_data = true", "own_data = false"), "deals its data out"),
    ):
        if content is not None:
            file.write_text(content)
        assert main(["fleet", "enrol", str(file), "--output", str(output)]) == 2
        assert words in capsys.readouterr().err
        assert not output.exists()
    file.write_text(text)
    for name in ("../x", "-", ".x", "x" * 101):
        assert main(["fleet", "enrol", str(file), f"--name={name}", "--output", str(output)]) == 2
    assert not output.exists()
    assert main(["fleet", "enrol", str(file), "--output", str(tmp_path)]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert main(["fleet", "enrol", str(file), "--output", str(output)]) == 0
    assert NodeFolder(output).settings.node == enrolment.host()
    before = code(NodeFolder(output))
    (output / keys.NODE_KEY).unlink()
    monkeypatch.chdir(tmp_path)
    fix = keys.ANOTHER_KEY.partition(": fedspike ")[2].replace("NODE", "here")
    assert main(shlex.split(fix)) == 0  # the fix for a key that is kept out
    assert NodeFolder(output).settings.node == enrolment.host()
    assert code(NodeFolder(output)) != before
    other = text.replace("127.0.0.1:", "127.0.0.2:").replace("MII", "MIJ")
    file.write_text(other)
    assert main(["fleet", "enrol", str(file), "--output", str(output)]) == 2
    assert "of another fleet" in capsys.readouterr().err


def test_a_register_that_is_not_whole_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training asks for it many times a second, and goes on with what it was before."""
    whole, told = {7: Registered("kitchen", frozenset({0}))}, list[str]()
    fault = InputError("kitchen.toml: no key", expected="-", fix="-")
    answers: list[dict[int, Registered] | InputError] = [whole, fault, fault, {}, fault]

    def registered(_: FleetFolder) -> dict[int, Registered]:
        if isinstance(answer := answers.pop(0), InputError):
            raise answer
        return answer

    monkeypatch.setattr(control, "registered", registered)
    who_may_come = Registration(FleetFolder(tmp_path), told.append)
    assert [who_may_come() for _ in range(4)] == [whole, whole, {}, {}]
    assert len(told) == 2
    assert all("kitchen.toml" in words for words in told)


def test_codes_and_clients_are_read_as_they_are_written() -> None:
    public = ec.generate_private_key(ec.SECP384R1()).public_key()
    written = keys.code_of(public)
    assert keys.code(written.lower().replace("0", "o").replace("1", "l")) == written
    assert keys.of_pem(keys.pem(public)) == keys.public(keys.written(public), "-", "-") == public
    for typed in ("", "7KQF-2M9X", "7KQF-2M9X-RD4U", "7KQF-2M9X-RD4T-0", "٠" * 12):
        with pytest.raises(InputError):
            keys.code(typed)
    assert clients_of(spelled([5, 3, 4, 9, 0, 1]), "-") == (0, 1, 3, 4, 5, 9)
