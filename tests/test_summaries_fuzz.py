"""Spoilt summaries of a conventional and a spiking network: what all that reads them says, or a refusal."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

import fedspike as fs
from fedspike.cli.bills import text
from fedspike.energy import account, repricing
from fedspike.energy.pairing import compared
from fedspike.energy.profiles import radios, shipped
from fedspike.experiment.document import Document
from fedspike.experiment.run import perform
from fedspike.experiment.sweep import Experiment, Run
from fedspike.networks import FullyConnected
from fedspike.records import checkpoint, joined, reader
from fedspike.records.schema import RunSummary
from fedspike.records.seal import demand_sealed
from fedspike.report import writing
from fedspike.report.analysis.other_prices import of_run
from fedspike.report.analysis.results import Results
from fedspike.report.rendering.page import render
from fuzzing import spoilt, spoilt_bytes, withstands
from running import resealed
from test_links import PLAN
from undrawn import undraw

pytestmark = pytest.mark.fuzz
PROFILES = ("horowitz45-int8", "truenorth-all-in")  # few: a short summary is soon spoilt
RADIO = "lte"
# --level, --target, --skip-zeros
OPTIONS = ((None, None, False), ("compute", 0.5, True), ("communication", 1.0, False))
SIDE = FullyConnected(hidden=(3,))
NETWORKS = {
    "ann": fs.ANN(architecture=SIDE),
    "snn": fs.SNN(architecture=SIDE, time_steps=4, code=fs.Burst(), neuron=fs.LIF(threshold=0.5)),
}
LABELS = np.arange(40) % 2
IMAGES = np.array([[[1 - label] * 2, [label] * 2] for label in LABELS], np.float32)
IMAGES *= np.linspace(0.5, 1, 40, dtype=np.float32)[:, None, None]
DATA = fs.Dataset("tiny", IMAGES, LABELS, IMAGES, LABELS, 2, "here", {"images.gz": "5e"})
NODE = {
    **{"node": "pi", "clients": [0, 1], "rounds": 2, "failed": 0, "samples": 4000},
    **{"operations": {"mac": 0, "ac": 7}, "uplink_bytes": 10, "downlink_bytes": 20},
    **{"training_seconds": 1.5, "joules": {"usb": 3.21}},
}
INTERVAL = {"mean": 12.3, "low": 12.0, "high": 12.6}
MEASURED = [
    {"sensor": "powercap", "unavailable": "no folder /sys/class/powercap"},
    {"sensor": "zeus", "domain": "gpu-0", "joules_per_round": INTERVAL, "windows": 5},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment of both networks, which work, at the prices of few profiles and one radio."""
    learner = fs.Backpropagation(optimiser=fs.Adam(learning_rate=0.1), batch_size=4)
    plan = replace(PLAN, data=DATA, learner=learner, rounds=2)
    runs = [Run(f"{name}-iid-seed0", replace(plan, network=x)) for name, x in NETWORKS.items()]
    folder = tmp_path_factory.mktemp("experiment")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(account, "shipped", lambda: {name: shipped()[name] for name in PROFILES})
        patch.setattr(account, "radios", lambda: {RADIO: radios()[RADIO]})
        experiment = Experiment("tiny", tuple(runs), Document("tiny", "", {}))
        for _ in perform(experiment, DATA, folder, "fedspike run tiny"):
            pass
    return folder


@pytest.fixture(scope="module")
def runs(folder: Path) -> list[dict[str, Any]]:
    """The own summaries of both runs."""
    own = [json.loads(path.read_bytes()) for path in sorted(folder.glob("*/summary.json"))]
    assert not any(run["unfit"] for run in own)
    return own


