"""A fleet with seats that nobody has taken yet: who holds nothing is not asked, and may come later."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Message
from msgspec import structs
from safetensors.torch import load_file

from fedspike.algorithms import Scaffold
from fedspike.cli import main
from fedspike.data import Dataset, FashionMNISTSample, load_data
from fedspike.data.dataset import ignore
from fedspike.data.partition import OnDevices
from fedspike.deploy import beginning
from fedspike.deploy.folder import FleetFolder
from fedspike.deploy.trainer import happening
from fedspike.errors import InputError
from fedspike.experiment.document import Document
from fedspike.experiment.sweep import Experiment, Run
from fedspike.federation.devices import Devices, Fleet
from fedspike.federation.places.flower import seats
from fedspike.federation.places.flower.absent import FILE as ABSENT
from fedspike.federation.places.flower.node import Device
from fedspike.federation.places.flower.nodes import Nodes, Registered
from fedspike.federation.plan import Plan
from fedspike.federation.rounds import Round, rounds
from fedspike.learning import Backpropagation
from fedspike.networks import ANN, FullyConnected
from fedspike.parts.optimisers import SGD
from fedspike.records.events import Trained
from fedspike.records.schema import RoundRecord
from fleet_in_process import InProcess, dealt_out
from replaying import NOBODY, Seated, replayed

SHARDS = (np.arange(70, 10, -1), np.arange(500, 530), np.arange(900, 945), np.arange(1500, 1600))


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_data(FashionMNISTSample())


def plan_of(dataset: Dataset, shards: tuple[np.ndarray, ...], **fleet: Any) -> Plan:
    return Plan(
        network=ANN(architecture=FullyConnected(hidden=(8,))),
        data=dataset,
        partition=Seated(shards),
        fleet=Fleet(clients=len(shards), **fleet),
        algorithm=Scaffold(),
        learner=Backpropagation(optimiser=SGD(), batch_size=16),
        rounds=3,
    )


def told(round: Round) -> tuple[Any, ...]:
    tensors = {name: tensor.tolist() for name, tensor in round.state.tensors().items()}
    return round.accuracy, round.clients, round.missing, round.skipped, tensors


@pytest.mark.parametrize("fleet", [{}, {"clients_per_round": 2}, {"quorum": 1.0, "dropout": 0.3}])
def test_an_open_seat_is_no_client(dataset: Dataset, fleet: dict[str, Any]) -> None:
    """Two open seats change nothing: cohort, quorum and SCAFFOLD's share are those of three clients."""
    three = [told(each) for each in rounds(plan_of(dataset, SHARDS[:3], **fleet))]
    seats = plan_of(dataset, (*SHARDS[:3], NOBODY, NOBODY), **fleet)
    assert [told(each) for each in rounds(seats)] == three
    assert [sum(counts) for counts in seats.class_counts()] == [60, 30, 45, 0, 0]


def test_who_takes_a_seat_takes_part_from_then_on(dataset: Dataset) -> None:
    """Two clients for a round, a third from then on, whose own control variate is 0 as it joins."""
    (first, *_) = rounds(plan_of(dataset, (*SHARDS[:2], NOBODY, NOBODY)))
    later = list(rounds(plan_of(dataset, (*SHARDS[:3], NOBODY)), state=first.state))
    assert set(first.clients) == {0, 1}
    assert [set(each.clients) for each in later] == [{0, 1, 2}] * 2
    for each in (
        first,
        *later,
    ):  # SCAFFOLD's c, which the mean of c_k - c over all clients must not move
        own = [each.state.clients[client]["control"] for client in sorted(each.clients)]
        for name, c in each.state.server["control"].items():
            mean = torch.stack([one[name] for one in own]).mean(0)
            assert torch.allclose(c, mean, rtol=1e-5, atol=1e-7)


def test_fewer_clients_than_a_round_asks_for_are_all_asked() -> None:
    devices = Devices((SHARDS[0], NOBODY, SHARDS[1], NOBODY), Fleet(4, 3), open_seats=True)
    assert devices.members.tolist() == [0, 2]
    assert devices.cohort_size == 2
    assert devices.cohort(seed=0, round=1) == [0, 2]


