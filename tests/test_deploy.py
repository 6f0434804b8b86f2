"""Real nodes do what the simulator does, with Flower's messages between them and no network."""

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from cryptography import x509
from flwr.app import Message
from flwr.app.error import Error
from safetensors.torch import load as load_tensors
from safetensors.torch import load_file

from algorithms_example import CASES
from fedspike.cli import main
from fedspike.energy.meters import Sensor, sensors
from fedspike.errors import InputError
from fedspike.experiment import document, sweep
from fedspike.experiment.run import load
from fedspike.federation import tensor_bytes
from fedspike.federation.devices import Devices, Given
from fedspike.federation.places.flower import memory, messages
from fedspike.federation.places.flower.messages import Report
from fedspike.federation.places.flower.node import Device
from fedspike.federation.rounds import rounds
from fedspike.networks import DenseLayers
from fedspike.randomness import stream
from fedspike.records.events import Trained
from fleet_in_process import InProcess, dealt_out, on_the_fleet
from running import events

TINY = """
name = "tiny"
rounds = 3
network = "snn"
[data]
kind = "fashion-mnist-sample"
[partition]
kind = "classes"
classes = 3
[fleet]
clients = 4
samples_per_round = 60
[architecture]
hidden = [20]
[snn]
time_steps = 10
[learner]
batch_size = 16
"""
NOT_THE_SAME = ("seconds", "nodes", "uplink_bytes", "downlink_bytes")


def tiny(more: str = "") -> sweep.Experiment:
    return sweep.expand(document.parse(TINY + more, "tiny.toml"))


def tiny_with(fleet: str) -> sweep.Experiment:
    """With another line in [fleet]."""
    return sweep.expand(
        document.parse(
            TINY.replace("rounds = 3", "rounds = 1").replace("[fleet]\n", f"[fleet]\n{fleet}"),
            "tiny.toml",
        )
    )


def done(happening: Any) -> list[dict[str, Any]]:
    """All that happens, until its end; the records of its rounds."""
    return [msgspec.to_builtins(e.record) for e in happening if isinstance(e, Trained)]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[list[Any], Path]]:
    """The records and the folder of a simulation with an algorithm, done once."""

    @cache
    def simulate(algorithm: str) -> tuple[list[Any], Path]:
        folder = tmp_path_factory.mktemp(algorithm)
        return done(events(tiny(CASES[algorithm].patient.toml()), folder)), folder

    return simulate


