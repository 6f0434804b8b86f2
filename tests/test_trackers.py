"""Trackers, each against its own reader: what it shows is what was stored, once, and nothing leaves here."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import fedspike.trackers
from fedspike.cli import main
from fedspike.energy.bill import study_energy_mj
from fedspike.errors import InputError
from fedspike.experiment import document, sweep
from fedspike.files import claimed
from fedspike.records import reader
from fedspike.records.events import Trained
from fedspike.trackers import TRACKERS
from fedspike.trackers.feed import IN_USE, Feed, Live, place, send, stored
from fedspike.trackers.tracker import About, Tracked, named
from running import BOTH_NETWORKS, asked, events, finish

# What the packages warn of is theirs.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("own_environment")]
ROOT = Path(__file__).parents[1]
ROUNDS = 3
TOML = BOTH_NETWORKS.replace("rounds = 2", f"rounds = {ROUNDS}").replace('"ann", "snn"', '"snn"')
RUN = "snn-iid-seed0"
Told = tuple[dict[str, dict[int, float]], dict[str, str]]
"""Metric -> round -> value, each round once; and the settings."""

outside: list[object] = []


def guard(event: str, arguments: tuple[Any, ...]) -> None:
    """Note whoever is asked for beyond this machine."""
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo"):
        address = arguments[0] if event == "socket.getaddrinfo" else arguments[1]
        host = address[0] if isinstance(address, tuple) else address
        if isinstance(host, str) and not re.match(r"127\.|::1$|localhost$|/", host):
            outside.append(address)


sys.addaudithook(guard)


@pytest.fixture
def own_environment(tmp_path: Path) -> Iterator[None]:
    """What trackers set is forgotten, and what they keep of a user is in another home."""
    before = dict(os.environ)
    for name in [name for name in before if name.startswith(("MLFLOW_", "WANDB_", "TRACKIO_"))]:
        del os.environ[name]
    os.environ["HOME"] = str(tmp_path / "home")
    outside.clear()
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finish(TOML, tmp_path_factory.mktemp("runs") / "both")


def demand_installed(package: str) -> None:
    """Skip where it is not; it is not imported, for trackio reads its environment then."""
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")


def once(points: Any) -> dict[int, float]:
    """Round -> value; each round once."""
    points = list(points)
    values = dict(points)
    assert len(values) == len(points)
    return values


def of_mlflow(into: Path, about: About) -> Told:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{into}/mlflow.db")
    number = client.get_experiment_by_name(about.experiment).experiment_id
    (run,) = client.search_runs([number])
    assert run.info.run_name == about.name
    assert run.info.status == "FINISHED"
    metrics = {
        name: once((m.step, m.value) for m in client.get_metric_history(run.info.run_id, name))
        for name in run.data.metrics
    }
    return metrics, run.data.params


def of_trackio(into: Path, about: About) -> Told:
    from trackio.sqlite_storage import SQLiteStorage as Storage

    assert list(into.glob("*.db")) == [into / f"{about.experiment}.db"]
    assert Storage.get_runs(about.experiment) == [about.name]
    metrics = {
        name: once(
            (value["step"], value["value"])
            for value in Storage.get_metric_values(about.experiment, about.name, name)
        )
        for name in Storage.get_all_metrics_for_run(about.experiment, about.name)
    }
    config = Storage.get_run_config(about.experiment, about.name) or {}
    return metrics, {name: str(value) for name, value in config.items()}


def of_wandb(into: Path, about: About) -> Told:
    points: dict[str, list[tuple[int, float]]] = defaultdict(list)
    settings: dict[str, str] = {}
    files = sorted(into.glob("wandb/offline-run-*/*.wandb"))
    assert len(files) == 2  # it went on once; a third time, with nothing new, leaves no trace
    for file in files:
        program = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
        for record in map(json.loads, subprocess.check_output(program).splitlines()):
            if own := record.get("run"):
                assert own["run_id"], own["display_name"] == (about.id, about.name)
                settings |= {name: str(v) for name, v in own["config"]["update"].items()}
            item = record.get("history", {}).get("item", {})
            for name, value in item.items():
                if not name.startswith("_") and name != "round":
                    points[name].append((item["round"], value))
    return {name: once(own) for name, own in points.items()}, settings


def of_tensorboard(into: Path, about: About) -> Told:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata

    (folder,) = into.glob(f"{about.experiment}/*")
    stored = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    metrics = {
        name: once((scalar.step, scalar.value) for scalar in stored.Scalars(name))
        for name in stored.Tags()["scalars"]
    }
    content = stored.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    values = metadata.parse_session_start_info_plugin_data(content).hparams
    settings = {
        name: str(value.string_value or value.number_value) for name, value in values.items()
    }
    return metrics, settings


READERS = {
    "mlflow": of_mlflow,
    "trackio": of_trackio,
    "wandb": of_wandb,
    "tensorboard": of_tensorboard,
}


@pytest.mark.parametrize("kind", READERS)
def test_its_own_reader_shows_what_was_stored_once(
    kind: str, experiment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unfinished run, the same one finished, and again with nothing new."""
    demand_installed(kind)
    home, into = tmp_path / RUN, tmp_path / "a folder"
    shutil.copytree(experiment / RUN, home)
    whole, summary = (home / "rounds.jsonl").read_bytes(), (home / "summary.json").read_bytes()
    (home / "rounds.jsonl").write_bytes(b"".join(whole.splitlines(keepends=True)[:1]))
    (home / "summary.json").unlink()
    track = ("track", home, "--to", kind, "--into", into)
    (first,) = asked(capsys, *track)["sent"]
    assert (first["rounds"], first["finished"]) == (1, False)
    (home / "rounds.jsonl").write_bytes(whole)
    (home / "summary.json").write_bytes(summary)
    (second,) = asked(capsys, *track)["sent"]
    assert (second["rounds"], second["finished"]) == (2, True)
    (third,) = asked(capsys, *track)["sent"]
    assert (third["rounds"], third["finished"]) == (0, True)
    assert str(into) in third["where"]
    assert any(str(into) in word for word in third["show"])

    records, about = stored(home)
    metrics, settings = READERS[kind](into, about)
    same: Any = pytest.approx if kind == "tensorboard" else lambda value: value  # it has float32
    series: dict[str, list[Any]] = {
        "accuracy": [record.accuracy for record in records],
        "training_loss": [record.training_loss for record in records],
        "uplink_bytes": [record.uplink_bytes for record in records],
        "firing_rate/hidden": [record.firing_rates["hidden"] for record in records],
        "seconds/training": [record.seconds["training"] for record in records],
        "modelled_energy_mj/study_rule": [study_energy_mj(r.operations) for r in records],
    }
    for name, expected in series.items():
        assert metrics[name] == same(dict(enumerate(expected, 1))), name
    run = reader.run(home)
    assert run is not None
    bill = run.bill["horowitz45-int8"]["memory"]
    assert metrics["final/accuracy"] == same({ROUNDS: run.final_accuracy})
    energy = metrics["final/modelled_energy_mj_of_run/horowitz45-int8/memory"]
    assert energy == same({ROUNDS: bill.run.nominal_mj})
    assert float(settings["snn.time_steps"]) == 3
    assert settings["architecture.hidden"] == "[4]"
    assert outside == []


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace sees what programs connect to")
def test_wandbs_own_programs_connect_to_nobody(experiment: Path, tmp_path: Path) -> None:
    demand_installed("wandb")
    calls = tmp_path / "calls"
    traced = ["strace", "-f", "-qq", "-e", "trace=connect,sendto", "-o", str(calls)]
    track = ["-m", "fedspike", "track", str(experiment), "--to", "wandb", "--into", str(tmp_path)]
    subprocess.run([*traced, sys.executable, *track], check=True, capture_output=True)
    assert "AF_UNIX" in calls.read_text()  # they do speak to each other
    assert [line for line in calls.read_text().splitlines() if "AF_INET" in line] == []


