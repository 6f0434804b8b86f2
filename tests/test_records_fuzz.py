"""Round records that are changed, cut, doubled or another run's: a refusal, or what can be priced."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import torch
from msgspec.structs import replace
from torch import Tensor

import fedspike as fs
from fedspike.energy.account import work
from fedspike.energy.profiles import shipped
from fedspike.errors import InputError
from fedspike.experiment.training import resumed
from fedspike.federation.tensor_bytes import pack, unpack
from fedspike.records import checkpoint, reader
from fedspike.records.checkpoint import Checkpoint
from fuzzing import spoilt, spoilt_bytes, withstands
from test_links import PLAN

PROFILE = shipped()["horowitz45-int8"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    fs.run(PLAN, folder)
    return folder / "ann"


@pytest.mark.fuzz
def test_whatever_is_read_can_be_priced(home: Path) -> None:
    content = (home / "rounds.jsonl").read_bytes()
    records = [json.loads(line) for line in content.splitlines()]
    summary = reader.run(home)
    assert summary is not None

    def spoil(random: Random) -> bytes:
        if random.random() < 0.5:
            return spoilt_bytes(content, random)
        return b"\n".join(json.dumps(one).encode() for one in spoilt(records, random))

    def use(lines: bytes) -> None:
        rounds = reader.decode_rounds(lines, home / "rounds.jsonl")
        whole = work(summary.network_operations, rounds)
        whole.trained.bill(whole.training(), PROFILE, "training")

    withstands(use, spoil)


@pytest.fixture(scope="module")
def checkpointed(tmp_path_factory: pytest.TempPathFactory) -> tuple[fs.Plan, Checkpoint]:
    """A state with the server's and the clients' tensors, as a run stores it."""
    plan = replace(
        PLAN,
        data=PLAN.loaded().data,
        algorithm=fs.Scaffold(),
        learner=fs.Backpropagation(optimiser=fs.SGD(), batch_size=8),
    )
    folder = tmp_path_factory.mktemp("stopped")
    fs.run(plan, folder)
    (home,) = (path.parent for path in folder.glob("*/checkpoint"))
    manifest = sorted(home.glob("checkpoint/*/manifest.json"))[-1]
    about = json.loads(manifest.read_bytes())["about"]
    stored = checkpoint.newest(home / "checkpoint", home / "rounds.jsonl", about)
    assert stored is not None
    return plan, stored


CHANGES: list[Callable[[str, Tensor], dict[str, Tensor]]] = [
    lambda *_: {},
    lambda name, tensor: {name: tensor},
    lambda name, tensor: {name: tensor * float("nan")},
    lambda name, tensor: {name: tensor * float("inf")},
    lambda name, tensor: {name: tensor.double()},
    lambda name, tensor: {name: tensor.to(torch.int64)},
    lambda name, tensor: {name: tensor[:-1]},
    lambda name, tensor: {name: tensor.unsqueeze(0)},
    lambda name, tensor: {name: tensor, f"{name}s": tensor},
    lambda name, tensor: {name.replace("0", "7"): tensor},
    lambda name, tensor: {name.rpartition("/")[2]: tensor},
    lambda name, tensor: {name: tensor, "remembered": torch.tensor([[9, 1], [0, 99]])},
]


@pytest.mark.fuzz
def test_a_sealed_checkpoint_is_gone_on_from_or_refused(
    checkpointed: tuple[fs.Plan, Checkpoint],
) -> None:
    plan, stored = checkpointed
    content = pack(stored.tensors)

    def spoil(random: Random) -> bytes | dict[str, Tensor]:
        if random.random() < 0.3:
            return spoilt_bytes(content, random)
        tensors = dict(stored.tensors)
        for _ in range(random.randint(1, 3)):
            name = random.choice(list(tensors))
            tensors |= random.choice(CHANGES)(name, tensors.pop(name))
        return tensors

    def go_on(spoilt: bytes | dict[str, Tensor]) -> None:
        tensors = unpack(spoilt, stored.path, "") if isinstance(spoilt, bytes) else spoilt
        state = resumed(plan, dataclasses.replace(stored, tensors=tensors))
        assert all(weight.isfinite().all() for weight in state.model.values())

    resumed(plan, stored)
    withstands(go_on, spoil)


FAULTS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "cut": lambda lines: lines[:-1],
    "doubled": lambda lines: [*lines, lines[-1]],
    "in another order": lambda lines: lines[::-1],
    "none": lambda _: [],
    "edited": lambda lines: [lines[0].replace(b'"accuracy": 0.', b'"accuracy": 0.1'), *lines[1:]],
    "foreign": lambda lines: [line.replace(b'"samples": 4', b'"samples": 5') for line in lines],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_records_of_another_run_are_not_priced(fault: str, home: Path) -> None:
    path = home / "rounds.jsonl"
    content = path.read_bytes()
    changed = b"".join(FAULTS[fault](content.splitlines(keepends=True)))
    assert changed != content
    try:
        path.write_bytes(changed)
        with pytest.raises(InputError, match=r"rounds\.jsonl"):
            reader.with_rounds(home)
    finally:
        path.write_bytes(content)
    assert len(reader.with_rounds(home)) == 1
