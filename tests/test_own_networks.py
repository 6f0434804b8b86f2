"""A class of somebody's own file in an experiment's: trained, stored, resumed, swept, and run on nodes."""

from pathlib import Path
from typing import Any

import pytest
import tomli_w

from fedspike.cli import main
from fedspike.errors import InputError
from fedspike.experiment import sweep
from fedspike.experiment.kinds import Kinds
from fedspike.experiment.plans import toml_of
from fedspike.experiment.sweep import Experiment
from fedspike.federation.sent_plan import from_plain, plain
from fedspike.own_files import used
from fedspike.records import reader
from fedspike.records.events import Finished, Trained
from fleet_in_process import dealt_out, on_the_fleet
from running import events

USUAL = Path(__file__).parent / "modules" / "usual.py"
FILE: dict[str, Any] = {
    "name": "own",
    "rounds": 2,
    "data": {"kind": "fashion-mnist-sample"},
    "fleet": {"clients": 3, "samples_per_round": 24},
    "learner": {"batch_size": 8},
    "snn": {"time_steps": 4},
    "Net": {"input": "spikes", "shape": [784], "hidden": 9},
}


def written(folder: Path, **more: Any) -> Path:
    path = folder / "own.toml"
    path.write_text(tomli_w.dumps({**FILE, **more}))
    return path


def experiment_of(path: Path, options: tuple[str, ...] = ()) -> Experiment:
    return sweep.read(str(path), options, kinds=Kinds.used([USUAL]))


def models(folder: Path) -> dict[str, str]:
    return {run.name: run.model_sha256 for run in reader.read(folder).runs}


@pytest.mark.thorough
def test_a_module_from_a_file_is_as_good_as_a_network_that_ships(tmp_path: Path) -> None:
    networks = ["ann", "usual.py:Net", "Layers"]
    file = written(tmp_path, sweep={"network": networks, "seed": [0, 1]})
    whole = tmp_path / "whole"
    command = ["run", str(file), "--use", str(USUAL), "--output"]
    assert main([*command, str(whole)]) == 0
    summaries = {run.name: run for run in reader.read(whole).runs}
    assert sorted({run.network for run in summaries.values()}) == ["Layers", "Net", "ann"]
    assert (whole / "report.html").exists()
    assert (whole / "Net-iid-seed0" / "own" / USUAL.name).read_bytes() == USUAL.read_bytes()
    for name in ("Net", "Layers"):
        summary = summaries[f"{name}-iid-seed0"]
        assert summary.network_operations.not_counted == ()
        assert summary.bill["horowitz45-int8"]["training"].run.nominal_mj > 0
        assert summary.model_sha256 != summaries[f"{name}-iid-seed1"].model_sha256

    # By other processes, and from what a run stored of itself.
    assert main([*command, str(tmp_path / "workers"), "--workers", "2"]) == 0
    assert models(tmp_path / "workers") == models(whole)
    kept = whole / "Net-iid-seed0"
    again = ["run", str(kept / "config.toml"), "--use", str(kept / "own" / USUAL.name), "--output"]
    assert main([*again, str(tmp_path / "again")]) == 0
    assert [*models(tmp_path / "again").values()] == [summaries[kept.name].model_sha256]


@pytest.mark.parametrize("network", ["Net", "usual.py:Layers"])
def test_a_stopped_run_goes_on_and_nodes_do_the_same(network: str, tmp_path: Path) -> None:
    experiment = experiment_of(written(tmp_path, network=network))
    whole = [e for e in events(experiment, tmp_path / "whole") if isinstance(e, Finished)]
    model = whole[-1].summary.model_sha256
    happening: Any = events(experiment, tmp_path / "stopped")
    next(event for event in happening if isinstance(event, Trained))
    happening.close()
    went_on = [e for e in events(experiment, tmp_path / "stopped") if isinstance(e, Finished)]
    assert went_on[-1].summary.model_sha256 == model
    grid = dealt_out(experiment, tmp_path, nodes=2)
    nodes = [e for e in on_the_fleet(experiment, grid, tmp_path) if isinstance(e, Finished)]
    assert nodes[-1].summary.model_sha256 == model