class Slate:
    """A tracker that keeps what it is told in memory, and breaks when it should."""

    kind, title, package = "slate", "Slate", "json"
    quiet: Mapping[str, str] = {}

    def __init__(self, breaks: int = 99) -> None:
        self.told: dict[str, list[int]] = defaultdict(list)
        self.breaks, self.tries = breaks, 0

    def open(self, about: About, into: Path) -> Tracked:
        assert into.is_dir()
        slate, rounds = self, self.told[about.name]

        class Run:
            def last(self, metric: str) -> int:
                return max(rounds, default=0) if metric == "accuracy" else 0

            def add(self, round: int, metrics: Mapping[str, float]) -> None:
                slate.tries += 1
                if round >= slate.breaks:
                    raise ConnectionError("gone")
                if "accuracy" in metrics:
                    rounds.append(round)

            def close(self, finished: bool, /) -> None:
                assert finished in (True, False)

        return Run()

    def shown(self, into: Path) -> tuple[str, list[str]]:
        return str(into), ["slate"]


def test_live_a_run_that_stops_goes_on_where_it_was(tmp_path: Path) -> None:
    tiny, slate = sweep.expand(document.parse(TOML, "tiny.toml")), Slate()
    said: list[str] = []
    for _ in range(2):  # stopped after the second round, then to the end
        with Live([slate], tmp_path, said.append) as live:
            for event in events(tiny, tmp_path):
                live.show(event)
                if isinstance(event, Trained) and event.record.round == 2:
                    break
    with Live([slate], tmp_path, said.append) as live:  # and it was finished before
        for event in events(tiny, tmp_path):
            live.show(event)
    assert slate.told == {RUN: [1, 2, 3]}
    assert said == []


