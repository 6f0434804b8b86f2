"""The units for systemd: read by its own parser, and run by itself where this machine allows it."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fedspike.cli import main
from fedspike.deploy import flower, service

ANALYZE = shutil.which("systemd-analyze")
MANAGER = Path("/lib/systemd/systemd")
NAME = 'a fleet, 50 % "off" \\ $HOME \N{SNOWMAN}'
OPTIONS = ("--nodes", "1", "--set", "data.kind=fashion-mnist-sample")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fleet's folder, with what a shell, systemd and others take for their own in its name."""
    home = tmp_path_factory.mktemp("service") / NAME
    port = str(flower.free_port())
    assert main(["fleet", "init", str(home), "fleet", *OPTIONS, "--port", port]) == 0
    return home


@pytest.fixture(autouse=True)
def _tests_lie_among_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "ITS_OWN", (Path("/nowhere"),))


def written(output: Path, *words: str | Path) -> str:
    """A unit, as the command line writes it into a file."""
    options = map(str, (*words, "--output", output))
    assert main(["fleet", "service", *options]) == 0
    return output.read_text()


def values(unit: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", unit, re.MULTILINE)


@pytest.mark.parametrize("manager", [(), ("--system",)])
def test_a_unit_starts_the_command_in_full(
    made: Path, tmp_path: Path, manager: tuple[str, ...]
) -> None:
    """By its own interpreter, wherever it is started, and may write into one folder."""
    node, data = made / "nodes" / "node-0", made / "nodes" / "node-0" / "data"
    for folder, more, words in (
        (made, (), ["server", str(made)]),
        (node, (), ["node", str(node)]),
        (node, ("--data", str(data)), ["node", str(node), "--data", str(data)]),
    ):
        unit = written(tmp_path / "a.service", folder, *more, *manager)
        (command,), (writable,) = values(unit, "ExecStart"), values(unit, "ReadWritePaths")
        assert command.startswith(":")
        split = [word.replace("%%", "%") for word in shlex.split(command[1:])]
        assert split == [sys.executable, "-m", "fedspike", "fleet", *words]
        assert shlex.split(writable) == [str(folder).replace("%", "%%")]
        assert values(unit, "User") == ([folder.owner()] if manager else [])
        assert values(unit, "SuccessExitStatus") == ["130 143"]
        assert values(unit, "ProtectSystem") == ["strict"]


def test_a_unit_is_what_systemd_understands(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if ANALYZE is None:
        pytest.skip("no systemd-analyze on this machine")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    for number, folder in enumerate((made, made / "nodes" / "node-0")):
        for of_system in (False, True):
            file = tmp_path / f"{number}.service"
            unit = written(file, folder, *(["--system"] if of_system else []))
            manager = "--system" if of_system else "--user"
            verify = [ANALYZE, manager, "verify", "--man=no", str(file)]
            looked = subprocess.run(verify, capture_output=True, text=True, timeout=60)
            about_it = [line for line in looked.stderr.splitlines() if file.name in line]
            assert (looked.returncode, about_it) == (0, []), looked.stderr
            file.write_text(unit.replace("PrivateTmp", "PrivateTemper"))
            spoilt = subprocess.run(verify, capture_output=True, text=True, timeout=60)
            assert "PrivateTemper" in spoilt.stderr


def test_only_a_low_port_of_a_system_takes_a_privilege(made: Path, tmp_path: Path) -> None:
    file = shutil.copytree(made, tmp_path / "low", dirs_exist_ok=True) / "fleet.toml"
    for port, given in ((443, ["CAP_NET_BIND_SERVICE"]), (8000, [])):
        file.write_text(f'host = "127.0.0.1"\nport = {port}\n')
        unit = written(tmp_path / "a.service", file.parent, "--system")
        assert values(unit, "AmbientCapabilities") == given
        assert values(unit, "CapabilityBoundingSet") == (given or [""])


def test_the_unit_goes_to_standard_output_and_how_to_install_it_is_said(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node = made / "nodes" / "node-0"
    assert main(["fleet", "service", str(node), "--data", str(node / "data")]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("[Unit]")
    write, enable = [line.strip() for line in err.splitlines() if line.startswith("  ")]
    home = Path.home() / ".config/systemd/user/fedspike-node-0.service"
    words = ["fedspike", "fleet", "service", str(node), "--data", str(node / "data")]
    assert shlex.split(write) == [*words, "--output", str(home)]
    assert shlex.split(enable) == ["systemctl", "--user", "enable", "--now", str(home)]


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["nowhere"], "fleet.toml"),
        ([".", "--data", "fleet.toml"], "for a server"),
        (["nodes/node-0", "--data", "none.npz"], "no such file"),
        (["/tmp/fleet"], "among temporary files"),
        (["two\nlines"], "control characters"),
    ],
)
def test_what_no_service_can_have_is_said(
    made: Path,
    words: list[str],
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(made)
    if fault == "among temporary files":
        monkeypatch.undo()
    assert main(["fleet", "service", *words]) == 2
    out, err = capsys.readouterr()
    assert fault in err
    assert out == ""


IN_ITS_OWN_WORLD = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system "$XDG_RUNTIME_DIR"
mount -t proc proc /proc
umount -l /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
"$MANAGER" --user &
manager=$!
for _ in $(seq 50); do systemctl --user is-system-running >/dev/null 2>&1 && break; sleep 0.2; done
systemctl --user enable --now "$UNITS/server.service" "$UNITS/node.service"
online() { "$PYTHON" -m fedspike fleet status --json "$FOLDER" 2>/dev/null | grep -q '"online": true'; }
for _ in $(seq 60); do online && break; sleep 1; done
online && echo "the node is online"
kill -9 "$(systemctl --user show -p MainPID --value node.service)"
again() { systemctl --user show -p NRestarts --value node.service; }
for _ in $(seq 60); do test "$(again)" = 1 && break; sleep 1; done
echo "started again: $(again)"
for _ in $(seq 60); do systemctl --user is-active node.service >/dev/null && break; sleep 1; done
sleep 8
systemctl --user stop node.service server.service
for name in node server; do
    echo "$name: $(systemctl --user show -p ActiveState,Result,ExecMainStatus $name.service | xargs)"
done
kill "$manager"
"""


@pytest.mark.fleet
def test_systemd_keeps_a_server_and_a_node_going(tmp_path: Path) -> None:
    """A user's systemd in namespaces of its own: started, killed and started again, stopped as wished."""
    unshare = ["unshare", "--mount", "--pid", "--cgroup", "--fork"]
    allowed = shutil.which("unshare") and not subprocess.run([*unshare, "true"]).returncode
    if not (MANAGER.exists() and allowed):
        pytest.skip("no systemd on this machine, or no namespaces for who runs the tests")
    made, units, outside = tmp_path / NAME, tmp_path / "units", tmp_path / "outside"
    init = [sys.executable, "-m", "fedspike", "fleet", "init", str(made), "fleet", *OPTIONS]
    port = str(flower.free_port())
    assert subprocess.run([*init, "--port", port], timeout=100).returncode == 0
    outside.mkdir()
    for name, folder in (("server", made), ("node", made / "nodes" / "node-0")):
        unit = service.service(folder, None).text(of_system=False)
        more = tmp_path / ".config" / "systemd" / "user" / f"{name}.service.d"
        more.mkdir(parents=True)
        units.mkdir(exist_ok=True)
        assert "PrivateTmp=yes\n" in unit
        (units / f"{name}.service").write_text(unit.replace("PrivateTmp=yes\n", ""))
        inside, beside = (service._quoted(str(to / "probe")) for to in (folder, outside))
        look = f"ExecStartPre=touch {inside}\nExecStartPre=-touch {beside}\n"
        (more / "probe.conf").write_text(f"[Service]\n{look}")
    around = {
        **{
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(tmp_path),
            "PYTHON": sys.executable,
        },
        **{"XDG_RUNTIME_DIR": "/run/user", "UNITS": str(units)},
        **{"FOLDER": str(made), "MANAGER": str(MANAGER)},
    }
    command = [*unshare, "--kill-child", "bash", "-c", IN_ITS_OWN_WORLD]
    ran = subprocess.run(command, env=around, capture_output=True, text=True, timeout=400)
    print(f"\n{ran.stdout}")
    assert ran.returncode == 0, ran.stderr
    assert "the node is online" in ran.stdout
    assert "started again: 1" in ran.stdout
    for name in ("node", "server"):
        (ended,) = re.findall(rf"^{name}: (.*)$", ran.stdout, re.MULTILINE)
        assert set(ended.split()) == {
            "ActiveState=inactive",
            "Result=success",
            "ExecMainStatus=143",
        }
    assert (made / "probe").exists()
    assert (made / "nodes" / "node-0" / "probe").exists()
    assert list(outside.iterdir()) == []
