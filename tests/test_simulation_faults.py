"""Clients that fail, in the simulator and in its records: their training diverges, or they drop out."""

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from algorithms_example import CASES
from fedspike.algorithms import MIFA, Algorithm, FedAvg, FedDyn, FedPer, Scaffold
from fedspike.data import Dataset, load_data
from fedspike.data.partition import IID, Classes
from fedspike.errors import InputError
from fedspike.experiment import document, sweep
from fedspike.federation.devices import Devices
from fedspike.federation.rounds import Round
from fedspike.federation.state import State
from fedspike.learning.backpropagation import Backpropagation
from fedspike.networks import SNN, ConventionalNetwork, DenseLayers, SizedNetwork, SpikingNetwork
from fedspike.parts.codes import Rate
from fedspike.parts.neurons import LIF
from fedspike.parts.optimisers import SGD
from fedspike.randomness import stream
from fedspike.records import joined
from fedspike.records.reader import read
from fedspike.remedies import QSGD, Clipping, TopK
from fedspike.report import write
from fedspike.report.analysis.results import Results
from fedspike.report.figures.answer import FINDINGS
from running import devices, events, finish, simulate
from undrawn import undraw

SAMPLE = load_data("fashion-mnist-sample")
FLEET = devices(tuple(np.array_split(np.arange(150), 5)), clients_per_round=4)
VICTIM = 2
SMALL = ConventionalNetwork(DenseLayers((784, 6, 10)))


def play(
    algorithm: Algorithm,
    fleet: Devices = FLEET,
    dataset: Dataset = SAMPLE,
    network: SizedNetwork = SMALL,
    rounds: int = 4,
) -> list[Round]:
    training = Backpropagation(network.usual_loss, SGD(0.1), batch_size=16)
    return list(
        simulate(
            network=network,
            algorithm=algorithm,
            devices=fleet,
            training=training,
            dataset=dataset,
            seed=0,
            rounds=rounds,
        )
    )


def poisoned(*clients: int) -> Dataset:
    """Data that these clients' memory lost an image of, after they were checked: what they train is nan."""
    data = dataclasses.replace(SAMPLE, x_train=SAMPLE.x_train.copy())
    for client in clients:
        data.x_train[FLEET.shards[client][0]] = np.nan
    return data


def bits(state: State) -> dict[str, bytes]:
    """The server's; the memories are the clients' own."""
    tensors = state.tensors()
    return {name: t.numpy().tobytes() for name, t in tensors.items() if name.startswith("server/")}


class Absent:
    """Lets these clients, and nobody else, drop out of every round."""

    def __init__(self, *clients: int) -> None:
        self.clients = clients

    def __call__(self, seed: int, round: int, client: int) -> bool:
        del seed, round
        return client in self.clients


# Of personal algorithms a client's own model diverges for good, and may be all that there is.
SHARED = [name for name in CASES if not CASES[name].algorithm.personal]