@pytest.mark.parametrize(
    ("shards", "open_seats"), [((SHARDS[0], NOBODY), False), ((NOBODY,), True)]
)
def test_a_client_without_samples_is_a_mistake_elsewhere(
    shards: tuple[np.ndarray, ...], open_seats: bool
) -> None:
    with pytest.raises(InputError, match="holds no samples"):
        Devices(shards, open_seats=open_seats)


def toy(plan: Plan) -> Experiment:
    return Experiment("toy", (Run("toy", plan),), Document("the plan", "", {}))


def trained(
    plan: Plan, nodes: Nodes, folder: Path, say: Callable[[str], None] = ignore
) -> list[RoundRecord]:
    events = happening(toy(plan), plan.data, folder / "run", nodes, 60.0, say)
    return [event.record for event in events if isinstance(event, Trained)]


def assert_replayed(
    folder: Path, plan: Plan, shards: Sequence[np.ndarray], records: Sequence[RoundRecord]
) -> None:
    """The model is, bit for bit, that of a simulation with the same clients in each round."""
    state = replayed(plan, shards, [(record.clients, record.missing) for record in records])
    model = load_file(folder / "run" / "toy" / "model.safetensors")
    assert all(torch.equal(model[name], state.model[name]) for name in state.model)


def with_own_data(folder: Path, dataset: Dataset, clients: Sequence[int]) -> dict[int, Device]:
    """Node 1 with the samples of client 0, node 2 with those of client 1, ..."""
    devices = {}
    for client in clients:
        file, shard = folder / f"mine-{client}.npz", SHARDS[client]
        x, y = dataset.x_train[shard], dataset.y_train[shard]
        np.savez(file, x_train=x, y_train=y, axes="sample height width")
        devices[client + 1] = Device(f"node-{client}", folder / f"home-{client}", file)
    return devices


def among(devices: dict[int, Device]) -> InProcess:
    """These devices of four that are registered."""
    grid = InProcess(devices, {})
    grid.members = {k + 1: Registered(f"node-{k}", frozenset([k])) for k in range(4)}
    return grid


def nodes_among(devices: dict[int, Device], folder: Path) -> Nodes:
    grid = among(devices)
    return Nodes(grid, folder, 10, (28, 28), grid.registered)


def test_devices_come_leave_and_come_back(tmp_path: Path, dataset: Dataset) -> None:
    """Four seats: two clients begin, a third joins, one is away and goes on with what it remembers."""
    plan = structs.replace(plan_of(dataset, SHARDS), partition=OnDevices(), rounds=5)
    devices = with_own_data(tmp_path, dataset, [0, 1, 2])
    late, away = devices.pop(3), devices[1]
    grid, told, asked = among(devices), list[str](), 0

    def meddle(_: int, message: Message) -> Message:
        nonlocal asked
        asked += message.metadata.message_type == "train"
        match asked:
            case 3:  # round 2 has begun
                devices[3] = late
            case 7:  # round 3 is over
                devices.pop(1, None)
            case 9:  # round 4 is over
                devices[1] = away
        return message

    grid.meddle = meddle
    nodes = Nodes(grid, tmp_path, 10, (28, 28), grid.registered)
    nodes.wait_for(4, ignore, lambda: 2)
    records = trained(plan, nodes, tmp_path, told.append)
    clients = [sorted(record.clients) for record in records]
    assert clients == [[0, 1], [0, 1], [0, 1, 2], [1, 2], [0, 1, 2]]
    assert [record.missing for record in records] == [[], [], [], [0], []]
    assert told == ["clients 2 join from the next round on"]
    assert_replayed(tmp_path, plan, SHARDS, records)

    counts = [np.bincount(dataset.y_train[own], minlength=10).tolist() for own in SHARDS[:3]]
    assert json.loads((tmp_path / seats.FILE).read_bytes()) == dict(zip("012", counts, strict=True))
    summary = json.loads((tmp_path / "run" / "toy" / "summary.json").read_bytes())
    assert summary["class_counts"] == [*counts, [0] * 10]
    assert main(["report", str(tmp_path / "run")]) == 0
    assert "a seat that nobody took" in (tmp_path / "run" / "report.html").read_text()


