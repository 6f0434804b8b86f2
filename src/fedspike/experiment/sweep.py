"""One TOML file -> the runs it stands for: every point of the sweep, and the baselines."""

import hashlib
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from fedspike.errors import InputError
from fedspike.experiment import check, config, document, schema
from fedspike.experiment.config import Configuration
from fedspike.experiment.document import Document

MOST_RUNS = 1000
LONGEST_NAME = 150  # characters; folders may have 255 bytes
# A run's name says these already; every other swept key is appended to it.
NAMED = ("network", "seed", "partition", "algorithm", "qann.bits")
SPEAKING = ("kind", "read_out")  # keys whose value needs no word before it in a name
# Which network a table is for.
OWNERS = dict.fromkeys(config.SPIKING, "snn") | {"qann": "qann"}
# What came later, as all runs had it before: left out of a run's hash, so that these are still the same runs.
BEFORE: dict[str, dict[str, str | float]] = {
    "qann": {},
    "fleet": {"dropout": 0.0, "quorum": 0.0},
    "code": {"kind": "rate"},
    "architecture": {"kind": "dense"},
    "neuron": {"kind": "lif"},
    "normalisation": {"kind": "none"},
    "snn": {
        **{"surrogate": "atan", "read_out": "count"},
        **{"learn_beta": "no", "learn_threshold": "no"},
    },
    "loss": {"kind": "spike-count"},
}


@dataclass(frozen=True)
class Run:
    """One training from start to end, and the name of its folder."""

    name: str
    settings: Configuration

    @property
    def settings_sha256(self) -> str:
        """The hash of all that decides the result; the experiment's name does not."""
        return hashlib.sha256(
            msgspec.json.encode(identity(self.settings), order="sorted")
        ).hexdigest()


@dataclass(frozen=True)
class Experiment:
    """The runs of one command, the cheap ones first."""

    name: str
    runs: tuple[Run, ...]
    source: Document


def read(
    preset_or_file: str,
    options: Sequence[str] = (),
    seeds: str | None = None,
    data_dir: str | None = None,
) -> Experiment:
    """The experiment of a preset or a TOML file, with the options of the command line.

    `options` are those of `--set`, KEY=VALUE; the other two are `--seeds` and `--data-dir`.

    Raises InputError, naming file, line or option, and key, where anything cannot be used.

    >>> [run.name for run in read("quickstart").runs]
    ['ann-classes10-seed0', 'ann-classes3-seed0', 'snn-classes10-seed0', 'snn-classes3-seed0']
    """
    source = document.read(*_locate(preset_or_file))
    parsed = [(*document.parse_option(option), f"--set {option}") for option in options]
    # A new kind starts its table afresh, so that it comes before the table's other keys.
    for key, value, option in sorted(parsed, key=lambda parsed: parsed[0][-1] != "kind"):
        source = source.override(key, value, option)
    if seeds is not None:
        source = source.override(("sweep", "seed"), _seeds(seeds), f"--seeds {seeds}")
    if data_dir is not None:
        source = source.override(("data", "data_dir"), data_dir, f"--data-dir {data_dir}")
    return expand(source)


def expand(source: Document) -> Experiment:
    """Every run that a document stands for; equal ones once, conventional networks first."""
    check.numbers(source, source.values)
    axes, baseline = _axes(source), source.values.get("centralised_baseline", False)
    if not isinstance(baseline, bool):
        raise source.error(
            ("centralised_baseline",),
            "centralised_baseline is not a truth value",
            expected="true or false",
            fix="set centralised_baseline = true to train on all data in one place as well",
        )
    federated, centralised = [], []
    for point in itertools.product(*axes):
        chosen = {key: value for keys in point for key, value in keys.items()}
        point_values = source.with_values(chosen)
        point_values.pop("centralised_baseline", None)
        settings = check.configuration(source, point_values)
        federated.append(Run(_name(settings, chosen), settings))
        if baseline:
            settings = _centralised(settings)
            centralised.append(Run(_name(settings, chosen), settings))
    runs: dict[str, Run] = {}
    for run in federated + centralised:
        runs.setdefault(run.settings_sha256, run)
    cheap_first = sorted(runs.values(), key=lambda run: run.settings.network == "snn")
    _distinct(source, cheap_first)
    return Experiment(cheap_first[0].settings.name, tuple(cheap_first), source)


def identity(settings: Configuration) -> dict[str, Any]:
    """What decides a run's result: not its name, nor what is only counted from it."""
    values: dict[str, Any] = msgspec.to_builtins(settings)
    del values["name"], values["target_accuracy"], values["data"]["data_dir"]
    for table, before in BEFORE.items():
        if values[table] is not None:
            values[table] = {k: v for k, v in values[table].items() if before.get(k) != v}
        if table not in ("snn", "loss") and not values[table]:
            del values[table]
    return values


def presets() -> dict[str, Path]:
    """The presets in the package by name."""
    return {path.stem: path for path in sorted(document.PRESETS.glob("*.toml"))}


def _locate(preset_or_file: str) -> tuple[Path, str]:
    """The file to read and what to call it."""
    if preset_or_file in presets():
        return presets()[preset_or_file], f"preset {preset_or_file}"
    if preset_or_file.endswith(".toml") or "/" in preset_or_file:
        return Path(preset_or_file), preset_or_file
    raise InputError(
        f"unknown preset {preset_or_file}",
        expected=f"one of {', '.join(presets())}, or the path of a .toml file",
        fix=check.nearest(preset_or_file, presets()),
    )


