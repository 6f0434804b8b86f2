"""A part of each family in a file of its own beyond the package: from Python, from a file, stored, resumed.

Adding one of each kind to the package would take that file and a line of its room's list; here it takes
`--use FILE`.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import tomli_w

import fedspike as fs
from fedspike import own_files
from fedspike.cli import main
from fedspike.experiment import sweep
from fedspike.experiment.kinds import FAMILIES, Kinds
from fedspike.part import Part
from fedspike.records.events import Trained
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
    "in_turn": {"partition": {"pack": 2}},
    "stripes": {"data": {"noise": 0.2}},
    "server_momentum": {"algorithm": {"decay": 0.3}},
    "rounded": {"remedies": [{"step": 0.01}]},
    "perturbation": {"learner": {"steps": 2}},
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
    inside: dict[str, dict[str, Any]] = {"plan": {}, "network": {}, "neuron": {}, "learner": {}}
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
        case "in_turn":
            inside["plan"] = {"partition": part}
        case "stripes":
            inside["plan"] = {"data": part}
        case "server_momentum":
            inside["plan"] = {"algorithm": part}
        case "perturbation":
            inside["plan"] = {"learner": part}
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
        fleet=fs.Fleet(clients=3, samples_per_round=24),
        rounds=2,
        name="outside",
    )


def run(file: Path, name: str, folder: Path) -> dict[str, Any]:
    """`fedspike run FILE --use PART`, and the summary of its run."""
    use = str(OUTSIDE / f"{name}.py")
    assert main(["run", str(file), "--use", use, "--output", str(folder)]) == 0
    [summary] = json.loads((folder / "summary.json").read_bytes())["runs"]
    return dict(summary)


def test_there_is_one_of_each_family() -> None:
    """But for networks, their layouts, normalisations and rules, which the issue leaves out."""
    kinds = [kind_of(path.stem) for path in sorted(OUTSIDE.glob("*.py"))]
    assert {path.stem for path in OUTSIDE.glob("*.py")} == set(PARTS)
    missing = [f.__name__ for f in FAMILIES if not any(issubclass(kind, f) for kind in kinds)]
    assert missing == ["Network", "Architecture", "Normalisation", "Rule"]


@pytest.mark.parametrize("name", PARTS)
def test_a_part_from_outside_is_as_good_as_one_that_ships(name: str, tmp_path: Path) -> None:
    rounds = list(fs.rounds(plan_of(name).loaded()))
    file = file_of(name, tmp_path)
    summary = run(file, name, tmp_path / "whole")
    assert summary["accuracy"] == [round.accuracy for round in rounds]
    [home] = [path.parent for path in (tmp_path / "whole").glob("*/config.toml")]
    assert (home / "own" / f"{name}.py").read_bytes() == (OUTSIDE / f"{name}.py").read_bytes()
    assert (tmp_path / "whole" / "report.html").exists()

    # Stopped after the first round, and gone on with.
    kinds = Kinds(own_files.load([OUTSIDE / f"{name}.py"]))
    experiment = sweep.read(str(file), kinds=kinds)
    happening = events(experiment, tmp_path / "stopped")
    next(event for event in happening if isinstance(event, Trained))
    happening.close()
    resumed = run(file, name, tmp_path / "stopped")
    assert resumed["model_sha256"] == summary["model_sha256"]