def test_after_a_break_the_same_clients_go_on(tmp_path: Path, dataset: Dataset) -> None:
    """Who is away then is missing and not forgotten, and who has come meanwhile takes part at once."""
    plan = structs.replace(plan_of(dataset, SHARDS), partition=OnDevices())
    devices = with_own_data(tmp_path, dataset, [0, 1, 2])
    nodes = nodes_among({n: devices[n] for n in (1, 2)}, tmp_path)
    nodes.wait_for(4, ignore, lambda: 2)
    events = happening(toy(plan), dataset, tmp_path / "run", nodes, 60.0, ignore)
    first = next(event.record for event in events if isinstance(event, Trained))
    del events
    nodes = nodes_among({n: devices[n] for n in (2, 3)}, tmp_path)
    nodes.wait_for(4, ignore, lambda: 4)
    records = [first, *trained(plan, nodes, tmp_path)]
    assert [sorted(record.clients) for record in records] == [[0, 1], [1, 2], [1, 2]]
    assert [record.missing for record in records] == [[], [0], [0]]
    assert_replayed(tmp_path, plan, SHARDS, records)


def test_who_was_dealt_data_is_missing_until_it_comes(tmp_path: Path, dataset: Dataset) -> None:
    """What it holds is known: its seat is taken from the start."""
    plan = Plan(
        network=ANN(architecture=FullyConnected(hidden=(8,))),
        data=dataset,
        fleet=Fleet(clients=3, samples_per_round=30),
        rounds=3,
    )
    grid = dealt_out(toy(plan), tmp_path, 3)
    late = grid.devices.pop(3)

    def meddle(_: int, message: Message) -> Message:
        if message.metadata.group_id == "2":
            grid.devices[3] = late
        return message

    grid.meddle = meddle
    nodes = Nodes(grid, tmp_path, 10, (28, 28), grid.registered)
    nodes.wait_for(3, ignore, lambda: 2, [tuple(counts) for counts in plan.class_counts()])
    records = trained(plan, nodes, tmp_path)
    assert [record.missing for record in records] == [[2], [2], []]
    assert_replayed(tmp_path, plan, plan.devices().shards, records)


def test_the_number_may_change_while_the_training_waits(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedspike.federation.places.flower.nodes.POLL_S", 0.0)
    least, told = iter([4, 4, 3, 1]), list[str]()
    nodes = nodes_among(with_own_data(tmp_path, dataset, [1]), tmp_path)
    nodes.wait_for(4, told.append, lambda: next(least))
    assert told == [
        "1 of 4 clients are there; the training begins when 4 are. Not there: 0, 2-3",
        "1 of 4 clients are there; the training begins when 3 are",
    ]
    assert [sum(counts) for counts in nodes.held.counts] == [0, 30, 0, 0]
    assert json.loads((tmp_path / ABSENT).read_bytes())["waiting_for"] == []


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ('{"4": [1, 1]}', "none of 0 to 3"),
        ('{"-1": [1, 1]}', "none of 0 to 3"),
        ('{"1": [1, 1, 1]}', "not of 2 classes"),
        ('{"1": [0, 0]}', "not of 2 classes"),
        ('{"1": [2, -1]}', "not of 2 classes"),
        ('{"1": []}', "not of 2 classes"),
        ('{"x": [1, 1]}', "clients.json"),
    ],
)
def test_what_was_settled_is_read_with_care(tmp_path: Path, content: str, fault: str) -> None:
    (tmp_path / seats.FILE).write_text(content)
    with pytest.raises(InputError, match=fault):
        seats.read(tmp_path, seats=4, classes=2)


def test_how_many_must_be_there_is_said_to_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "fleet"
    assert main(["fleet", "init", str(home), "fleet", "--nodes", "2"]) == 0
    folder = FleetFolder(home)
    assert beginning.at_least(folder, 4) == 4
    for wrong in ("0", "5"):
        assert main(["fleet", "run", str(home), "--at-least", wrong]) == 2
        assert "a number from 1 to 4" in capsys.readouterr().err
        assert not (folder.server / beginning.FILE).exists()
    beginning.set_at_least(folder, 3)
    assert beginning.at_least(folder, 4) == 3
    (folder.server / beginning.FILE).write_text('{"at_least": 0}')
    with pytest.raises(InputError, match="say it again"):
        beginning.at_least(folder, 4)