def test_a_run_that_gets_more_rounds_is_not_finished_yet(tmp_path: Path) -> None:
    """What is shown of it goes on in the same run of the tracker."""
    slate, folder = Slate(), finish(TOML, tmp_path / "tiny")
    assert send(slate, folder / RUN, tmp_path) == (ROUNDS, True)
    more = sweep.expand(document.parse(TOML.replace("rounds = 3", "rounds = 5"), "tiny.toml"))
    for event in events(more, folder):
        if isinstance(event, Trained):
            break
    assert send(slate, folder / RUN, tmp_path) == (1, False)
    for _ in events(more, folder):
        pass
    assert send(slate, folder / RUN, tmp_path) == (1, True)
    assert slate.told == {RUN: [1, 2, 3, 4, 5]}


def test_live_a_tracker_that_fails_is_said_once_and_the_training_goes_on(tmp_path: Path) -> None:
    tiny, slate, other = sweep.expand(document.parse(TOML, "tiny.toml")), Slate(breaks=2), Slate()
    other.kind = "other"
    said: list[str] = []
    with Live([slate, other], tmp_path / "tiny", said.append) as live:
        for event in events(tiny, tmp_path / "tiny"):
            live.show(event)
    assert reader.run(tmp_path / "tiny" / RUN) is not None
    assert (slate.told[RUN], slate.tries, other.told[RUN]) == ([1], 2, [1, 2, 3])
    (complaint,) = said
    assert "Slate failed: ConnectionError: gone" in complaint
    assert f"fedspike track {tmp_path}/tiny --to slate" in complaint
    assert live.fed == [other]


@pytest.mark.thorough
def test_the_command_tells_trackers_of_what_workers_train(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    demand_installed("tensorboard")
    monkeypatch.setattr("fedspike.cli.commands.write_report", lambda _: "drawn elsewhere")
    file, output = tmp_path / "tiny.toml", tmp_path / "runs" / "tiny"
    file.write_text(TOML.replace('["snn"]', '["ann", "snn"]').replace("rounds = 3", "rounds = 2"))
    words = ["run", file, "--output", output, "--workers", "2", "--track", "tensorboard"]
    assert main([str(word) for word in words]) == 0
    into = tmp_path / "runs" / "trackers" / "tensorboard"
    assert f"to look: tensorboard --logdir {into}" in capsys.readouterr().err
    for home in reader.read(output).runs:
        _, about = stored(output / home.name)
        (folder,) = into.glob(f"*/{about.name}.*")
        assert folder.name == f"{about.name}.{about.id[:8]}"
    again = asked(capsys, "track", output, "--to", "tensorboard")["sent"]
    assert [one["rounds"] for one in again] == [0, 0]


def test_what_cannot_be_tracked_is_said(
    experiment: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    demand_installed("tensorboard")

    def refused(*words: object) -> str:
        assert main(["track", *map(str, words)]) == 2
        return capsys.readouterr().err

    assert "mlflow" in refused(experiment, "--to", "mlfow").splitlines()[-1]
    assert "no run is in it" in refused(tmp_path, "--to", "tensorboard")
    assert "no such folder" in refused(tmp_path / "none", "--to", "tensorboard")
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "config.toml").write_text('name = "empty"')
    assert "no round is stored yet" in refused(empty, "--to", "tensorboard")
    monkeypatch.setattr("fedspike.extras.find_spec", lambda _: None)
    for kind in READERS:
        assert f"pip install 'fedspike[{kind}]'" in refused(experiment, "--to", kind)
    assert main(["run", "quickstart", "--track", "mlflow"]) == 2


def test_a_run_is_sent_by_one_process_at_a_time(experiment: Path, tmp_path: Path) -> None:
    _, about = stored(experiment / RUN)
    with (
        claimed(tmp_path / IN_USE / about.id, tmp_path),
        pytest.raises(InputError, match="in use by another"),
    ):
        Feed(Slate(), experiment / RUN, tmp_path)
    slate = Slate()
    assert send(slate, experiment / RUN, tmp_path) == (ROUNDS, True)


def test_a_run_is_the_same_one_wherever_its_folder_is(experiment: Path, tmp_path: Path) -> None:
    shutil.copytree(experiment / RUN, tmp_path / RUN)
    assert stored(tmp_path / RUN)[1] == stored(experiment / RUN)[1]
    assert place(Slate(), experiment / RUN) == experiment.parent / "trackers" / "slate"
    assert place(Slate(), experiment) == experiment.parent / "trackers" / "slate"


def test_a_tracker_is_a_short_file_a_line_in_the_list_and_an_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert {tracker.kind for tracker in TRACKERS} == READERS.keys()
    for tracker in TRACKERS:
        assert any(one.startswith(tracker.package) for one in extras[tracker.kind])
        file = Path(fedspike.trackers.__file__).parent / f"{tracker.kind}.py"
        assert len(file.read_text().splitlines()) < 60
    assert named(TRACKERS, [], "--to") == []
