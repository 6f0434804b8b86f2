"""The server's certificate is made anew while keys and nodes stay as they are."""

import datetime
import shutil
from pathlib import Path

import pytest
from cryptography import x509

from certifying import answering, clock_off_by
from fedspike.cli import main, passphrase
from fedspike.deploy import authority, certificates, control, flower, status
from fedspike.deploy.control_client import ServerAway, connected
from fedspike.deploy.folder import FleetFolder
from fedspike.errors import InputError

WORDS = "correct horse"


def made(home: Path, *options: str) -> FleetFolder:
    words = ["--nodes", "1", "--set", "data.kind=fashion-mnist-sample", *options]
    assert main(["fleet", "init", str(home), "fleet", *words]) == 0
    return FleetFolder(home)


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> FleetFolder:
    return made(tmp_path_factory.mktemp("new") / "fleet")


@pytest.fixture
def fleet(new: FleetFolder, tmp_path: Path) -> FleetFolder:
    return FleetFolder(shutil.copytree(new.path, tmp_path / "fleet"))


def renewed(folder: FleetFolder, *options: str | Path) -> int:
    return main(["fleet", "renew", str(folder.path), *map(str, options)])


def ailment(folder: FleetFolder) -> str:
    """What a node with its folder from before finds wrong with a server, over TLS."""
    with answering(folder.server) as port:
        node = folder.path / "nodes" / "node-0"
        return flower.ailment(f"127.0.0.1:{port}", node / certificates.AUTHORITY)


