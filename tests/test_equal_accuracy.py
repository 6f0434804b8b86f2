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
from running import asked, finish
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
[clock]
kind = "by-operations"
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
    return _records(folder / f"{network}-iid-seed{seed}")


def _records(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "rounds.jsonl").read_text().splitlines()]


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
    for (_, effort), network in zip(made.efforts, ("ann", "snn"), strict=True):
        numbers, sent, joules, seconds = [], [], [], []
        for seed in range(3):
            own = runs[network, seed]
            number = next(n for n, round in enumerate(own, 1) if round["accuracy"] >= target)
            numbers.append(number)
            sent.append(sum(r["uplink_bytes"] + r["downlink_bytes"] for r in own[:number]) / 1e6)
            seconds.append(sum(round["duration_s"] for round in own[:number]))
            reached = bills[f"{network}-iid-seed{seed}"].to_target
            assert reached is not None
            joules.append(reached.nominal_mj / 1000)
            if network == "ann":  # does the same in each round
                (run,) = (r for r in results.runs if (r.network, r.seed) == (network, seed))
                mean_round = run.bill[results.profile]["training"].nominal_mj / 1000
                assert joules[-1] == pytest.approx(number * mean_round, rel=1e-9)
        assert effort.rounds.mean == pytest.approx(sum(numbers) / 3)
        assert effort.megabytes.mean == pytest.approx(sum(sent) / 3)
        assert effort.seconds is not None
        assert effort.seconds.mean == pytest.approx(sum(seconds) / 3, rel=1e-12)
        assert effort.joules is not None
        assert effort.joules.mean == pytest.approx(sum(joules) / 3, rel=1e-9)
    text = (folder / "tables" / "tableE13-equal-accuracy.csv").read_text()
    (row,) = csv.DictReader(text.splitlines())
    assert float(row["target_percent"]) == pytest.approx(100 * target)
    assert float(row["snn_joule"]) == pytest.approx(sum(joules) / 3, rel=1e-9)
    assert float(row["snn_simulated_s"]) == pytest.approx(sum(seconds) / 3, rel=1e-9)


def test_methods_are_asked_for_an_accuracy_that_each_of_them_reaches(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of those whose accuracy is of one kind, in the terminal: its rounds are the first of the records."""
    kinds = '[{ kind = "fedavg" }, { kind = "fedadam" }, { kind = "local-only" }]'
    toml = TINY.replace("seed = [0, 1, 2]", f"algorithm = {kinds}").replace('"ann", "snn"', '"ann"')
    folder = finish(toml, tmp_path / "methods")
    rows = asked(capsys, "compare", folder)["tables"]["tableA5-equal-methods"]
    names = {"fedavg": "ann-iid-seed0", "fedadam": "ann-iid-fedadam-seed0"}
    own = {name: _records(folder / run) for name, run in names.items()}
    target = min(max(round["accuracy"] for round in rounds) for rounds in own.values())
    assert [row["method"] for row in rows] == [*names]
    for row, rounds in zip(rows, own.values(), strict=True):
        number = next(n for n, r in enumerate(rounds, 1) if r["accuracy"] >= target - 5e-4)
        assert row["rounds"]["mean"] == number
        durations = [round["duration_s"] for round in rounds]
        assert row["simulated_s"]["mean"] == pytest.approx(sum(durations[:number]), rel=1e-12)
    last = asked(capsys, "compare", folder)["tables"]["tableA3-costs"]
    whole = {row["method"].partition(",")[0]: row["simulated_s"]["mean"] for row in last}
    for name, rounds in own.items():
        durations = [round["duration_s"] for round in rounds]
        assert whole[name] == pytest.approx(sum(durations), rel=1e-12)
