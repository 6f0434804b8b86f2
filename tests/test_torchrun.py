"""`fedspike run` in several processes: the same files as of one, whoever dies, and wherever it goes on."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from fedspike.algorithms import FedAvg
from fedspike.cli import main
from fedspike.cli.parser import parser
from fedspike.cli.train import manner_of
from fedspike.errors import InputError
from fedspike.experiment import document, leading, sweep
from fedspike.experiment.run import load, perform
from fedspike.experiment.training import Training
from fedspike.federation.memories import Memories
from fedspike.federation.places.ranks import gloo
from fedspike.federation.places.ranks.gloo import all_ranks
from fedspike.federation.places.ranks.launched import Launched, launched
from fedspike.federation.places.ranks.place import Ranks
from fedspike.federation.places.ranks.process_group import ProcessGroup, SharedError
from fedspike.federation.rounds import rounds
from fedspike.federation.state import State
from fedspike.files import claimed
from in_threads import in_ranks
from places_example import plan_of
from running import BOTH_NETWORKS, finish

ROUNDS = 6
TOML = f"""\
{BOTH_NETWORKS.replace("rounds = 2", f"rounds = {ROUNDS}").replace("clients = 2", "clients = 5")}
[optimiser]
kind = "sgd"
learning_rate = 0.1
[algorithm]
kind = "scaffold"  # its clients remember something
"""
RUNS = ("ann-iid-scaffold-seed0", "snn-iid-scaffold-seed0")
# So many that a signal comes in the middle.
LONG = TOML.replace(f"rounds = {ROUNDS}", "rounds = 40")


RUN = ("-m", "fedspike", "run", "mine.toml", "--output", "out")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def results(folder: Path) -> dict[str, Any]:
    """All that a folder says of its runs, but for when and how long."""

    def plain(line: str) -> Any:
        values = json.loads(line)
        return {name: value for name, value in values.items() if name != "seconds"}

    found: dict[str, Any] = {}
    for run in RUNS:
        rounds = (folder / run / "rounds.jsonl").read_text().splitlines()
        summary = json.loads((folder / run / "summary.json").read_text())
        told = {name: summary[name] for name in ("model_sha256", "predictions", "final_accuracy")}
        found[run] = ([plain(line) for line in rounds], told)
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finish(TOML, tmp_path_factory.mktemp("alone"))


@pytest.fixture(scope="module")
def long_alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finish(LONG, tmp_path_factory.mktemp("long"))


def test_torchrun_gives_what_one_process_gives(alone: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(TOML)
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    ended = subprocess.run(
        [sys.executable, *words, *RUN], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("Engine: ") == 1  # rank 0 speaks
    assert ended.stderr.count("The report: out/report.html") == 1
    assert results(tmp_path / "out") == results(alone)


@pytest.fixture
def two_ranks(
    tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[list[subprocess.Popen[str]]]:
    """Two, started as Slurm starts them, in the middle of their work; a test may have options of its own."""
    (tmp_path / "mine.toml").write_text(LONG)
    told = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    ranks = [
        subprocess.Popen(
            [sys.executable, *RUN, *getattr(request, "param", [])],
            env={**os.environ, **told, "RANK": str(rank)},
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    journal, until = tmp_path / "out" / RUNS[0] / "rounds.jsonl", time.monotonic() + 150
    while not (journal.exists() and journal.read_bytes().count(b"\n") > 2):
        assert time.monotonic() < until
        assert ranks[0].poll() is None
        time.sleep(0.01)
    yield ranks
    for rank in ranks:
        rank.kill()
        rank.communicate()


def test_where_a_rank_dies_the_others_end_and_one_goes_on(
    two_ranks: list[subprocess.Popen[str]], long_alone: Path, tmp_path: Path
) -> None:
    two_ranks[1].kill()
    _, said = two_ranks[0].communicate(timeout=60)
    assert two_ranks[0].returncode == 2
    assert "fedspike: rank 0 lost another of the 2 ranks (" in said
    assert "the run goes on after its last round" in said
    assert "Traceback" not in said
    assert not (tmp_path / "out" / RUNS[1] / "summary.json").exists()
    assert results(finish(LONG, tmp_path / "out")) == results(long_alone)


@pytest.mark.thorough
def test_where_the_disk_is_full_all_end_and_it_goes_on(
    two_ranks: list[subprocess.Popen[str]], long_alone: Path, tmp_path: Path
) -> None:
    """As full as a disk is that takes no file of more than 4 kB: a journal grows, a checkpoint is larger."""
    _, most = resource.prlimit(two_ranks[0].pid, resource.RLIMIT_FSIZE)
    resource.prlimit(two_ranks[0].pid, resource.RLIMIT_FSIZE, (4096, most))
    said = [rank.communicate(timeout=60)[1] for rank in two_ranks]
    assert [rank.returncode for rank in two_ranks] == [2, 2]
    assert said[0].count("fedspike: ") == 1
    assert (
        "cannot be written (File too large)\n  expected: free space on the disk; what was"
        in said[0]
    )
    assert "give it again: it goes on where it stopped" in said[0]
    assert "Traceback" not in said[0]
    assert said[1] == ""
    assert not list((tmp_path / "out").rglob("*.partial"))
    assert not (tmp_path / "out" / RUNS[1] / "summary.json").exists()
    assert results(finish(LONG, tmp_path / "out")) == results(long_alone)


@pytest.mark.thorough
@pytest.mark.parametrize("two_ranks", [["--lost-after", "4"]], indirect=True)
def test_one_that_stands_still_is_waited_for_as_long_as_was_said(
    two_ranks: list[subprocess.Popen[str]],
) -> None:
    two_ranks[1].send_signal(signal.SIGSTOP)
    _, said = two_ranks[0].communicate(timeout=60)
    assert two_ranks[0].returncode == 2
    assert "fedspike: rank 0 lost another of the 2 ranks (Timed out waiting 4000ms" in said


@pytest.mark.parametrize("seconds", ["0", "-1", "1e3", "604801", "0000000601000", "soon", "60"])
def test_how_long_to_wait_is_a_time(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "quickstart", "--lost-after", seconds]) == 2
    assert capsys.readouterr().err.startswith(f"fedspike: --lost-after {seconds}")
    with pytest.raises(InputError, match="all_ranks: lost_after_s"), all_ranks(-1.0):
        raise AssertionError("it waits less than not at all")


@pytest.mark.thorough
def test_ctrl_c_ends_all_and_says_how_to_go_on(two_ranks: list[subprocess.Popen[str]]) -> None:
    for rank in two_ranks:
        rank.send_signal(signal.SIGINT)
    said = [rank.communicate(timeout=60)[1] for rank in two_ranks]
    assert [rank.returncode for rank in two_ranks] == [130, 130]
    assert "out holds every finished round; to go on, with 2 ranks or any other number" in said[0]
    assert "fedspike run mine.toml --output out" in said[0]
    assert said[1] == ""


PAIR = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}


@pytest.mark.parametrize(
    ("changes", "passed"),
    [
        ({"WORLD_SIZE": None}, "RANK = 1 without WORLD_SIZE"),
        ({"RANK": None}, "WORLD_SIZE = 2 without RANK"),
        ({"RANK": "one"}, "RANK = one"),
        ({"RANK": ""}, "RANK = nothing"),
        ({"RANK": "-1"}, "RANK = -1"),
        ({"RANK": "²"}, "RANK = ²"),
        ({"RANK": "2"}, "RANK = 2 of WORLD_SIZE = 2"),
        ({"RANK": "9" * 5000}, "RANK = 9"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE = 0"),
        ({"WORLD_SIZE": "1000000"}, "WORLD_SIZE = 1000000"),
        ({"MASTER_ADDR": None}, "WORLD_SIZE = 2 without MASTER_ADDR"),
        ({"MASTER_PORT": None}, "WORLD_SIZE = 2 without MASTER_PORT"),
        ({"MASTER_PORT": "70000"}, "MASTER_PORT = 70000"),
        ({"LOCAL_RANK": "x"}, "LOCAL_RANK = x"),
    ],
)
def test_a_bad_environment_is_refused(
    changes: Mapping[str, str | None],
    passed: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in {**PAIR, **changes}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert main(["run", "quickstart"]) == 2
    assert capsys.readouterr().err.startswith(f"fedspike: {passed}")


def test_one_rank_of_one_needs_nobody() -> None:
    assert launched({"RANK": "0", "WORLD_SIZE": "1"}) == launched({})


@pytest.mark.parametrize(
    ("option", "passed"),
    [
        (["--measure"], "--measure with ranks on several machines"),
        (["--workers", "2"], "--workers 2 in each of 2 ranks"),
    ],
)
def test_what_several_ranks_cannot_do_is_refused(option: list[str], passed: str) -> None:
    options = parser().parse_args(["run", "quickstart", *option])
    with pytest.raises(InputError) as error:
        manner_of(options, launched(PAIR))
    assert error.value.passed == passed
    if option == ["--measure"]:
        assert manner_of(options, launched({**PAIR, "LOCAL_WORLD_SIZE": "2"})).workers == 1


def test_a_search_is_not_for_ranks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in PAIR.items():
        monkeypatch.setenv(name, value)
    assert main(["tune", "quickstart"]) == 2
    assert capsys.readouterr().err.startswith("fedspike: a search in each of 2 ranks")


@pytest.mark.parametrize("listens", [False, True])
def test_who_does_not_meet_the_others_says_so(
    listens: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody is at the port, and where somebody is who has never heard of us."""
    monkeypatch.setattr(gloo, "GRACE_S", 2.0)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        if listens:
            other.listen()
        for name, value in {**PAIR, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": f"{port}"}.items():
            monkeypatch.setenv(name, value)
        with (
            pytest.raises(InputError, match=f"rank 1 did not meet the other 1 at .* = {port}"),
            gloo.joined(Launched(1, 2, "127.0.0.1", port, 0, None), to_meet_s=0.5),
        ):
            raise AssertionError("it met somebody")


def ends_of(size: int, folder: Path, toml: str, others: str = "") -> list[InputError]:
    """How each rank of an experiment ends, where the others than rank 0 may have another file."""

    def work(group: ProcessGroup) -> InputError:
        text = others if others and group.rank else toml
        experiment = sweep.expand(document.parse(text, "tiny.toml"))
        dataset = load(experiment, lambda _: None)
        training = Training(ranks=Ranks(group))
        with pytest.raises(InputError) as error:
            list(perform(experiment, dataset, folder, "fedspike run", training))
        return error.value

    return in_ranks(size, work)


def test_ranks_with_other_settings_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    ends = ends_of(3, folder, TOML, TOML.replace("rounds = 6", "rounds = 5"))
    for end in ends:
        assert isinstance(end, SharedError)
        assert end.passed.startswith(f"rank 1 has {RUNS[0]}'s settings ")
    assert not folder.exists()


def test_a_folder_in_use_is_refused_by_all(tmp_path: Path) -> None:
    with claimed(tmp_path):
        ends = ends_of(2, tmp_path, TOML)
    assert {end.passed for end in ends} == {f"{tmp_path} is in use by another fedspike"}


def events_in_ranks(size: int, folder: Path) -> list[int]:
    """How many events each rank tells of while all do the runs, as threads."""
    experiment = sweep.expand(document.parse(TOML, "tiny.toml"))
    dataset = load(experiment, lambda _: None)

    def work(group: ProcessGroup) -> int:
        training = Training(ranks=Ranks(group))
        return sum(1 for _ in perform(experiment, dataset, folder, "fedspike run", training))

    return in_ranks(size, work)


def test_ranks_in_threads_give_what_one_gives(alone: Path, tmp_path: Path) -> None:
    """An experiment in pieces: the first rounds of each run, then it goes on with other ranks."""
    assert events_in_ranks(3, tmp_path)[1:] == [0, 0]
    assert results(tmp_path) == results(alone)


def test_what_clients_remember_is_told_in_parts_and_lies_on_the_disk_of_each_rank(
    alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[leading.Remembered] = []
    on_disk: list[bool] = []
    whole, restored = leading.tell, leading.Follower._next_round

    def tell(group: ProcessGroup, message: leading.Message, state: State | None = None) -> None:
        told.extend([message] if isinstance(message, leading.Remembered) else [])
        whole(group, message, state)

    def next_round(follower: leading.Follower) -> None:
        restored(follower)
        assert follower.state is not None
        on_disk.append(not [*Memories.of(follower.state.clients).loose()])

    monkeypatch.setattr(leading, "TOLD_AT_ONCE", 1)
    monkeypatch.setattr(leading, "tell", tell)
    monkeypatch.setattr(leading.Follower, "_next_round", next_round)
    events_in_ranks(2, tmp_path)
    assert results(tmp_path) == results(alone)
    assert len(told) == 2 * 5  # both runs went on after their first rounds, of five clients each
    assert all(on_disk)
    assert len(on_disk) >= 2 * ROUNDS


def test_a_folder_that_cannot_be_written_to_ends_all(tmp_path: Path) -> None:
    """In the middle, as where the disk is full: what was stored stays."""
    home = tmp_path / RUNS[1]
    home.mkdir()
    (home / "checkpoint").write_text("in the way")
    (end,) = {end.passed for end in ends_of(3, tmp_path, TOML)}
    assert end.startswith(f"{home}/checkpoint")
    assert (tmp_path / RUNS[0] / "checkpoint").is_dir()


def test_a_script_of_its_own_is_one_rank_of_one() -> None:
    with all_ranks() as place:
        assert place.rank == 0
        assert next(rounds(plan_of(FedAvg()), place)).number == 1
