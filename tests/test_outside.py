"""A part of each family in a file of its own beyond the package: from Python, from a file, stored, resumed.

Adding one of each kind to the package would take that file and a line of its room's list; here it takes
`--use FILE`.
"""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w

import fedspike as fs
from fedspike import own_files
from fedspike.cli import main
from fedspike.errors import InputError
from fedspike.experiment import sweep
from fedspike.experiment.kinds import FAMILIES, Kinds
from fedspike.experiment.plans import toml_of
from fedspike.federation.sent_plan import from_plain, plain
from fedspike.part import Part
from fedspike.records import reader
from fedspike.records.events import Finished, Trained
from fedspike.records.schema import RunSummary
from fleet_in_process import dealt_out, on_the_fleet
from running import events

OUTSIDE = Path(__file__).parent / "outside"
FILE: dict[str, Any] = {
    "name": "outside",
    "network": "snn",
    "rounds": 2,
    "data": {"kind": "fashion-mnist-sample"},
    "fleet": {"clients": 3, "samples_per_round": 24},
    "architecture": {"hidden": [8]},
    "snn": {"time_steps": 6},
    "learner": {"batch_size": 8},
}
# What the file of each part adds to the experiment, and the plan in Python that it stands for.
PARTS: dict[str, dict[str, Any]] = {
    "thermometer": {"code": {"gain": 0.9}},
    "integrator": {"neuron": {"threshold": 0.8}, "surrogate": {"kind": "sigmoid"}},
    "rectangle": {"surrogate": {"width": 0.5}},
    "last_steps": {"read_out": {"steps": 3}},
    "margin": {"loss": {"margin": 2.0}},
    "momentum": {"optimiser": {"decay": 0.8}},
    "covariance": {
        "plasticity": {"rate": 0.1},
        "learner": {"kind": "stdp"},
        "neuron": {"kind": "competitive"},
        "read_out": {"kind": "membrane"},
    },
    "in_turn": {"partition": {"pack": 2}},
    "stripes": {"data": {"noise": 0.2}},
    "server_momentum": {"algorithm": {"decay": 0.3}},
    "rounded": {"remedies": [{"step": 0.01}]},
    "perturbation": {"learner": {"steps": 2}},
    "in_rotation": {"selection": {"stride": 2}, "fleet": FILE["fleet"] | {"clients_per_round": 2}},
    "fixed_pace": {"clock": {"pace": 2e6}},
    "every_other": {"availability": {"shifts": 2}},
    "warm_up": {"schedule": {"rounds": 2}},
    "hub": {"graph": {"middle": 1}, "algorithm": {"kind": "gossip"}},
}


def kind_of(name: str) -> type[Part]:
    """The part of a file, imported as anybody imports a file of theirs."""
    sys.path.insert(0, str(OUTSIDE))
    try:
        module = importlib.import_module(name)
    finally:
        sys.path.remove(str(OUTSIDE))
    parts = [v for v in vars(module).values() if isinstance(v, type) and v.__module__ == name]
    return next(one for one in parts if issubclass(one, Part) and not one.__name__.startswith("_"))


def file_of(name: str, folder: Path) -> Path:
    """The experiment's file that names the part."""
    (table, keys), *others = PARTS[name].items()
    tag = kind_of(name).__struct_config__.tag
    first = {"kind": tag, **keys} if isinstance(keys, dict) else [{"kind": tag, **keys[0]}]
    values = {**FILE, table: first, **dict(others)}
    path = folder / f"{name}.toml"
    path.write_text(tomli_w.dumps(values))
    return path


def plan_of(name: str) -> Any:
    """The same in Python."""
    kind, keys = kind_of(name), next(iter(PARTS[name].values()))
    part = kind(**(keys[0] if isinstance(keys, list) else keys))
    inside: dict[str, dict[str, Any]] = {"plan": {}, "network": {}, "fleet": {}, "learner": {}}
    match name:
        case "integrator":
            inside["network"] = {"neuron": kind(**keys, surrogate=fs.Sigmoid())}
        case "rectangle":
            inside["network"] = {"neuron": fs.LIF(surrogate=part)}
        case "thermometer":
            inside["network"] = {"code": part}
        case "last_steps":
            inside["network"] = {"read_out": part}
        case "margin":
            inside["learner"] = {"loss": part}
        case "momentum":
            inside["learner"] = {"optimiser": part}
        case "warm_up":
            inside["learner"] = {"optimiser": fs.Adam(schedule=part)}
        case "covariance":
            inside["network"] = {"neuron": fs.Competitive(), "read_out": fs.MeanMembrane()}
            inside["plan"] = {"learner": fs.STDP(plasticity=part)}
        case "in_turn":
            inside["plan"] = {"partition": part}
        case "stripes":
            inside["plan"] = {"data": part}
        case "server_momentum":
            inside["plan"] = {"algorithm": part}
        case "hub":
            inside["plan"] = {"algorithm": fs.Gossip(graph=part)}
        case "perturbation":
            inside["plan"] = {"learner": part}
        case "in_rotation":
            inside["fleet"] = {"selection": part, "clients_per_round": 2}
        case "fixed_pace":
            inside["fleet"] = {"clock": part}
        case "every_other":
            inside["fleet"] = {"availability": part}
        case "rounded":
            inside["plan"] = {"remedies": (part,)}
    inside["plan"] = {
        "data": fs.FashionMNISTSample(),
        "learner": fs.Backpropagation(batch_size=8, **inside["learner"]),
        **inside["plan"],
    }
    return fs.Plan(
        **inside["plan"],
        network=fs.SNN(
            time_steps=6, architecture=fs.FullyConnected(hidden=(8,)), **inside["network"]
        ),
        fleet=fs.Fleet(clients=3, samples_per_round=24, **inside["fleet"]),
        rounds=2,
        name="outside",
    )