@pytest.fixture
def experiment(folder: Path, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Its summary as if it had been trained on devices with two seeds, with the runs' pictures."""
    seeds = [runs, [run | {"name": f"{run['name']}1", "seed": 1} for run in runs]]
    on_nodes = {"nodes": [NODE], "measured": MEASURED, "round_seconds": {"training": 1.5}}
    both = [run | on_nodes | {"files": {}} for own in seeds for run in own]
    whole: dict[str, Any] = json.loads((folder / "summary.json").read_bytes())
    made = compared([reader.decode(resealed(run), RunSummary, folder) for run in both])
    return whole | {"runs": both, "comparisons": msgspec.to_builtins(made)}


def shown(folder: Path) -> None:
    """All that is on the page of a folder, and its tables as files."""
    results = Results(*joined.read([folder]))
    sections = list(writing.shown(results))
    for figure in (f for section in sections for part in section.parts for f in part.figures):
        if figure.form == "table":
            list(figure.files)
    render(results.experiment, sections)


def test_experiments_are_shown(
    experiment: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The charts are not drawn."""
    undraw(monkeypatch)

    def use(content: bytes) -> None:
        (tmp_path / "summary.json").write_bytes(content)
        shown(tmp_path)

    withstands(use, lambda random: resealed(spoilt(experiment, random)), one_in=50)


def test_run_summaries_are_decoded(runs: list[dict[str, Any]], tmp_path: Path) -> None:
    """And what is decoded has its sizes: pictures, counts and a price."""

    def use(content: bytes) -> None:
        reader.demand_version(content, tmp_path)
        demand_sealed(content, tmp_path, "")
        run = reader.decode(content, RunSummary, tmp_path)
        reader.weight_images(run)
        reader.raster_of(run)

    withstands(use, lambda random: resealed(spoilt(random.choice(runs), random)))


def test_runs_are_compared(runs: list[dict[str, Any]], tmp_path: Path) -> None:
    def spoil(random: Random) -> list[bytes]:
        one = random.randrange(2)
        return [resealed(spoilt(run, random) if n == one else run) for n, run in enumerate(runs)]

    def use(texts: list[bytes]) -> None:
        for content in texts:
            reader.demand_version(content, tmp_path)
            demand_sealed(content, tmp_path, "")
        first = [reader.decode(content, RunSummary, tmp_path) for content in texts]
        second = (replace(run, name=f"{run.name}1", seed=run.seed + 1) for run in first)
        compared([*first, *second])
        for run in first:
            if recorded := of_run(run):
                recorded.bill(recorded.counts, shipped()[PROFILES[0]], "training")
            reader.weight_images(run)
            reader.raster_of(run)

    withstands(use, spoil, one_in=5)


def test_runs_are_priced_again(runs: list[dict[str, Any]], folder: Path, tmp_path: Path) -> None:
    """By `fedspike energy`, from their summaries and the records of their rounds."""
    paths = [folder / run["name"] / "rounds.jsonl" for run in runs]
    records = [list(map(json.loads, path.read_bytes().splitlines())) for path in paths]

    def spoil(random: Random) -> tuple[list[bytes], list[bytes], int]:
        own, rounds, one = [*runs], [*records], random.randrange(2)
        spoiled: list[Any] = random.choice([own, rounds])
        spoiled[one] = spoilt(spoiled[one], random)
        lines = [b"\n".join(json.dumps(record).encode() for record in each) for each in rounds]
        return list(map(resealed, own)), lines, random.randrange(len(OPTIONS))

    def use(given: tuple[list[bytes], list[bytes], int]) -> None:
        summaries, lines, chosen = given
        level, target, skip_zeros = OPTIONS[chosen]
        read = [
            (reader.decode(summary, RunSummary, tmp_path), reader.decode_rounds(rounds, tmp_path))
            for summary, rounds in zip(summaries, lines, strict=True)
        ]
        prices = repricing.prices(PROFILES[:1], level, RADIO)
        text(repricing.reprice(read, prices, target, skip_zeros=skip_zeros))

    withstands(use, spoil, one_in=10)


def read_run(home: Path) -> None:
    reader.run(home)


def read_checkpoint(home: Path) -> None:
    checkpoint.newest(home / "checkpoint", home / "rounds.jsonl", {})


@pytest.mark.parametrize(
    ("place", "read"),
    [("summary.json", read_run), ("checkpoint/round-000002/manifest.json", read_checkpoint)],
)
def test_no_change_of_what_is_sealed_passes(
    place: str, read: Callable[[Path], None], folder: Path
) -> None:
    path = folder / "snn-iid-seed0" / place
    content = path.read_bytes()

    def use(changed: bytes) -> None:
        path.write_bytes(changed)
        read(folder / "snn-iid-seed0")
        assert changed == content

    try:
        use(content)
        withstands(use, lambda random: spoilt_bytes(content, random), one_in=10)
    finally:
        path.write_bytes(content)