def test_of_two_files_with_classes_of_one_name_a_node_takes_the_servers(tmp_path: Path) -> None:
    (other := tmp_path / "other.py").write_text(USUAL.read_text() + "# changed\n")
    file = str(written(tmp_path, network="Net"))
    for path in (USUAL, other):
        plan = sweep.read(file, kinds=Kinds.used([path])).runs[0].plan
        sent = from_plain(plain(plan), None, None)
        assert (type(sent.network), *used(sent)) == (type(plan.network), *used(plan))


def test_a_network_of_pixels_knows_no_time_and_twins_share_theirs(tmp_path: Path) -> None:
    """So a sweep over the codes trains it once."""
    swept = {"network": ["Net", "Layers"], "code.kind": ["rate", "burst"]}
    file = written(tmp_path, sweep=swept, Layers={"hidden": [7, 5]})
    experiment = experiment_of(file)
    assert [run.plan.network.kind for run in experiment.runs] == ["Layers", "Net", "Net"]
    tables = [toml_of(run.plan) for run in experiment.runs]
    assert tables[0]["Layers"]["hidden"] == [7, 5]
    assert not {"code", "neuron", "read_out"} & tables[0].keys()
    assert "time_steps" not in tables[0]["Layers"]
    assert [table["Net"]["time_steps"] for table in tables[1:]] == [4, 4]
    assert [table["Net"]["hidden"] for table in tables[1:]] == [9, 9]


def test_a_file_runs_no_code_by_its_own_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "mine.py"
    own.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    for more in ({"network": f"{own}:Net"}, {"sweep": {"network": ["ann", f"{own}:Net"]}}):
        file = written(tmp_path, **more)
        assert main(["run", str(file)]) == 2
        assert f"fix: fedspike run {file} --use {own}\n" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()


WRONG: dict[str, tuple[str, str]] = {
    "shape = []": ("Net.shape", "and Net.shape to how it is called"),
    "shape = [28]": ("Net.shape", "Net.shape = [784]"),
    'hidden = "many"': ("Net.hidden", "whole number"),
    "hidden = -1": ("Net(beta = 0.9, hidden = -1) in usual.py, line 16", "RuntimeError"),
    "hiden = 9": ("unknown key Net.hiden", "did you mean hidden?"),
    'input = "pixels"': ("Net.input = 'pixels'", "set Net.input and"),
}


@pytest.mark.parametrize("line", WRONG)
def test_what_does_not_fit_names_the_key(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, network="Net")
    name, _, value = line.partition(" = ")
    command = ["run", str(file), "--use", str(USUAL), "--output", str(tmp_path / "run")]
    assert main([*command, "--set", f"Net.{name}={value}"]) == 2
    told = capsys.readouterr().err
    assert [words for words in WRONG[line] if words not in told] == [], told


OTHERS = """
import numpy
from torch import nn
class Net(nn.Linear):
    def __init__(self):
        super().__init__(784, 10)
        self.weight.data[0, 0] = numpy.random.rand()
class Taken(nn.Linear):
    def __init__(self, code: int = 3):
        super().__init__(784, 10)
"""


@pytest.mark.parametrize(
    ("name", "words"),
    [("Net", "made twice at one seed, has another weight"), ("Taken", "call it code_ in Taken")],
)
def test_what_cannot_be_a_network_is_told(name: str, words: str, tmp_path: Path) -> None:
    own = tmp_path / "mine.py"
    own.write_text(OTHERS)
    file = written(tmp_path, network=name, Net={"shape": [784]})
    (run,) = sweep.read(str(file), kinds=Kinds.used([own])).runs
    with pytest.raises(InputError, match=words):
        run.plan.network.over((28, 28), 10)