@pytest.mark.parametrize("name", SHARED)
def test_a_diverged_client_is_as_one_that_dropped_out(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    algorithm = CASES[name].patient.algorithm
    ill = play(algorithm, dataset=poisoned(VICTIM))
    monkeypatch.setattr(Devices, "drops_out", staticmethod(Absent(VICTIM)))
    without = play(algorithm)
    assert {len(round.rejections) for round in ill} == {0, 1}  # it is not in every cohort
    for a, b in zip(ill, without, strict=True):
        assert bits(a.state) == bits(b.state)
        assert (a.accuracy, a.training_loss) == (b.accuracy, b.training_loss)
        assert [r.sender for r in a.rejections] == list(b.missing)
        assert all(r.reason == "not finite" for r in a.rejections)
        assert (a.missing, b.rejections, a.skipped, b.skipped) == ((), (), False, False)
        # It did the work and sent its reply all the same.
        assert set(a.clients) - set(b.clients) == set(b.missing)
        assert a.uplink_bytes * len(b.clients) == b.uplink_bytes * len(a.clients)


def test_a_rejected_clients_memory_is_what_the_client_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device whose own layer diverged under FedPer remembers so; nobody has a sum of such layers."""
    last = play(FedPer(), dataset=poisoned(VICTIM))[-1].state
    assert last.clients[VICTIM]["own"]["output.weight"].isnan().all()
    monkeypatch.setattr(Devices, "drops_out", staticmethod(Absent(VICTIM)))
    assert VICTIM not in play(FedPer())[-1].state.clients


@pytest.mark.parametrize(
    ("algorithm", "group"),
    [
        (Scaffold(), "control"),
        (FedDyn(alpha=0.1), "h"),
        (MIFA(), "G"),
        # What is remembered is of what was sent.
        *((remedy.over(FedDyn(alpha=0.1)), "h") for remedy in (Clipping(0.05), TopK(0.1), QSGD(4))),
        (QSGD(4).over(Clipping(0.05).over(FedDyn(alpha=0.1))), "h"),
        (Clipping(0.05).over(Scaffold()), "control"),
    ],
    ids=str,
)
@pytest.mark.parametrize("quorum", [0.0, 1.0], ids=["refused", "skipped"])
def test_the_servers_mean_is_that_of_what_clients_remember(
    algorithm: Algorithm, group: str, quorum: float
) -> None:
    """Where an answer is refused, or with it those of all others, their clients take back what they did."""
    fleet = devices(FLEET.shards, clients_per_round=4, quorum=quorum)
    rounds = play(algorithm, fleet, poisoned(VICTIM), rounds=6)
    assert any(round.skipped for round in rounds) == bool(quorum)
    assert any(round.rejections for round in rounds)
    last = rounds[-1].state
    assert last.clients.keys() == {0, 1, 2, 3, 4} - {VICTIM}
    for name, mean in last.server[group].items():
        theirs = (
            torch.stack([own[group][name] for own in last.clients.values()]).double().sum(0) / 5
        )
        assert float(theirs.abs().max()) > 0
        torch.testing.assert_close(mean.double(), theirs, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", SHARED)
def test_when_all_fail_the_server_keeps_every_bit(name: str) -> None:
    start = State(0, CASES[name].algorithm.start(SMALL.init(stream(0, "init"))))
    for round in play(CASES[name].algorithm, dataset=poisoned(*range(5))):
        assert round.skipped
        assert len(round.rejections) == 4
        assert np.isnan(round.training_loss)
        assert bits(round.state) == bits(start)


@pytest.mark.parametrize(
    "network", [SMALL, SpikingNetwork(SMALL.architecture, SNN(3, neuron=LIF(), code=Rate()))]
)
def test_a_round_in_which_nobody_comes(
    network: SizedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Devices, "drops_out", staticmethod(Absent(*range(5))))
    first, second = play(FedAvg(), network=network, rounds=2)
    assert bits(first.state) == bits(second.state)
    for round in (first, second):
        assert (round.skipped, round.clients, len(round.missing)) == (True, (), 4)
        assert (round.samples, round.uplink_bytes, round.downlink_bytes) == (0, 0, 0)
        assert not any(round.operations.values())
        assert not any(round.spikes.values())
        assert round.firing_rates == {}
        assert round.tested.samples == 500


def test_below_the_quorum_the_clients_trained_for_nothing() -> None:
    whole = devices(FLEET.shards, clients_per_round=4, quorum=1.0)
    assert [round.skipped for round in play(FedAvg(), whole)] == [False] * 4
    rounds = play(FedAvg(), whole, poisoned(VICTIM))
    assert [round.skipped for round in rounds] == [bool(round.rejections) for round in rounds]
    assert {round.skipped for round in rounds} == {True, False}
    for before, after in itertools.pairwise(rounds):
        assert (bits(after.state) == bits(before.state)) == after.skipped
        assert np.isfinite(after.training_loss)


def test_dropouts_are_addressed_and_as_frequent_as_said() -> None:
    fleet = devices(tuple(np.arange(3) for _ in range(100)), dropout=0.3)
    gone = np.array([[fleet.drops_out(7, n, k) for k in range(100)] for n in range(100)])
    assert gone.mean() == pytest.approx(0.3, abs=4 * np.sqrt(0.3 * 0.7 / 10_000))
    # Neither by client nor by round: a share of 100 is within 5 of its standard deviations.
    assert np.abs(gone.mean(0) - 0.3).max() < 5 * np.sqrt(0.3 * 0.7 / 100)
    assert np.abs(gone.mean(1) - 0.3).max() < 5 * np.sqrt(0.3 * 0.7 / 100)
    some = devices(fleet.shards, dropout=0.3, clients_per_round=10)
    for number in range(20):
        assert some.present(7, number) == [k for k in some.cohort(7, number) if not gone[number, k]]


@pytest.mark.parametrize("setting", ["dropout", "quorum"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_impossible_fleets(setting: str, value: float) -> None:
    settings: dict[str, Any] = {setting: value}
    with pytest.raises(InputError, match=f"{setting} = "):
        devices((np.arange(3),), **settings)


@pytest.mark.thorough
@pytest.mark.parametrize("partition", [IID(), Classes(3)], ids=["iid", "skewed"])
def test_a_third_of_the_answers_lost_in_every_round_and_it_learns_on(
    partition: IID | Classes,
) -> None:
    """Chance is 10 %; with all answers these fleets pass 60 and 50 % in as many rounds."""
    whole = devices(tuple(partition(SAMPLE.y_train, clients=10, seed=0)))
    lossy = devices(whole.shards, dropout=0.3, quorum=0.3)
    network = ConventionalNetwork(DenseLayers((784, 20, 10)))
    full, lost = (play(FedAvg(), fleet, network=network, rounds=25) for fleet in (whole, lossy))
    assert 0.2 < np.mean([len(round.missing) for round in lost]) / 10 < 0.4
    assert not any(round.skipped for round in lost)
    late = [np.mean([round.accuracy for round in rounds[-5:]]) for rounds in (full, lost)]
    assert late[0] > 0.5
    assert (
        late[1] > late[0] - 0.1
    )  # a small test set and 25 rounds; RELIABILITY's points need a study


FAULTY = """\
name = "faulty"
rounds = 5
[data]
kind = "fashion-mnist-sample"
[partition]
kind = "classes"
classes = 3
[fleet]
clients = 4
samples_per_round = 20
dropout = 0.6
quorum = 0.5
[architecture]
hidden = [6]
[snn]
time_steps = 4
[sweep]
network = ["ann", "snn"]
seed = [0, 1]
"""


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finish(FAULTY, tmp_path_factory.mktemp("runs") / "faulty")


def test_the_records_say_who_was_missing_and_what_was_skipped(faulty: Path) -> None:
    summary = json.loads((faulty / "summary.json").read_bytes())
    nobody = 0
    for run in summary["runs"]:
        text = (faulty / run["name"] / "rounds.jsonl").read_text()
        lines = [json.loads(line) for line in text.splitlines()]
        for line in lines:
            assert sorted(line["clients"] + line["missing"]) == [0, 1, 2, 3]
            assert line["skipped"] == (len(line["clients"]) < 2)
            assert (line["training_loss"] is None) == (line["clients"] == [])
            assert line["rejected"] == []
            nobody += not line["clients"]
        assert run["missing"] == sum(len(line["missing"]) for line in lines)
        assert run["skipped_rounds"] == sum(line["skipped"] for line in lines)
        assert run["rejected"] == {}
        assert run["config"]["fleet"]["dropout"] == 0.6
        assert run["activity"]["samples"] == 20 * sum(len(line["clients"]) for line in lines)
    assert nobody > 0, "a round in which nobody trained should be among these"


def test_the_report_of_such_runs_is_whole(faulty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undraw(monkeypatch)
    page = write(faulty).read_text(encoding="utf-8")
    runs = json.loads((faulty / "summary.json").read_bytes())["runs"]
    most = max(runs, key=lambda run: run["skipped_rounds"])
    assert "Rounds were skipped in 4 of 4 runs" in page
    assert f"most in {most['name']}: {most['skipped_rounds']} of 5." in page
    assert "rejected replies" not in page


def test_the_report_says_what_was_rejected(tmp_path: Path) -> None:
    diverging = 'rounds = 2\n[optimiser]\nkind = "sgd"\nlearning_rate = 1e9'
    text = FAULTY.replace("rounds = 5", diverging).replace("[0, 1]", "[0]").replace("0.6", "0.1")
    text = text.replace("hidden = [6]", "hidden = [6, 6, 6, 6, 6, 6, 6, 6]")
    experiment = read(finish(text, tmp_path / "diverging"))
    ann, snn = experiment.runs
    worst = max((ann, snn), key=lambda run: sum(run.rejected.values()))
    reasons = ", ".join(f"{count} {reason}" for reason, count in worst.rejected.items())
    findings = FINDINGS.draw(Results(*joined.read([tmp_path / "diverging"])))
    sentences = " ".join(findings.paragraphs)  # type: ignore[union-attr]
    assert f"most in {worst.name} ({reasons});" in sentences


def test_the_loss_of_all_in_all_rounds_is_refused_before_the_first() -> None:
    tiny = sweep.expand(document.parse(FAULTY.replace("0.6", "0.999"), "faulty.toml"))
    with pytest.raises(InputError, match=r"line 11: fleet\.dropout = 0\.999: all") as caught:
        next(events(tiny, Path("nowhere")))
    assert "lower fleet.dropout" in caught.value.fix
    assert not Path("nowhere").exists()


def test_a_file_without_these_keys_means_the_same_run_as_before() -> None:
    plain = FAULTY.replace("dropout = 0.6\nquorum = 0.5\n", "")
    said = FAULTY.replace("dropout = 0.6\nquorum = 0.5\n", "dropout = 0.0\nquorum = 0.0\n")
    (a, *_), (b, *_), (c, *_) = (
        sweep.expand(document.parse(text, "x.toml")).runs for text in (plain, said, FAULTY)
    )
    assert a.settings_sha256 == b.settings_sha256 != c.settings_sha256
