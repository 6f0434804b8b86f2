"""Closed, full and broken streams, no home, no folder, names in no alphabet: an answer, and no traceback."""

import json
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fedspike.cli import main
from fedspike.files import json_bytes
from fedspike.machine import SPINS
from fedspike.records import writer
from fedspike.records.environment import environment
from running import finish, sample
from test_cli import TINY

MAIN = "import sys; from fedspike.cli import main; sys.exit(main())"
FEDSPIKE = shlex.join([sys.executable, "-c", MAIN])
# Without a name in the system's list of users, as a container is run under any number.
HOMELESS = shlex.join(
    [sys.executable, "-c", f"import pwd; del pwd.getpwuid; pwd.getpwuid = {{}}.__getitem__; {MAIN}"]
)
NOT_UTF_8 = b"caf\xe9"
FULL = "fedspike: standard output: No space left on device"

# What Python tells its hooks before it looks an address up, sends anything, or starts another program.
SENDING = ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.get", "subprocess.Popen")


def more(*values: Any) -> Any:
    """A further case, for `make thorough`."""
    return pytest.param(*values, marks=pytest.mark.thorough)


def shell(
    command: str, folder: Path | bytes = Path(), **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """A shell's command in a folder; FEDSPIKE there is the command line of this interpreter."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command.replace("FEDSPIKE", FEDSPIKE)],
        capture_output=True,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        timeout=100,
    )


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("FEDSPIKE presets <&- >&- 2>&-", 0, ""),
        ("FEDSPIKE energy profiles --json >/dev/full", 2, FULL),
        more("FEDSPIKE presets >&-", 0, ""),
        more("FEDSPIKE presets --show x 2>&-", 2, ""),
        more("FEDSPIKE presets --show x 2>/dev/full", 2, ""),
        more("FEDSPIKE presets >/dev/full", 2, FULL),
        more("FEDSPIKE --help >/dev/full", 2, FULL),
        more("FEDSPIKE energy profiles --json >/dev/full 2>&1", 2, ""),
        more("FEDSPIKE presets --show x 2>&1 >&- | true", 2, ""),
    ],
)
def test_streams_that_are_closed_full_or_broken(command: str, code: int, said: str) -> None:
    answer = shell(command)
    assert answer.returncode == code, answer
    assert answer.stderr.startswith(said.encode())
    assert said or not answer.stderr


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("command", "code"),
    [
        (f"env -u HOME {HOMELESS} run tiny.toml <&- >&- 2>&-", 0),
        ("FEDSPIKE run tiny.toml --json >/dev/full 2>/dev/full", 2),
    ],
)
def test_nothing_is_trained_in_vain(command: str, code: int, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(NOT_UTF_8)
    folder.mkdir()
    (folder / "tiny.toml").write_text(TINY)
    answer = shell(command, folder)
    assert (answer.returncode, answer.stderr) == (code, b"")
    found, usual = folder / "runs" / "tiny", finish(TINY, tmp_path / "usual")
    for name in ("ann-iid-seed0", "snn-iid-seed0"):
        model = Path(name) / "model.safetensors"
        assert (found / model).read_bytes() == (usual / model).read_bytes()
    assert (found / "report.html").exists()


@pytest.mark.parametrize(
    "environment",
    [{"HOME": "", "TERM": "dumb", "LC_ALL": "C"}, more({"HOME": "/proc/none"})],
)
def test_any_home_and_terminal_will_do(environment: dict[str, str]) -> None:
    answer = shell("FEDSPIKE doctor --json", **environment)  # type: ignore[arg-type]
    assert answer.returncode == 0, answer
    assert not answer.stderr
    assert "cache_folder" in json.loads(answer.stdout)


WAITS = {"OMP_DISPLAY_ENV": "verbose", "OMP_WAIT_POLICY": "", "GOMP_SPINCOUNT": ""}


@pytest.mark.parametrize(
    ("own", "spins"),
    [({}, SPINS), ({"GOMP_SPINCOUNT": "77"}, "77"), ({"OMP_WAIT_POLICY": "passive"}, "0")],
)
def test_threads_that_wait_sleep_soon(own: dict[str, str], spins: str) -> None:
    """As torch's own OpenMP understands it, which says so when it is loaded: here without all of torch."""
    assert torch.__file__
    found = [*Path(torch.__file__).parent.glob("lib/libgomp*")]
    if not found:
        pytest.skip("torch has another OpenMP here")
    around = {name: value for name, value in {**os.environ, **WAITS, **own}.items() if value}
    code = f"import ctypes, fedspike; ctypes.CDLL({str(found[0])!r})"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=around)
    assert f"GOMP_SPINCOUNT = '{spins}'" in said.stderr


