"""The runs of a sweep side by side: in processes of one machine, and in parts that share a folder."""

import errno
import fcntl
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from fedspike.cli import main
from fedspike.errors import InputError
from fedspike.experiment import document, sweep
from fedspike.experiment.processes import Processes
from fedspike.experiment.run import load, perform
from fedspike.experiment.training import Share, Training, Workers
from fedspike.files import LOCK, claimed
from fedspike.records import reader
from fedspike.records.events import Finished, Skipped, Started, Trained
from running import BOTH_NETWORKS, finish

TOML = BOTH_NETWORKS.replace('["ann", "snn"]', '["ann", "snn"]\nseed = [0, 1]')
EXPERIMENT = sweep.expand(document.parse(TOML, "tiny.toml"))
NAMES = [run.name for run in EXPERIMENT.runs]
DATA = load(EXPERIMENT, lambda _: None)


def events(folder: Path, **training: Any) -> Generator[Any, None, None]:
    return perform(EXPERIMENT, DATA, folder, "fedspike run", Training(**training))


def models(folder: Path) -> dict[str, str]:
    return {run.name: run.model_sha256 for run in reader.read(folder).runs}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return models(finish(TOML, tmp_path_factory.mktemp("alone")))


def test_workers_do_all_runs_as_one_process_does(alone: dict[str, str], tmp_path: Path) -> None:
    """One of them was begun before; another cannot be gone on with, which is said as ever."""
    begun = events(tmp_path)
    assert [type(next(begun)) for _ in range(2)] == [Started, Trained]
    begun.close()
    told = list(events(tmp_path, workers=Workers(2, 1)))
    went_on = [event for event in told if isinstance(event, Started) and event.run == NAMES[0]]
    assert [event.rounds_done for event in went_on] == [1, 2]  # its first rounds, then the rest
    assert sorted(event.run for event in told if isinstance(event, Finished)) == sorted(NAMES)
    assert sum(isinstance(event, Trained) for event in told) == 4 * 2 - 1
    assert models(tmp_path) == alone
    again = list(events(tmp_path, workers=Workers(2, 1)))
    assert [type(event) for event in again] == [Skipped] * 4
    (tmp_path / NAMES[2] / "summary.json").unlink()
    damaged = tmp_path / NAMES[2] / "checkpoint" / "round-000002" / "state.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"round-000002/state\.safetensors"):
        list(events(tmp_path, workers=Workers(2, 1)))


class Job(Struct):
    seconds: float


class Over(Struct):
    pid: int


SLEEPING = """
import os, sys, time
import msgspec
from fedspike.experiment.processes import serve

Over = msgspec.defstruct("Over", [("pid", int)])

def prepare(line):
    def answer(job):
        yield Over(os.getpid())
        time.sleep(60)
    return answer

sys.exit(serve(prepare))
"""


def gone(pid: int) -> bool:
    """Whether there is no such process, or what is left of it waits for whoever started it."""
    try:
        return " Z " in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_process_ends_at_once_when_nobody_is_left_to_tell() -> None:
    with ExitStack() as stack:
        crew = Processes[Over](SLEEPING, [Job(0.0)], Over, Over, stack)
        crew.start(Job(60.0))
        pid, began = crew.next().pid, time.monotonic()
        stack.close()
        assert time.monotonic() - began < 4
        assert gone(pid)


def test_a_process_that_is_killed_ends_all_with_what_to_do() -> None:
    with ExitStack() as stack:
        crew = Processes[Over](SLEEPING, [Job(0.0)], Over, Over, stack)
        crew.start(Job(60.0))
        subprocess.run(["kill", "-9", str(crew.next().pid)], check=True)
        with pytest.raises(InputError, match=r"ended with code -9[^$]*fewer with --workers"):
            crew.next()