def test_an_expired_certificate_is_refused_made_anew_and_accepted(
    new: FleetFolder, fleet: FleetFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the server itself, and by a node; and nothing but this one file changes."""
    told = list[str]()
    with clock_off_by(-400, monkeypatch):
        assert renewed(fleet) == 0
    (fleet.server / "run.json").write_text('{"run-id": 7}')
    with pytest.raises(InputError, match=rf"(?s)has expired.*fedspike fleet renew {fleet.path}"):
        flower.superlink(fleet)
    with pytest.raises(InputError, match=r"(?s)expired.*fedspike fleet renew"):
        ailment(fleet)
    # `run` and `status` ask a server that runs, and whose certificate expired meanwhile.
    expired = pytest.raises(ServerAway, match=r"(?s)has expired.*fedspike fleet renew")
    with expired as away, connected(fleet) as running:
        running.nodes()
    now = status.read(fleet)
    assert (now.server_away, now.server_fix) == (away.value.passed, away.value.fix)
    control._demand_running(fleet, told.append)
    assert told == [
        f"the server is away, waiting for it ({away.value.passed}); usual fix: {away.value.fix}"
    ]
    assert renewed(fleet, "--host", "192.0.2.7", "--host", "localhost") == 0
    flower.superlink(fleet)
    assert ailment(fleet) == ""
    (fleet.server / "run.json").unlink()
    pairs = [(file, new.path / file.relative_to(fleet.path)) for file in fleet.path.rglob("*.*")]
    changed = [one.name for one, other in pairs if one.read_bytes() != other.read_bytes()]
    assert changed == [certificates.SERVER]
    assert set(authority._names(fleet.server)) == {
        *authority._names(new.server),
        "192.0.2.7",
    }
    server = certificates.certificate_of(fleet.server / certificates.SERVER, "-")
    days = (server.not_valid_after_utc - server.not_valid_before_utc).days
    assert days == authority.SERVER_DAYS + 1


def test_a_certificate_outlives_its_authority_never(
    fleet: FleetFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    safe = fleet.safe
    for days_ago in (authority.AUTHORITY_DAYS - 20, authority.AUTHORITY_DAYS + 1):
        with clock_off_by(-days_ago, monkeypatch):
            authority.write(fleet.server, ["localhost"], safe)
        if days_ago < authority.AUTHORITY_DAYS:
            assert renewed(fleet) == 0
            root, server = (
                certificates.certificate_of(fleet.server / file, "-").not_valid_after_utc
                for file in (certificates.AUTHORITY, certificates.SERVER)
            )
            assert root == server
        else:
            assert renewed(fleet) == 2
            assert "ca.crt has expired" in capsys.readouterr().err


@pytest.mark.parametrize(("days", "words"), [(-370, "ends in 27 days"), (-360, ""), (-400, "has ")])
def test_the_end_is_announced_a_month_before(
    fleet: FleetFolder, days: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with clock_off_by(days, monkeypatch):
        assert renewed(fleet) == 0
    remark = authority.remark(fleet.server, fleet.renewal)
    assert words in remark if words else remark == ""
    assert bool(words) == (f"fedspike fleet renew {fleet.path}" in remark)


def test_the_key_lies_where_its_owner_wants_it_encrypted(
    fleet: FleetFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stick = tmp_path / "stick" / "fleet.key"
    options = ("--authority-key", str(stick))
    words = ["fleet", "init", str(tmp_path / "safe"), "fleet", "--nodes", "1", *options]
    assert main(words) == 2
    assert "its folder is not there" in capsys.readouterr().err
    assert not (tmp_path / "safe").exists()
    stick.parent.mkdir()
    monkeypatch.setenv(passphrase.VARIABLE, WORDS)
    safe = made(tmp_path / "safe", *options)
    assert "not encrypted" not in capsys.readouterr().err
    assert stick.stat().st_mode & 0o777 == 0o600
    assert b"ENCRYPTED" in stick.read_bytes()
    assert not list(safe.path.rglob(authority.AUTHORITY_KEY))
    assert renewed(safe, *options) == 0
    before = (safe.server / certificates.SERVER).read_bytes()
    for secret, key, fault in (
        ("another", stick, "the passphrase is wrong"),
        ("", stick, "is encrypted"),
        (WORDS, tmp_path / "nowhere", "No such file"),
        (WORDS, fleet.safe.file, "is the key of another authority"),
        (WORDS, fleet.server / certificates.AUTHORITY, "it is no private key"),
    ):
        monkeypatch.setenv(passphrase.VARIABLE, secret)
        assert renewed(safe, "--authority-key", key) == 2
        assert fault in capsys.readouterr().err
    assert renewed(safe) == 2
    assert "authority.key: No such file" in capsys.readouterr().err
    assert (safe.server / certificates.SERVER).read_bytes() == before
    assert main([*words[:2], str(tmp_path / "third"), *words[3:]]) == 2
    assert "is there already" in capsys.readouterr().err


def test_a_key_that_is_open_is_said_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = made(tmp_path / "open").safe.file
    assert f"{file}, is not encrypted" in capsys.readouterr().err
    assert file.stat().st_mode & 0o777 == 0o600


def test_at_a_terminal_the_passphrase_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(passphrase.VARIABLE)
    monkeypatch.setattr(passphrase, "_terminal", lambda: True)
    for typed, result in (([WORDS, WORDS], WORDS), ([""], "")):
        answers = iter(typed)
        monkeypatch.setattr(passphrase, "getpass", lambda _, answers=answers: next(answers))
        assert passphrase.chosen() == result
    answers = iter([WORDS, "correct hearse", WORDS])
    monkeypatch.setattr(passphrase, "getpass", lambda _: next(answers))
    with pytest.raises(InputError, match="differ"):
        passphrase.chosen()
    assert passphrase.given() == WORDS
    monkeypatch.setattr(passphrase, "_terminal", lambda: False)
    assert passphrase.chosen() == ""


def test_the_server_and_the_authority_have_names_of_their_own(fleet: FleetFolder) -> None:
    """What TLS looks at: the chain, what each key is for, and for how long."""
    root = certificates.certificate_of(fleet.server / certificates.AUTHORITY, "-")
    server = certificates.certificate_of(fleet.server / certificates.SERVER, "-")
    server.verify_directly_issued_by(root)
    years = (root.not_valid_after_utc - datetime.datetime.now(datetime.UTC)).days / 365.25
    assert 9.9 < years < 10.1
    assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not server.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