def test_a_record_hides_the_home_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert finished_source(monkeypatch, "/", "/usr/x") == "/usr/x"
    assert (
        finished_source(monkeypatch, "/home/me", "/home/me/x of /home/mead/y")
        == "~/x of /home/mead/y"
    )
    assert finished_source(monkeypatch, "/home/me", "/caf\udce9") == "/caf\\udce9"


def finished_source(monkeypatch: pytest.MonkeyPatch, home: str, source: str) -> str:
    """What the summary of an experiment says of where its data were found."""
    monkeypatch.setenv("HOME", home)
    dataset = replace(sample(tested=10), source=source)
    made = writer.of_experiment("tiny", "command", environment(), dataset, (), "now")
    return str(json.loads(json_bytes(made))["dataset"]["source"])


def test_a_folder_that_is_gone_is_said(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    answer = shell("cd gone; rmdir ../gone; FEDSPIKE run quickstart", tmp_path)
    assert answer.returncode == 2, answer
    assert b"fedspike: the current folder cannot be found" in answer.stderr
    assert b"Traceback" not in answer.stderr


@pytest.mark.parametrize(
    "words",
    [
        *(
            "run N.toml",
            "run quickstart --output N",
            "run quickstart --use N.py",
            "data check N.npz",
        ),
        *("run quickstart --set data.path=N", "run quickstart --data-dir N", "report N", "N"),
        *("energy N", "energy profiles N.toml", "fleet init N quickstart --nodes 2", "explain N"),
    ],
)
def test_a_name_that_is_not_utf_8_is_refused(
    words: str, capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words.replace("N", os.fsdecode(NOT_UTF_8)).split()) == 2
    said = capfd.readouterr().err
    assert said.startswith("fedspike: the name ")
    assert "is not UTF-8" in said
    assert not list(tmp_path.iterdir())


def test_a_fleet_is_not_made_where_flower_cannot_write_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / os.fsdecode(NOT_UTF_8)
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert main(["fleet", "local", "2"]) == 2
    assert "is not UTF-8" in capfd.readouterr().err


@pytest.mark.thorough
def test_a_stream_without_a_letter_shows_its_number() -> None:
    answer = shell("FEDSPIKE explain bntt", PYTHONIOENCODING="ascii")
    assert answer.returncode == 0, answer
    assert answer.stdout.isascii()


@contextmanager
def overheard() -> Iterator[list[Any]]:
    """All by which this process might send something, as it happens."""
    heard: list[Any] = []
    listening = True

    def hear(event: str, what: tuple[Any, ...]) -> None:
        if listening and event.startswith(SENDING):
            heard.append((event, what[0] if event == "subprocess.Popen" else what[1:]))

    sys.addaudithook(hear)  # for good
    try:
        yield heard
    finally:
        listening = False


def test_nothing_is_sent_unasked(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with overheard() as heard:
        with suppress(OSError), socket.create_connection(("127.0.0.1", 1)):
            pass
        subprocess.run(["true"], check=True)
        assert {event for event, _ in heard} >= {"socket.connect", "subprocess.Popen"}
        heard.clear()
        (tmp_path / "tiny.toml").write_text(TINY)
        folder = str(tmp_path / "runs")
        for words in (
            ["run", str(tmp_path / "tiny.toml"), "--set", "rounds=1", "--output", folder],
            *(["energy", folder], ["doctor"], ["presets"], ["explain", "code"]),
        ):
            assert main(words) == 0, capfd.readouterr()
    assert {what for event, what in heard if event == "subprocess.Popen"} <= {"git"}
    assert [event for event, _ in heard if event != "subprocess.Popen"] == []