def test_ctrl_c_ends_the_workers_and_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(TOML.replace("rounds = 2", "rounds = 5000"))
    words = ["-m", "fedspike", "run", "mine.toml", "--output", "out", "--workers", "2"]
    command = subprocess.Popen(
        [sys.executable, *words], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 150
    while not all((tmp_path / "out" / name / "rounds.jsonl").exists() for name in NAMES[:2]):
        assert time.monotonic() < until
        assert command.poll() is None
        time.sleep(0.02)
    workers = children(command.pid)
    command.send_signal(signal.SIGINT)
    _, said = command.communicate(timeout=60)
    assert command.returncode == 130
    assert "out holds every finished round; to go on:" in said
    assert "run mine.toml --output out --workers 2" in said
    assert len(workers) == 2
    while not all(map(gone, workers)):
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.thorough
def test_where_the_disk_is_full_all_workers_end_and_it_goes_on(tmp_path: Path) -> None:
    """As full as a disk is that takes no file of more than 4 kB from one of them."""
    text = BOTH_NETWORKS.replace("rounds = 2", "rounds = 40")
    experiment, before = sweep.expand(document.parse(text, "tiny.toml")), children(os.getpid())
    training, folder = Training(workers=Workers(2, 1)), tmp_path / "out"
    told = perform(experiment, DATA, folder, "fedspike run", training)
    while not isinstance(next(told), Trained):
        pass
    workers = [pid for pid in children(os.getpid()) if pid not in before]
    assert len(workers) == 2
    _, most = resource.prlimit(workers[0], resource.RLIMIT_FSIZE)
    resource.prlimit(workers[0], resource.RLIMIT_FSIZE, (4096, most))
    with pytest.raises(InputError, match="File too large") as caught:
        list(told)
    assert caught.value.fix.endswith("give it again: it goes on where it stopped")
    assert all(map(gone, workers))
    assert not (folder / "summary.json").exists()
    assert models(finish(text, folder)) == models(finish(text, tmp_path / "alone"))
    assert not list(folder.rglob("*.partial"))  # one that was ended while it wrote may leave some


def test_parts_do_all_runs_whoever_is_first(alone: dict[str, str], tmp_path: Path) -> None:
    """Side by side in one folder, which is theirs alone; the last one's summary is of all."""
    one, other = (events(tmp_path, share=Share(number, 2)) for number in (1, 2))
    assert {next(one).run, next(other).run} == {NAMES[0], NAMES[1]}
    with pytest.raises(InputError, match=f"{tmp_path} is in use by another fedspike"):
        next(events(tmp_path))
    with pytest.raises(InputError, match=f"{NAMES[0]} is in use by another fedspike"):
        next(events(tmp_path, share=Share(1, 2)))
    assert {event.run for event in other} == {NAMES[1], NAMES[3]}
    assert sorted(models(tmp_path)) == sorted([NAMES[1], NAMES[3]])
    assert {event.run for event in one} == {NAMES[0], NAMES[2]}
    assert models(tmp_path) == alone


def test_of_more_parts_than_runs_the_last_have_nothing_to_do(tmp_path: Path) -> None:
    assert Share(5, 7).runs(EXPERIMENT.runs) == ()
    assert list(events(tmp_path, share=Share(5, 7))) == []


@pytest.mark.parametrize(
    ("options", "passed"),
    [
        (["--part", "0/2"], "--part 0/2"),
        (["--part", "3/2"], "--part 3/2"),
        (["--part", "2"], "--part 2"),
        (["--part", "1/2/3"], "--part 1/2/3"),
        (["--part", "1/" + "9" * 5000], "--part 1/9"),
        (["--workers", "0"], "--workers 0"),
        (["--workers", "many"], "--workers many"),
        (["--workers", "2", "--measure"], "--measure with --workers 2"),
    ],
)
def test_what_cannot_be_is_refused(
    options: list[str], passed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "quickstart", *options]) == 2
    assert capsys.readouterr().err.startswith(f"fedspike: {passed}")


def test_a_part_says_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(BOTH_NETWORKS)
    assert main(["run", "mine.toml", "--output", "out", "--part", "2/2"]) == 0
    said = capsys.readouterr().err
    assert "1 of 2 runs are finished; a report of these: fedspike report out" in said
    assert not Path("out/report.html").exists()
    assert main(["run", "mine.toml", "--output", "out", "--part", "1/2"]) == 0
    assert "The report: out/report.html" in capsys.readouterr().err


def test_where_folders_cannot_be_locked_a_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on NFS, whose locks are of files that can be written to."""
    flock = fcntl.flock

    def of_files(descriptor: int, how: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").is_dir():
            raise OSError(errno.EBADF, "Bad file descriptor")
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", of_files)
    with (
        claimed(tmp_path),
        pytest.raises(InputError, match="is in use by another fedspike"),
        claimed(tmp_path),
    ):
        raise AssertionError("two have it")
    with claimed(tmp_path, shared=True), claimed(tmp_path, shared=True):
        assert (tmp_path / LOCK).is_file()

    def of_none(*_: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", of_none)
    with pytest.raises(InputError, match="cannot be locked"), claimed(tmp_path):
        raise AssertionError("there are no locks")