def summary_of(happening: Iterator[Any]) -> RunSummary:
    """The summary of the run that is done."""
    summaries = [event.summary for event in happening if isinstance(event, Finished)]
    return summaries[-1]


def test_there_is_one_of_each_family() -> None:
    """But for those of which nobody needs a file of their own yet: see issue 13."""
    kinds = [kind_of(path.stem) for path in sorted(OUTSIDE.glob("*.py"))]
    assert {path.stem for path in OUTSIDE.glob("*.py")} == set(PARTS)
    missing = [f.__name__ for f in FAMILIES if not any(issubclass(kind, f) for kind in kinds)]
    assert missing == ["Network", "Architecture", "Normalisation", "Rule"]


# What computes sample after sample, what no device sees, and what has a like among the others.
SLOW = (
    *("covariance", "in_rotation", "every_other", "fixed_pace", "momentum", "server_momentum"),
    *("hub", "rounded", "in_turn", "stripes"),
)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.agreement] * (name in SLOW)) for name in PARTS],
)
def test_a_part_from_outside_is_as_good_as_one_that_ships(name: str, tmp_path: Path) -> None:
    path, file = OUTSIDE / f"{name}.py", file_of(name, tmp_path)
    experiment = sweep.read(str(file), kinds=Kinds(own_files.load([path])))
    assert toml_of(experiment.runs[0].plan) == toml_of(plan_of(name))

    # From a file: trained, billed, reported, and the part is kept.
    whole = tmp_path / "whole"
    assert main(["run", str(file), "--use", str(path), "--output", str(whole)]) == 0
    (summary,) = reader.read(whole).runs
    (home,) = (config.parent for config in whole.glob("*/config.toml"))
    assert (home / "own" / path.name).read_bytes() == path.read_bytes()
    assert (whole / "report.html").exists()
    not_counted = summary.network_operations.not_counted
    assert not_counted == (("surrogate",) if name == "rectangle" else ())
    not_priced = summary.bill["horowitz45-int8"]["training"].not_priced
    assert ("surrogate (not counted)" in not_priced) == (name == "rectangle")

    # From Python: the same rounds, and stored by `run` the same model.
    assert [round.accuracy for round in fs.rounds(plan_of(name))] == summary.accuracy
    assert fs.run(plan_of(name), tmp_path / "python").model_sha256 == summary.model_sha256

    # Stopped after the first round, and gone on with.
    happening: Any = events(experiment, tmp_path / "stopped")
    next(event for event in happening if isinstance(event, Trained))
    happening.close()
    assert summary_of(events(experiment, tmp_path / "stopped")).model_sha256 == summary.model_sha256

    # On nodes, each of which was given the file.
    grid = dealt_out(experiment, tmp_path, nodes=2)
    on_nodes = summary_of(on_the_fleet(experiment, grid, tmp_path))
    assert on_nodes.model_sha256 == summary.model_sha256


def test_a_run_does_not_go_on_with_another_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, own = file_of("thermometer", tmp_path), tmp_path / "thermometer.py"
    own.write_bytes((OUTSIDE / own.name).read_bytes())
    experiment = sweep.read(str(file), kinds=Kinds(own_files.load([own])))
    happening: Any = events(experiment, tmp_path / "run")
    next(event for event in happening if isinstance(event, Trained))
    happening.close()
    own.write_text(own.read_text().replace("self.gain * pixels", "pixels"))
    command = ["run", str(file), "--output", str(tmp_path / "run"), "--use"]
    assert main([*command, str(own)]) == 2
    message = capsys.readouterr().err
    assert "thermometer.py has changed since" in message
    (kept,) = (tmp_path / "run").glob("*/own/thermometer.py")
    assert f"--use {kept}" in message
    assert main([*command, str(kept)]) == 0


def test_a_node_with_another_file_is_refused(tmp_path: Path) -> None:
    file, own = file_of("thermometer", tmp_path), tmp_path / "thermometer.py"
    own.write_bytes((OUTSIDE / own.name).read_bytes())
    (run,) = sweep.read(str(file), kinds=Kinds(own_files.load([own]))).runs
    sent = plain(run.plan)
    sent["own_files"][own.name] = "another"
    with pytest.raises(InputError, match=r"the same files with parts on the server and on all"):
        from_plain(sent, None, None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1", ["no kind of part in it", 'tag="mine"']),
        ("x = (", ["line 1", "SyntaxError"]),
        ("import math\n1 / 0\n", ["line 2", "ZeroDivisionError"]),
        (
            "from fedspike.parts.codes import Code\nclass Mine(Code, tag='mine'): pass\n",
            ["Mine has no spikes", "all members of a Code"],
        ),
        (
            "from fedspike.parts.codes import Rate\nclass Mine(Rate, tag='burst'): pass\n",
            ['Mine with the kind "burst"', "my-burst"],
        ),
    ],
)
def test_a_bad_file_is_one_error_that_names_it(
    text: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "mine.py"
    own.write_text(text)
    assert main(["explain", "code", "--use", str(own)]) == 2
    message = capsys.readouterr().err
    assert [word for word in words if word not in message] == []


def test_an_experiments_file_runs_no_code(tmp_path: Path) -> None:
    """Nothing in it can name a file of Python."""
    own = tmp_path / "mine.py"
    own.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    for table in ({"use": str(own)}, {"code": {"kind": f"{own}:Mine"}}):
        file = tmp_path / "x.toml"
        file.write_text(tomli_w.dumps({**FILE, **table}))
        assert main(["run", str(file)]) == 2
    assert not (tmp_path / "ran").exists()
