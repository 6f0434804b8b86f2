"""`fedspike watch` over the parts of an experiment, one of which is killed; what runs to come will take."""

import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fedspike.files import claimed, json_bytes
from fedspike.records import reader
from fedspike.records.parts_at_work import folder_of, in_hand
from fedspike.records.schema import Agenda, PlannedRun
from fedspike.records.watching import Watcher
from running import BOTH_NETWORKS, FEDSPIKE, finish
from test_watching import ANN, SNN, until, written


def part(folder: Path, number: int) -> "subprocess.Popen[bytes]":
    """`fedspike run --part` of 100,000 rounds for each of two runs."""
    file = folder / "endless.toml"
    file.write_text(BOTH_NETWORKS.replace("rounds = 2", "rounds = 100_000"))
    words = ["run", file.name, "--threads", "1", "--output", "both", "--part", f"{number}/2"]
    return subprocess.Popen([*FEDSPIKE, *words], cwd=folder, stderr=subprocess.DEVNULL)


@pytest.mark.thorough
def test_a_part_that_was_killed_has_stopped_while_another_goes_on(tmp_path: Path) -> None:
    running = {ANN: part(tmp_path, 1), SNN: part(tmp_path, 2)}
    look = Watcher([tmp_path]).look

    def states() -> dict[str, str]:
        return {run.run: run.state for one in look().experiments for run in one.runs}

    try:
        until(look, lambda _: states() == dict.fromkeys((ANN, SNN), "running"))
        running[SNN].kill()
        running[SNN].wait()
        until(look, lambda _: states() == {ANN: "running", SNN: "stopped"}, 10)
        (one,) = look().experiments
        assert (one.state, one.runs[1].left_s) == ("running", None)
        running[SNN] = part(tmp_path, 2)
        until(look, lambda _: states() == dict.fromkeys((ANN, SNN), "running"))
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    assert states() == dict.fromkeys((ANN, SNN), "stopped")


def test_the_runs_of_a_part_are_every_nth_from_its_number(tmp_path: Path) -> None:
    names = ["a", "b", "c", "d", "e"]
    assert in_hand(tmp_path, names) is None
    with claimed(tmp_path / folder_of(2, 3), shared=True):
        assert in_hand(tmp_path, names) == {"b", "e"}
        with claimed(tmp_path / folder_of(1, 2), shared=True):
            assert in_hand(tmp_path, names) == {"a", "b", "c", "e"}
        with claimed(tmp_path / ".part-0-of-2"), claimed(tmp_path / ".part-9-of-10"):
            assert in_hand(tmp_path, names) == {"b", "e"}
    assert in_hand(tmp_path, names) is None


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finish(BOTH_NETWORKS, tmp_path_factory.mktemp("runs") / "both")


@pytest.mark.parametrize(("networks", "left_s"), [(("ann", "snn"), 8.0), (("", ""), None)])
def test_a_run_to_come_takes_what_its_network_does(
    networks: tuple[str, str], left_s: float | None, finished: Path, tmp_path: Path
) -> None:
    """As `fedspike run` reckons; an older agenda without networks says less."""
    record: Any = reader.rounds(finished / SNN)[0]
    home, (ann, snn) = tmp_path / "x", networks
    (home / "one").mkdir(parents=True)
    (home / "one" / "config.toml").write_text("rounds = 4\n")
    written(home / "one" / "rounds.jsonl", record, 1, 2, 3, spent=2.0)
    runs = {
        name: PlannedRun(rounds=4, variant=name, network=network)
        for name, network in (("one", snn), ("alike", snn), ("other", ann))
    }
    agenda = Agenda(name="x", command="fedspike run x.toml", runs=runs)
    (home / reader.AGENDA).write_bytes(json_bytes(agenda))
    with claimed(home):
        (one,) = Watcher([home]).look().experiments
    assert {run.run: run.left_s for run in one.runs} == {"one": 2.0, "alike": left_s, "other": None}


def test_an_agenda_of_before_is_read(tmp_path: Path) -> None:
    old = {"schema": 7, "name": "x", "command": "y", "runs": {"a": {"rounds": 2, "variant": "b"}}}
    (tmp_path / reader.AGENDA).write_bytes(msgspec.json.encode(old))
    agenda = reader.agenda(tmp_path)
    assert agenda is not None
    assert agenda.runs["a"].network == ""


def test_what_is_written_says_the_networks(finished: Path) -> None:
    agenda = reader.agenda(finished)
    assert agenda is not None
    assert [run.network for run in agenda.runs.values()] == ["ann", "snn"]