@pytest.mark.parametrize("algorithm", ["fedavg", "scaffold", "fedbuff", "neuron-union", "mifa"])
@pytest.mark.parametrize("nodes", [4, 2], ids=["devices", "many-client-nodes"])
def test_a_fleet_is_its_simulation(
    tmp_path: Path, algorithm: str, nodes: int, simulated: Callable[[str], tuple[list[Any], Path]]
) -> None:
    """To the bit, in all that is recorded; the models of all algorithms are compared in test_places.py."""
    experiment, (expected, folder) = tiny(CASES[algorithm].patient.toml()), simulated(algorithm)
    records = done(on_the_fleet(experiment, dealt_out(experiment, tmp_path, nodes), tmp_path))
    for one, other in zip(expected, records, strict=True):
        same = one.keys() - set(NOT_THE_SAME)
        assert {key: one[key] for key in same} == {key: other[key] for key in same}
        if nodes == 4:
            assert one["uplink_bytes"] == other["uplink_bytes"]
            assert one["downlink_bytes"] == other["downlink_bytes"]
    (run,) = experiment.runs
    ours = load_file(tmp_path / "run" / run.name / "model.safetensors")
    theirs = load_file(folder / run.name / "model.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_how_clients_are_put_together_does_not_show(tmp_path: Path) -> None:
    """A tenth has no end in binary, so the order of sums shows; many means lie between two floats."""
    toml = TINY.replace("clients = 4", "clients = 10").replace("hidden = [20]", "hidden = [100]")
    experiment = sweep.expand(document.parse(toml.replace('"snn"', '"ann"'), "tiny.toml"))
    done(events(experiment, tmp_path / "simulated"))
    done(on_the_fleet(experiment, dealt_out(experiment, tmp_path, nodes=3), tmp_path))
    (run,) = experiment.runs
    one, other = (
        load_file(tmp_path / home / run.name / "model.safetensors") for home in ("simulated", "run")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_training_that_was_cut_goes_on_with_what_the_clients_remember(
    tmp_path: Path, simulated: Callable[[str], tuple[list[Any], Path]]
) -> None:
    """Cut after a round was trained and before it was stored: SCAFFOLD's clients step back, too."""
    experiment, (expected, _) = tiny(CASES["scaffold"].toml()), simulated("scaffold")
    grid = dealt_out(experiment, tmp_path, nodes=2)
    happening = on_the_fleet(experiment, grid, tmp_path)
    while not isinstance(next(happening), Trained):
        pass
    trained = 0

    def cut(_: int, message: Message) -> Message:
        nonlocal trained
        trained += 1
        if trained == 2:  # both nodes have trained round 2
            raise KeyboardInterrupt
        return message

    grid.meddle = cut
    with pytest.raises(KeyboardInterrupt):
        list(happening)
    grid.meddle = InProcess.unchanged
    later = done(on_the_fleet(experiment, grid, tmp_path))
    assert [record["round"] for record in later] == [2, 3]
    for one, other in zip(expected[1:], later, strict=True):
        assert one["activity"] == other["activity"]
        assert one["training_loss"] == other["training_loss"]


@pytest.mark.parametrize("algorithm", ["fedavg", "scaffold"])
def test_a_node_that_does_not_answer_is_a_drop_out(tmp_path: Path, algorithm: str) -> None:
    """Round 2 without the clients of the second node, as if it had been asked for the first's alone."""
    experiment = tiny(CASES[algorithm].toml())
    grid = dealt_out(experiment, tmp_path, nodes=2)
    trained = 0

    def lose(node: int, message: Message) -> Message:
        nonlocal trained
        trained += message.metadata.message_type == "train"
        if (node, trained) != (2, 4):
            return message
        return gone(message)  # the second node in round 2

    grid.meddle = lose
    records = done(on_the_fleet(experiment, grid, tmp_path))
    assert [record["missing"] for record in records] == [[], [2, 3], []]
    assert [sorted(map(int, record["activity"])) for record in records][1] == [0, 1]
    assert records[1]["nodes"][1]["error"].startswith("gone before it answered (usual fix: on its")
    assert not any(record["skipped"] for record in records)


def gone(message: Message) -> Message:
    """What Flower answers in the place of a node that it has given up."""
    message.metadata.__dict__["_message_id"] = message.metadata.reply_to_message_id
    return Message(Error(code=5, reason="Node Unavailable"), reply_to=message)


def test_below_the_quorum_the_model_stays(tmp_path: Path) -> None:
    """Nor does a round wait for ever: of the second node nothing is heard at all."""
    experiment = tiny_with(fleet="quorum = 0.6\n")
    grid = dealt_out(experiment, tmp_path, nodes=2)

    def lose(node: int, message: Message) -> Message | None:
        return message if node == 1 or message.metadata.message_type == "query" else None

    grid.meddle = lose
    records = done(on_the_fleet(experiment, grid, tmp_path, deadline_s=2.0))
    assert all(record["skipped"] and record["missing"] == [2, 3] for record in records)
    assert records[0]["nodes"][1]["error"] == "no answer before the deadline"
    assert 2.0 <= sum(records[0]["seconds"].values()) < 7.0
    (run,) = experiment.runs
    model = load_file(tmp_path / "run" / run.name / "model.safetensors")
    start = DenseLayers((784, 20, 10)).init(stream(0, "init"))
    assert all(torch.equal(model[name], start[name]) for name in start)


def nan(message: Message) -> None:
    change_tensors(message, lambda bias: bias.fill_(torch.nan))


def one_number(message: Message) -> None:
    change_tensors(message, lambda _: torch.ones(1))


def change_tensors(
    message: Message,
    how: Callable[[torch.Tensor], torch.Tensor],
    name: str = "update/output.bias",
) -> None:
    record = message.content.config_records[messages.RECORD]
    tensors = load_tensors(record[messages.TENSORS])
    record[messages.TENSORS] = tensor_bytes.pack(tensors | {name: how(tensors[name])})


def pickled(message: Message) -> None:
    message.content.config_records[messages.RECORD][messages.TENSORS] = pickle.dumps(print)


def no_report(message: Message) -> None:
    del message.content[messages.RECORD]


def greedy(message: Message) -> None:
    change(message, lambda report: {"samples": dict.fromkeys(report.samples, 10**9)})


def negative(message: Message) -> None:
    def worse(report: Report) -> dict[str, Any]:
        seen = {k: replace(done, events_in={}) for k, done in report.activity.items()}
        return {"activity": seen}

    change(message, worse)


def replayed(message: Message) -> None:
    change(message, lambda report: {"round": report.round - 1})


def change(message: Message, how: Callable[[Report], dict[str, Any]]) -> None:
    report = messages.unpack(message.content, Report)
    changed = msgspec.structs.replace(report, **how(report))
    record = message.content.config_records[messages.RECORD]
    record[messages.MESSAGE] = msgspec.msgpack.encode(changed)


@pytest.mark.parametrize("algorithm", ["scaffold", "feddyn", "mifa"])
def test_whoever_was_refused_goes_on_from_what_it_remembered_before(
    tmp_path: Path, algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In round 3 as in a simulation in which the second node's clients were not there in round 2."""
    experiment = tiny(CASES[algorithm].toml())
    grid = dealt_out(experiment, tmp_path, nodes=2)
    trained = 0

    def spoil(node: int, message: Message) -> Message:
        nonlocal trained
        trained += message.metadata.message_type == "train"
        if (node, trained) == (2, 4):
            change_tensors(message, lambda bias: bias.fill_(torch.nan), f"{group}/output.bias")
        return message

    group = next(iter(CASES[algorithm].algorithm.joining()))
    grid.meddle = spoil
    records = done(on_the_fleet(experiment, grid, tmp_path))
    assert [len(record["rejected"]) for record in records] == [0, 1, 0]
    lost = staticmethod(lambda _seed, round, client: round == 2 and client > 1)
    monkeypatch.setattr(Devices, "drops_out", lost)
    for one, other in zip(done(events(experiment, tmp_path / "here")), records, strict=True):
        assert one["training_loss"] == other["training_loss"]
        assert one["accuracy"] == other["accuracy"]


@pytest.fixture(scope="module")
def without_the_second(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[int], dict[str, torch.Tensor]]:
    """The model of a fleet of so many nodes whose second one answers nothing."""

    def silent(node: int, message: Message) -> Message:
        return gone(message) if node == 2 and message.metadata.message_type != "query" else message

    @cache
    def model(nodes: int) -> dict[str, torch.Tensor]:
        return meddled_with(silent, tmp_path_factory.mktemp("silent"), nodes)[1]

    return model


def meddled_with(
    meddle: Callable[[int, Message], Message], folder: Path, nodes: int
) -> tuple[list[Any], dict[str, torch.Tensor]]:
    """The records and the model of two rounds."""
    experiment = sweep.expand(document.parse(TINY.replace("rounds = 3", "rounds = 2"), "tiny.toml"))
    grid = dealt_out(experiment, folder, nodes)
    grid.meddle = meddle
    records = done(on_the_fleet(experiment, grid, folder))
    return records, load_file(folder / "run" / experiment.runs[0].name / "model.safetensors")


@pytest.mark.parametrize(
    "harm",
    [nan, one_number, pickled, no_report, greedy, negative, replayed],
    ids=lambda harm: harm.__name__,
)
@pytest.mark.parametrize("nodes", [4, 2], ids=["devices", "many-client-nodes"])
def test_a_bad_answer_does_not_touch_the_model(
    tmp_path: Path,
    harm: Callable[[Message], None],
    nodes: int,
    without_the_second: Callable[[int], dict[str, torch.Tensor]],
) -> None:
    """What breaks Flower's own strategies: the model equals, to the bit, that of a run without the node."""

    def meddle(node: int, message: Message) -> Message:
        if node == 2 and message.metadata.message_type != "query":
            harm(message)
        return message

    records, model = meddled_with(meddle, tmp_path, nodes)
    assert all(len(record["rejected"]) == 1 for record in records)
    expected = without_the_second(nodes)
    assert all(torch.equal(model[name], expected[name]) for name in expected)


def test_devices_with_data_of_their_own(tmp_path: Path) -> None:
    """Unequal and in any order: what the server knows of them is their numbers of each class."""
    experiment = sweep.expand(
        document.parse(
            TINY.replace('kind = "classes"\nclasses = 3', 'kind = "devices"').replace(
                "clients = 4\nsamples_per_round = 60", "clients = 2"
            ),
            "tiny.toml",
        )
    )
    dataset = load(experiment, lambda _: None)
    shards = (np.arange(70, 10, -1), np.arange(500, 530))
    nodes = {}
    for client, shard in enumerate(shards):
        file = tmp_path / f"mine-{client}.npz"
        x, y = dataset.x_train[shard], dataset.y_train[shard]
        np.savez(file, x_train=x, y_train=y, axes="sample height width")
        nodes[client + 1] = Device(f"node-{client}", tmp_path / f"home-{client}", file)
    grid = InProcess(nodes, {client + 1: [client] for client in range(len(shards))})
    done(on_the_fleet(experiment, grid, tmp_path))
    (run,) = experiment.runs
    plan = msgspec.structs.replace(run.plan, data=dataset, partition=Given(shards))
    *_, last = rounds(plan)
    model = load_file(tmp_path / "run" / run.name / "model.safetensors")
    assert all(torch.equal(model[name], last.state.model[name]) for name in model)
    summary = json.loads((tmp_path / "run" / run.name / "summary.json").read_bytes())
    counts = [np.bincount(dataset.y_train[shard], minlength=10).tolist() for shard in shards]
    assert summary["class_counts"] == counts
    with pytest.raises(InputError, match="the data lie on the devices"):
        next(events(experiment, tmp_path / "simulated"))


def test_the_ledger_has_bytes_seconds_and_joules_of_every_node(tmp_path: Path) -> None:
    experiment = tiny()
    first, *_ = done(on_the_fleet(experiment, dealt_out(experiment, tmp_path, 2), tmp_path))
    numbers = DenseLayers((784, 20, 10)).parameters
    for entry, clients in zip(first["nodes"], ([0, 1], [2, 3]), strict=True):
        assert sorted(entry["clients"]) == clients
        assert entry["downlink_bytes"] == 4 * numbers
        # One sum for two clients, in float64 and a few parts.
        parts, rest = divmod(entry["uplink_bytes"], 8)
        assert numbers <= parts <= 3 * numbers
        assert not rest
        assert 0 < entry["seconds"]["training"] < entry["seconds"]["answered"]
        assert entry["joules"].keys() == {
            f"{sensor.name} {domain}"
            for sensor in sensors()
            if isinstance(sensor, Sensor)
            for domain in sensor.joules()
        }
    parts = {"training", "transport", "waiting", "aggregation", "evaluation"}
    assert first["seconds"].keys() == parts
    assert main(["report", str(tmp_path / "run")]) == 0
    (summary,) = json.loads((tmp_path / "run" / "summary.json").read_bytes())["runs"]
    assert summary["round_seconds"].keys() == parts
    assert [node["node"] for node in summary["nodes"]] == ["node-1", "node-2"]
    assert [node["clients"] for node in summary["nodes"]] == [[0, 1], [2, 3]]
    for kind, total in summary["operations"].items():  # the devices' counts are the run's
        assert sum(node["operations"][kind] for node in summary["nodes"]) == total
    assert sum(node["uplink_bytes"] for node in summary["nodes"]) == 3 * 2 * 8 * numbers
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Work of each device" in page
    assert "Time of a round" in page


def test_a_memory_that_was_changed_is_refused(tmp_path: Path) -> None:
    tree = {"control": {"hidden.weight": torch.ones(3)}}
    memory.write(tmp_path, client=3, round=5, tree=tree, before=0)
    assert torch.equal(memory.read(tmp_path, 3, 5)["control"]["hidden.weight"], torch.ones(3))
    with pytest.raises(InputError, match="has forgotten what it knew after round 4"):
        memory.read(tmp_path, 3, 4)
    (file,) = tmp_path.glob("client-3/*.safetensors")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match="was changed or damaged"):
        memory.read(tmp_path, 3, 5)


def test_what_a_round_needs_is_kept_and_no_more(tmp_path: Path) -> None:
    for round, before in ((1, 0), (2, 1), (3, 1), (4, 3)):  # round 2 did not count
        memory.write(tmp_path, 0, round, {"control": {"w": torch.tensor([round])}}, before)
        kept = {int(file.name[:6]) for file in tmp_path.glob("client-0/*")}
        assert kept == {round, before} - {0}


def test_without_flower_the_command_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("fedspike.extras.find_spec", lambda _: None)
    assert main(["fleet", "local", "2"]) == 2
    assert "pip install 'fedspike[fleet]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["server", "nowhere"], "fedspike fleet init my-fleet fleet --nodes 2"),
        (["node", "nowhere"], "fedspike fleet enrol invitation.toml"),
        (["init", "new", "quickstart", "--nodes", "2"], "with different partitions"),
        (["init", "new", "fleet", "--nodes", "5"], "5 nodes for 4 clients"),
        (["init", ".", "fleet", "--nodes", "2"], "is not empty"),
        (["run", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_told(
    words: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "something").touch()
    assert main(["fleet", *words]) == 2
    assert said in capsys.readouterr().err


def test_secrets_are_for_their_owner_alone(tmp_path: Path) -> None:
    home = tmp_path / "fleet"
    assert (
        main(["fleet", "init", str(home), "fleet", "--nodes", "2", "--host", "server.local"]) == 0
    )
    secrets = [home / "server" / "server.key", *home.glob("nodes/*/node.key")]
    assert len(secrets) == 3
    assert all(file.stat().st_mode & 0o077 == 0 for file in secrets)
    certificate = x509.load_pem_x509_certificate((home / "server" / "server.crt").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["server.local", "localhost"]
    assert "127.0.0.1" in map(str, names.get_values_for_type(x509.IPAddress))
