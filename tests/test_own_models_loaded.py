"""Of a finished run whose clients each have a model, `fs.load` asks the one that is named."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedspike as fs
from dataset_example import refusal
from fedspike.federation.devices import Fleet
from fedspike.records import reader
from fleet_in_process import dealt_out, on_the_fleet
from test_finished_runs import SMALL, STEPS, trained
from test_own_models_on_nodes import experiment

SNN = fs.SNN(time_steps=STEPS)
SOME = Fleet(clients=4, clients_per_round=2)  # so some never train, or not in the last round
PLANS: dict[str, dict[str, Any]] = {
    "local-only": {"algorithm": fs.LocalOnly()},
    "fedper": {"algorithm": fs.FedPer(), "fleet": SOME, "partition_seed": 3},
    "fedrep": {"algorithm": fs.FedRep(), "network": fs.ANN()},
    "ditto": {"algorithm": fs.Ditto(), "fleet": SOME},
    "fedbn": {
        "algorithm": fs.FedBN(),
        "network": fs.SNN(time_steps=STEPS, normalisation=fs.BNTT()),
        "learner": fs.Backpropagation(optimiser=fs.Adam(0.01), batch_size=2),
    },
    "gossip": {"algorithm": fs.Gossip(), "partition_seed": 3},
    "sizes": {"algorithm": fs.Ditto(), "remedies": (fs.HeteroFL((1.0, 0.5)),)},
}


def hashes(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_all_clients_together_give_the_runs_accuracy(plan: dict[str, Any], tmp_path: Path) -> None:
    usual = {"network": SNN, "partition": fs.Classes(3), "rounds": 2}
    run = trained(tmp_path / "run", **usual | plan)
    before = hashes(tmp_path)
    predicted = np.full(len(SMALL.y_test), -1)
    for client in range(4):
        own = run.tested_on(client)
        if len(own):
            predicted[own] = run.predict(SMALL.x_test[own], client=client)
    stored = reader.predictions_of(run.summary)
    assert stored is not None
    assert np.array_equal(stored[1], predicted)  # each sample has one client
    assert (predicted == SMALL.y_test).mean() == run.accuracy
    assert len({run.predict(SMALL.x_test, client=client).tobytes() for client in range(4)}) > 1
    assert hashes(tmp_path) == before


def test_who_is_asked_has_to_be_said_where_it_matters(tmp_path: Path) -> None:
    own = trained(tmp_path / "own", network=fs.ANN(), algorithm=fs.LocalOnly())
    with refusal("client=None, where", "of own models, own samples", "predict(images, client=0)"):
        own.predict(SMALL.x_test)
    others: tuple[Any, ...] = (4, -1, "first", 1.5)
    for wrong in others:
        with refusal("client = ", "a whole number", "client=0"):
            own.predict(SMALL.x_test, client=wrong)
    one = trained(tmp_path / "one", network=fs.ANN())
    with refusal("client=0, where", "one model is for all", "leave client out"):
        one.predict(SMALL.x_test, client=0)
    assert one.tested_on(2).tolist() == list(range(len(SMALL.y_test)))


def test_what_is_not_in_the_folder_is_said(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", network=fs.ANN(), algorithm=fs.LocalOnly(), rounds=2)
    home, x = run.folder, SMALL.x_test[:2]
    aside = shutil.copytree(home, tmp_path / "aside")
    shutil.rmtree(home / "memories")
    with refusal("not what clients remembered after round 2"):
        fs.load(home).predict(x, client=0)
    shutil.rmtree(home / "checkpoint")
    with refusal("no checkpoint in it", "checkpoint/ and memories/", "all that is in it"):
        fs.load(home).predict(x, client=0)
    shutil.rmtree(aside / "checkpoint" / "round-000002")
    with refusal("of round 1, and a summary of 2 rounds", "it finishes the run"):
        fs.load(aside).predict(x, client=0)
    fitted = {"fleet": fs.Fleet(clients=4, memory_kb=(100_000,)), "remedies": (fs.SmallerParts(),)}
    run = trained(tmp_path / "fit", network=fs.ANN(), algorithm=fs.Ditto(), **fitted)
    with refusal("choose their networks by their memory", "without fleet.memory_kb"):
        run.predict(x, client=0)


def test_models_on_real_devices_stay_there(tmp_path: Path) -> None:
    own = experiment("fedper")
    for _ in on_the_fleet(own, dealt_out(own, tmp_path, 2), tmp_path / "fleet"):
        pass
    (home,) = (path.parent for path in tmp_path.rglob("rounds.jsonl"))
    with refusal("client 3 has its model on its own device", "ask on the device"):
        fs.load(home).predict(np.zeros((1, 28, 28), np.float32), client=3)