def _seeds(text: str) -> list[int]:
    if not re.fullmatch(r"\s*\d+\s*(,\s*\d+\s*)*", text, re.ASCII) or len(text) > 1000:
        raise InputError(
            f"--seeds {text[:60]}",
            expected="whole numbers >= 0",
            fix="write for example --seeds 0,1,2",
        )
    return [int(seed) for seed in text.split(",")]


def _axes(source: Document) -> list[list[dict[str, object]]]:
    """The lists of the sweep, checked to be a sweep at all; of each value the keys that it sets."""
    axes: list[list[dict[str, object]]] = []
    product = 1
    for name, values in source.sweep.items():
        place = ("sweep", *name.split("."))
        if not isinstance(values, list) or not values:
            raise source.error(
                place,
                f"sweep.{name} is not a list of values",
                expected="a list with at least one value",
                fix=f"write for example seed = [0, 1, 2], or set {name} outside [sweep]",
            )
        product *= len(values)
        if product > MOST_RUNS:
            raise source.error(
                place,
                f"the sweep has {product} runs or more",
                expected=f"at most {MOST_RUNS}",
                fix="shorten a list",
            )
        if any(value in values[:index] for index, value in enumerate(values)):
            raise source.error(
                place,
                f"sweep.{name} holds a value twice",
                expected="a list of different values",
                fix="remove the repetition",
            )
        swept = {key for axis in axes for keys in axis for key in keys}
        axes.append([_keys(source, name, value, swept) for value in values])
    return axes


def _keys(source: Document, name: str, value: object, swept: set[str]) -> dict[str, object]:
    """What one value of a list sets: its key or, in `together`, the keys of a table."""
    place = ("sweep", *name.split("."))
    if name == document.TOGETHER and not isinstance(value, dict):
        raise source.error(
            place,
            f"sweep.{name} holds {schema.written(value)}",
            expected="tables, each of which sets some keys",
            fix='write for example together = [{ code.kind = "phase", snn.threshold = 0.5 }]',
        )
    keys = document.set_by(name, value)
    # An experiment has one name, one data set and one target; all else may be swept.
    fields = [field.name for field in msgspec.structs.fields(Configuration)]
    known = [name for name in fields if name not in ("name", "data", "target_accuracy")]
    for key in keys:
        if key.split(".")[0] not in known:
            raise source.error(
                place,
                f"unknown key {key} in [sweep]",
                expected=f"a dotted key that begins with one of {', '.join(sorted(known))}",
                fix=check.nearest(key.split(".")[0], known),
            )
        if key in swept:
            raise source.error(
                place,
                f"{key} is swept twice",
                expected="each key in one list of [sweep]",
                fix=f"remove it from {document.TOGETHER}, or its own list",
            )
    return keys


def _centralised(settings: Configuration) -> Configuration:
    """The baseline of a run: the same network and the same samples a round, all in one place."""
    return check.resolve(
        msgspec.structs.replace(settings, partition=config.Centralised(), algorithm=config.FedAvg())
    )


def _name(settings: Configuration, chosen: dict[str, object]) -> str:
    """The folder of a run, such as snn-classes3-seed0 or ann-dirichlet0.1-fedprox-mu0.1-seed0."""
    algorithm = _label(settings.algorithm)
    parts = [settings.network, _label(settings.partition)]
    parts += [] if algorithm == "fedavg" else [algorithm]
    parts += [] if settings.qann is None else [f"bits{settings.qann.bits}"]
    for key, value in chosen.items():
        table, leaf = key.split(".")[0], key.split(".")[-1]
        of_another = OWNERS.get(table, settings.network) != settings.network
        if table not in NAMED and key not in NAMED and not of_another:
            parts.append(_slug(value) if leaf in SPEAKING else leaf + _slug(value))
    return "-".join([*parts, f"seed{settings.seed}"])


def _label(table: config.KindTable) -> str:
    """The kind and whatever differs from its defaults: classes3, dirichlet0.1, fedprox."""
    label = str(table.__struct_config__.tag)
    for field in msgspec.structs.fields(table):
        value = getattr(table, field.name)
        if field.required:
            label += _slug(value)
        elif value != field.default:
            label += f"-{field.name}{_slug(value)}"
    return label


def _slug(value: object) -> str:
    if isinstance(value, dict):
        value = [value.get("kind", ""), *(v for key, v in value.items() if key != "kind")]
    text = "_".join(map(str, value)) if isinstance(value, list) else str(value)
    return re.sub(r"[^A-Za-z0-9.]+", "_", text)


def _distinct(source: Document, runs: Sequence[Run]) -> None:
    """Raise where two different runs would share a folder, or a folder's name is too long."""
    seen: set[str] = set()
    for name in (run.name for run in runs):
        if name in seen or len(name) > LONGEST_NAME:
            what = "two runs" if name in seen else "a run"
            raise source.error(
                ("sweep",),
                f"the sweep gives {what} the name {name[:LONGEST_NAME]}",
                expected=f"runs with different names of at most {LONGEST_NAME} characters",
                fix="sweep other keys, or run the experiments one by one",
            )
        seen.add(name)
