"""What clients remember lies on the disk, and neither a crash nor damage changes a bit of it unseen."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

import fedspike as fs
from fedspike import files
from fedspike.algorithms import Tree
from fedspike.errors import InputError
from fedspike.experiment import document, sweep, training
from fedspike.experiment.run import perform
from fedspike.federation.memories import Memories
from fedspike.federation.state import State
from fedspike.records import checkpoint
from fedspike.records.memory_files import MemoryFiles

SAMPLE = fs.FashionMNISTSample().load()
PLAN = fs.Plan(
    network=fs.ANN(fs.FullyConnected((2,))),
    data=SAMPLE,
    partition=fs.Resampled(6),
    fleet=fs.Fleet(9, 3, dropout=0.2, quorum=0.3),
    learner=fs.Backpropagation(batch_size=3, optimiser=fs.SGD()),
    algorithm=fs.Scaffold(),
    rounds=6,
)
REMEMBERING: dict[str, dict[str, Any]] = {
    "scaffold": {},
    "feddyn": {"algorithm": fs.FedDyn()},
    "mifa": {"algorithm": fs.MIFA()},
    "moon": {"algorithm": fs.MOON()},
    "ditto": {"algorithm": fs.Ditto()},
    "own layers": {"algorithm": fs.FedRep()},
    "unsent": {"algorithm": fs.FedAvg(), "remedies": (fs.TopK(share=0.1),)},
    "two sizes": {"remedies": (fs.HeteroFL(widths=(1.0, 0.5)),)},
    "moments": {
        "algorithm": fs.FedAvg(),
        "learner": fs.Backpropagation(batch_size=3, optimiser=fs.Adam(), optimiser_memory="kept"),
    },
    "not waiting": {"algorithm": fs.FedBuff(buffer=2), "remedies": (fs.TopK(share=0.1),)},
}


def plain(tree: Tree) -> dict[str, Any]:
    return {g: {n: t.tolist() for n, t in own.items()} for g, own in sorted(tree.items())}


def end(plan: fs.Plan, run: Path) -> tuple[Any, Any]:
    """The model, and what clients remember, as the folder of a finished run has it."""
    (manifest,) = sorted(run.glob("checkpoint/round-*/manifest.json"))[-1:]
    about = checkpoint._manifest(manifest, "").about
    stored = checkpoint.newest(run / "checkpoint", run / "rounds.jsonl", about)
    assert stored is not None
    memories = MemoryFiles(run / training.MEMORIES, run, checkpoint.KEPT, "")
    state = training.resumed(plan, stored)
    restored = memories.restore(plan.rounds, stored.memories)
    return plain(state.server), {k: plain(tree) for k, tree in sorted(restored.items())}


@pytest.mark.parametrize("name", REMEMBERING)
def test_rounds_are_the_same_on_the_disk_and_in_memory(name: str, tmp_path: Path) -> None:
    plan = replace(PLAN, **REMEMBERING[name])
    *_, last = fs.rounds(plan)
    fs.run(plan, tmp_path)
    model, remembered = end(plan, tmp_path / plan.name)
    assert model == plain(last.state.server)
    assert remembered == {k: plain(tree) for k, tree in sorted(last.state.clients.items())}
    assert remembered
    names = {p.name for p in (tmp_path / plan.name / training.MEMORIES).iterdir()}
    assert len(names) == (4 if name == "two sizes" else 2)


class Killed(BaseException):
    """The process ended here."""


def test_a_run_that_is_killed_at_any_moment_goes_on_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each write, before it and with half of it done, and once more in the round after."""
    plan = replace(PLAN, rounds=4)
    fs.run(plan, tmp_path / "whole")
    whole = end(plan, tmp_path / "whole" / plan.name)
    write_parts, write_folder = files.write_parts, files.write_folder
    writes = [0]
    die: list[int] = []

    def parts(path: Path, content: dict[int, bytes], root: Path) -> None:
        writes[0] += 1
        if writes[0] in die:
            half = {place: one[: len(one) // 2] for place, one in [*content.items()][:2]}
            write_parts(path, half, root)
            raise Killed
        write_parts(path, content, root)

    def folder(path: Path, contents: dict[str, bytes], root: Path) -> None:
        writes[0] += 1
        if writes[0] in die:
            raise Killed
        write_folder(path, contents, root)
        if -writes[0] in die:
            raise Killed

    monkeypatch.setattr(files, "write_parts", parts)
    monkeypatch.setattr("fedspike.records.checkpoint.write_folder", folder)
    for moments in ([1], [2], [3], [-3], [4, 6], [5, 7], [-6, 7], [8, 11], [12, 13, 14], [-12]):
        writes[0], die[:] = 0, moments
        run = tmp_path / str(moments)
        for _ in range(len(moments)):
            with pytest.raises(Killed):
                fs.run(plan, run)
        fs.run(plan, run)
        assert end(plan, run / plan.name) == whole


def test_a_run_goes_on_from_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the error about a damaged one says."""
    fs.run(PLAN, tmp_path / "whole")
    save, run = checkpoint.save, tmp_path / "half" / PLAN.name

    def saved(*content: Any) -> None:
        save(*content)
        if content[1] == 4:
            raise Killed

    monkeypatch.setattr(checkpoint, "save", saved)
    with pytest.raises(Killed):
        fs.run(PLAN, tmp_path / "half")
    monkeypatch.setattr(checkpoint, "save", save)
    shutil.rmtree(run / "checkpoint" / "round-000004")
    fs.run(PLAN, tmp_path / "half")
    assert end(PLAN, run) == end(PLAN, tmp_path / "whole" / PLAN.name)


def test_damage_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = checkpoint.save

    def saved(*content: Any) -> None:
        save(*content)
        if content[1] == 5:
            raise Killed

    monkeypatch.setattr(checkpoint, "save", saved)
    with pytest.raises(Killed):
        fs.run(PLAN, tmp_path)
    monkeypatch.setattr(checkpoint, "save", save)
    home = tmp_path / PLAN.name / training.MEMORIES
    (table,), (records,) = home.glob("*.table"), home.glob("*.records")
    entries = np.frombuffer(table.read_bytes(), "<u8").reshape(-1, 8)
    one, other = 64 * np.flatnonzero(entries[:, 1] == 5)[:2]  # of the last round
    exchanged = table.read_bytes()[other : other + 8]
    for path, begin, content, said in (
        (table, one, b"\xff", "not what clients remembered after round 5"),
        (table, one, exchanged, "not what clients remembered"),
        (table, one, bytes(64), "not what clients remembered"),
        (records, 0, bytes(records.stat().st_size), "memory of client"),
    ):
        before = path.read_bytes()
        path.write_bytes(before[:begin] + content + before[begin + len(content) :])
        with pytest.raises(InputError, match=said) as caught:
            fs.run(PLAN, tmp_path)
        assert "delete" in caught.value.fix
        path.write_bytes(before)
    copy = shutil.copy(table, table.with_stem(f"{table.stem} (copy)"))
    with pytest.raises(InputError, match="did not write"):
        fs.run(PLAN, tmp_path)
    Path(copy).unlink()
    shutil.move(table, tmp_path)
    with pytest.raises(InputError, match="not what clients remembered"):
        fs.run(PLAN, tmp_path)
    shutil.move(tmp_path / table.name, home)
    fs.run(PLAN, tmp_path)


def test_a_round_writes_what_it_changed_and_files_end(tmp_path: Path) -> None:
    """Records for all clients, and for the cohorts of the last rounds; a checkpoint has none of them."""
    plan = replace(PLAN, rounds=25)
    fs.run(plan, tmp_path)
    (records,) = (tmp_path / plan.name / training.MEMORIES).glob("*.records")
    most = plan.fleet.clients + (checkpoint.KEPT + 1) * 3
    assert 9 <= records.stat().st_size / int(records.stem) <= most
    for path in (tmp_path / plan.name).glob("checkpoint/*/state.safetensors"):
        assert b"client/" not in path.read_bytes()


# ---- the files alone


def memory(number: int, size: int) -> Tree:
    return {"own": {"w": torch.full((size,), float(number))}}


Step = tuple[dict[int, int], bool, bool]


@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.integers(0, 6), st.integers(1, 2), max_size=4),
            st.booleans(),
            st.booleans(),
        ),
        max_size=20,
    )
)
@settings(deadline=None, max_examples=50)
def test_files_are_a_dictionary_that_can_go_back(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Step]
) -> None:
    """Rounds that change some, that are lost, and that are gone back from: to the checkpoint before."""
    folder = tmp_path_factory.mktemp("run")
    files_of = MemoryFiles(folder / "memories", folder, checkpoint.KEPT, "")
    history = [(files_of.restore(0, None), dict[int, Any](), files_of.fingerprint)]
    before = False  # whether there is a checkpoint before the last one
    for number, (changes, lost, back) in enumerate(steps):
        trees = {k: memory(number, size) for k, size in changes.items()}
        memories, plain_ones, _ = history[-1]
        memories = memories.changed(trees)
        files_of.store(len(history), memories, changes)
        if not lost:
            now = {**plain_ones, **{k: plain(tree) for k, tree in trees.items()}}
            before = len(history) > 1
            history.append((memories, now, files_of.fingerprint))
        if back and before:
            before = False
            history.pop()
        if lost or back:
            files_of = MemoryFiles(folder / "memories", folder, checkpoint.KEPT, "")
            restored = files_of.restore(len(history) - 1, history[-1][2])
            history[-1] = (restored, *history[-1][1:])
        memories, plain_ones, _ = history[-1]
        assert {k: plain(tree) for k, tree in memories.items()} == plain_ones
        assert not [*memories.loose()]


def test_memories_stay_where_nobody_stores_them() -> None:
    before = Memories.of({1: memory(1, 1)})
    after = before.changed({1: memory(2, 1), 3: memory(3, 1)})
    assert [*after.loose()] == [1, 3]
    assert (float(before[1]["own"]["w"]), float(after[1]["own"]["w"])) == (1, 2)
    assert (len(before), 3 in before, 3 in after, repr(after)) == (
        *(1, False, True),
        "<what 2 clients remember>",
    )
    state = State(0, {}, after)
    assert State.from_tensors(0, state.tensors()).clients == after


@pytest.fixture
def small_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(".")._replace(free=10**9)
    monkeypatch.setattr("fedspike.federation.room.shutil.disk_usage", lambda _: usage)


@pytest.mark.usefixtures("small_disk")
def test_memories_that_no_disk_can_hold_are_refused_in_the_beginning(tmp_path: Path) -> None:
    plan = replace(PLAN, network=fs.ANN(), fleet=fs.Fleet(10_000, 10), rounds=10_000)
    with pytest.raises(
        InputError, match=r"fleet\.clients = 10000: what clients remember needs 2\.9 GB of disk"
    ):
        fs.run(plan, tmp_path / "run")
    assert not [*(tmp_path / "run").iterdir()]


@pytest.mark.usefixtures("small_disk")
def test_runs_of_a_sweep_share_the_disk(tmp_path: Path) -> None:
    """Each would find room there, both do not."""
    toml = """\
        name = "shared"
        rounds = 10000
        [data]
        kind = "fashion-mnist-sample"
        [partition]
        kind = "resampled"
        samples = 1
        [fleet]
        clients = 3000
        clients_per_round = 10
        [algorithm]
        kind = "scaffold"
        [optimiser]
        kind = "sgd"
        [sweep]
        network = ["ann"]
        seed = [0, 1]
    """
    experiment = sweep.expand(document.parse(toml, "shared.toml"))
    told = perform(experiment, fs.FashionMNISTSample().load(print), tmp_path / "out", "")
    with pytest.raises(InputError, match=r"what clients remember in 2 runs needs 1\.7 GB of disk"):
        next(told)
