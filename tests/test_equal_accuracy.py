"""What networks need until an accuracy that both reach, against the rounds' records read as plain JSON."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest

from fedspike import report
from fedspike.energy import repricing
from fedspike.records import joined, reader
from fedspike.report.analysis.results import Results
from running import finish
from undrawn import undraw

TINY = """\
name = "equal"
rounds = 4
[data]
kind = "fashion-mnist-sample"
[fleet]
clients = 3
samples_per_round = 60
[architecture]
hidden = [8]
[snn]
time_steps = 4
[learner]
batch_size = 10
[optimiser]
learning_rate = 0.01
[sweep]
network = ["ann", "snn"]
seed = [0, 1, 2]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = finish(TINY, tmp_path_factory.mktemp("runs") / "equal")
    with pytest.MonkeyPatch.context() as patch:
        undraw(patch)
        report.write(folder)
    return folder


def lines(folder: Path, network: str, seed: int) -> list[dict[str, Any]]:
    text = (folder / f"{network}-iid-seed{seed}" / "rounds.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_rounds_bytes_and_joules_are_those_of_the_rounds(folder: Path) -> None:
    """Rounds and bytes counted by hand; joules as `fedspike energy --target` has them."""
    runs = {(n, s): lines(folder, n, s) for n in ("ann", "snn") for s in range(3)}
    best = min(max(round["accuracy"] for round in own) for own in runs.values())
    target = math.floor(best * 1000 + 1e-9) / 1000
    results = Results(*joined.read([folder]))
    (made,) = results.equal_accuracy
    assert made.target == target
    priced = repricing.reprice(
        reader.with_rounds(folder), repricing.prices((), None, "bluetooth-le"), target
    )
    bills = {run.name: run.bill[results.profile]["training"] for run in priced.runs}
    for effort, network in zip(made.efforts, ("ann", "snn"), strict=True):
        numbers, sent, joules = [], [], []
        for seed in range(3):
            own = runs[network, seed]
            number = next(n for n, round in enumerate(own, 1) if round["accuracy"] >= target)
            numbers.append(number)
            sent.append(sum(r["uplink_bytes"] + r["downlink_bytes"] for r in own[:number]) / 1e6)
            reached = bills[f"{network}-iid-seed{seed}"].to_target
            assert reached is not None
            joules.append(reached.nominal_mj / 1000)
            if network == "ann":  # does the same in each round
                (run,) = (r for r in results.runs if (r.network, r.seed) == (network, seed))
                mean_round = run.bill[results.profile]["training"].nominal_mj / 1000
                assert joules[-1] == pytest.approx(number * mean_round, rel=1e-9)
        assert effort.rounds.mean == pytest.approx(sum(numbers) / 3)
        assert effort.megabytes.mean == pytest.approx(sum(sent) / 3)
        assert effort.joules is not None
        assert effort.joules.mean == pytest.approx(sum(joules) / 3, rel=1e-9)
    text = (folder / "tables" / "tableE13-equal-accuracy.csv").read_text()
    (row,) = csv.DictReader(text.splitlines())
    assert float(row["target_percent"]) == pytest.approx(100 * target)
    assert float(row["snn_joule"]) == pytest.approx(sum(joules) / 3, rel=1e-9)
