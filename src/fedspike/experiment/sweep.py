"""One TOML file -> the runs it stands for: every point of the sweep, and the baselines."""

import hashlib
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fedspike.algorithms import ALGORITHMS
from fedspike.data import Source
from fedspike.data.partition import Centralised
from fedspike.energy.pairing import variant_of
from fedspike.errors import InputError
from fedspike.experiment import document
from fedspike.experiment.advice import home_of
from fedspike.experiment.document import Document
from fedspike.experiment.kinds import Kinds
from fedspike.experiment.plans import plan_of, toml_of
from fedspike.experiment.unread import demand_read
from fedspike.federation.plan import Plan
from fedspike.part import Part, fields_of
from fedspike.reading import digested, nearest, numbers, written
from fedspike.records.time_left import TimeLeft

MOST_RUNS = 1000
LONGEST_NAME = 150  # characters; folders may have 255 bytes
LONGEST_VALUE = 40  # characters of one value in it, such as a mixing matrix
# A run's name says these already; every other swept key is appended to it.
NAMED = ("network", "seed", "partition", "algorithm", "graph", "rule", "remedies")
SPEAKING = ("kind",)  # keys whose value needs no word before it in a name
NOT_SWEPT = (
    "name",
    "data",
    "target_accuracy",
    "test_noise",
    "test_blur",
)  # an experiment has one of each
NO_RESULT = ("name", "target_accuracy")  # they decide nothing of a run's result

SHIPPED = Kinds()


@dataclass(frozen=True)
class Run:
    """One training from start to end, and the name of its folder."""

    name: str
    plan: Plan
    tuned: tuple[str, ...] = ()  # keys of which each network has its own

    @property
    def settings_sha256(self) -> str:
        """The hash of all that decides the result; the experiment's name does not."""
        return self._sha256(NO_RESULT)

    @property
    def rounds_sha256(self) -> str:
        """The hash of all that decides each round: how many there are does not."""
        return self._sha256((*NO_RESULT, "rounds"))

    def _sha256(self, left_out: Sequence[str]) -> str:
        values = {k: v for k, v in toml_of(self.plan).items() if k not in left_out}
        return hashlib.sha256(msgspec.json.encode(values, order="sorted")).hexdigest()

    @property
    def variant(self) -> str:
        """What runs share that differ in the seed alone, as text."""
        return variant_of(toml_of(self.plan))

    @property
    def variant_sha256(self) -> str:
        """The hash of that."""
        return hashlib.sha256(self.variant.encode()).hexdigest()


@dataclass(frozen=True)
class Experiment:
    """The runs of one command, the cheap ones first."""

    name: str
    runs: tuple[Run, ...]
    source: Document
    kinds: Kinds = SHIPPED

    @property
    def rounds(self) -> dict[str, int]:
        """How many rounds each run has, by its name."""
        return {run.name: run.plan.rounds for run in self.runs}


def time_left(runs: Sequence[Run], at_once: int = 1) -> TimeLeft:
    """How long these runs take, so many side by side; whoever trains or watches them says what happens."""
    return TimeLeft(
        {run.name: run.plan.rounds for run in runs},
        {run.name: run.variant for run in runs},
        {run.name: run.plan.network.kind for run in runs},
        at_once,
    )


def read(
    preset_or_file: str,
    options: Sequence[str] = (),
    seeds: str | None = None,
    data_dir: str | None = None,
    kinds: Kinds = SHIPPED,
) -> Experiment:
    """The experiment of a preset or a TOML file, with the options of the command line.

    `options` are those of `--set`, KEY=VALUE; the others are `--seeds`, `--data-dir` and, with kinds of one's
    own, `--use`.

    Raises InputError, naming file, line or option, and key, where anything cannot be used.

    >>> [run.name for run in read("quickstart").runs]
    ['ann-classes10-seed0', 'ann-classes3-seed0', 'snn-classes10-seed0', 'snn-classes3-seed0']
    """
    source = _overridden(document.read(*_locate(preset_or_file)), options)
    if seeds is not None:
        source = source.override(("sweep", "seed"), _seeds(seeds), f"--seeds {seeds}")
    if data_dir is not None:
        source = source.override(("data", "data_dir"), data_dir, f"--data-dir {data_dir}")
    return expand(source, kinds)


def data_of(usual: Source, options: Sequence[str]) -> Source:
    """A source of data with the options of the command line, which are keys of `[data]`.

    Raises InputError, naming the option, where one is none or cannot be used.

    >>> from fedspike.data import NPZ
    >>> data_of(NPZ("own.npz"), ["data.axes=sample height width"]).axes
    'sample height width'
    """
    table = {key: value for key, value in msgspec.to_builtins(usual).items() if value is not None}
    source = _overridden(Document("[data]", "", {"name": "data", "data": table}), options)
    for key, option in source.options.items():
        if key[0] != "data":
            raise InputError(
                option,
                expected="a key of [data]",
                fix='write for example --set data.axes="sample height width"',
            )
    data: Source = plan_of(source, source.values, SHIPPED).data
    return data


def _overridden(source: Document, options: Sequence[str]) -> Document:
    parsed = [(*document.parse_option(option), f"--set {option}") for option in options]
    # A new kind starts its table afresh, so that it comes before the table's other keys.
    for key, value, option in sorted(parsed, key=lambda parsed: parsed[0][-1] != "kind"):
        source = source.override(key, value, option)
    return source


def expand(source: Document, kinds: Kinds = SHIPPED) -> Experiment:
    """Every run that a document stands for; equal ones once, conventional networks first."""
    baseline, tuned = source.values.get("centralised_baseline", False), _tuned(source, kinds)
    if not isinstance(baseline, bool):
        raise source.error(
            ("centralised_baseline",),
            "centralised_baseline is not a truth value",
            expected="true or false",
            fix="set centralised_baseline = true to train on all data in one place as well",
        )
    federated, centralised = [], []
    for chosen in _points(source, kinds):
        plan = plan_of(source, source.with_values(chosen), kinds)
        federated.append(Run(_name(plan, chosen, kinds), plan, tuned))
        if baseline:
            plan = _centralised(plan)
            centralised.append(Run(_name(plan, chosen, kinds), plan, tuned))
    demand_read(source, [run.plan for run in federated], kinds)
    runs: dict[str, Run] = {}
    for run in federated + centralised:
        runs.setdefault(run.settings_sha256, run)
    cheap_first = sorted(runs.values(), key=lambda run: run.plan.network.spiking)
    _distinct(source, cheap_first)
    return Experiment(cheap_first[0].plan.name, tuple(cheap_first), source, kinds)


def points(source: Document, kinds: Kinds) -> Iterator[tuple[dict[str, object], str]]:
    """What each point of the sweep sets, by dotted keys, and the name that its run has."""
    for chosen in _points(source, kinds):
        yield chosen, _name(plan_of(source, source.with_values(chosen), kinds), chosen, kinds)


def _points(source: Document, kinds: Kinds) -> Iterator[dict[str, object]]:
    _demand_numbers(source, source.values)
    for point in itertools.product(*_axes(source, kinds)):
        yield {key: value for keys in point for key, value in keys.items()}


def presets() -> dict[str, Path]:
    """The presets in the package by name."""
    return {path.stem: path for path in sorted(document.PRESETS.glob("*.toml"))}


def _locate(preset_or_file: str) -> tuple[Path, str]:
    """The file to read and what to call it."""
    if preset_or_file in presets():
        return presets()[preset_or_file], f"preset {preset_or_file}"
    if preset_or_file.endswith(".toml") or "/" in preset_or_file:
        return Path(preset_or_file), preset_or_file
    file = f"{preset_or_file}.toml"
    raise InputError(
        f"unknown preset {preset_or_file}",
        expected=f"one of {', '.join(presets())}, or the path of a .toml file",
        fix=f"did you mean {file}?" if Path(file).is_file() else nearest(preset_or_file, presets()),
    )


def _seeds(text: str) -> list[int]:
    if not re.fullmatch(r"\s*\d+\s*(,\s*\d+\s*)*", text, re.ASCII) or len(text) > 1000:
        raise InputError(
            f"--seeds {text[:60]}",
            expected="whole numbers >= 0",
            fix="write for example --seeds 0,1,2",
        )
    return [int(seed) for seed in text.split(",")]


def _axes(source: Document, kinds: Kinds) -> list[list[dict[str, object]]]:
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
        axes.append([_keys(source, name, value, swept, kinds) for value in values])
    return axes


def _keys(
    source: Document, name: str, value: object, swept: set[str], kinds: Kinds
) -> dict[str, object]:
    """What one value of a list sets: its key or, in `together`, the keys of a table."""
    place = ("sweep", *name.split("."))
    if name == document.TOGETHER and not isinstance(value, dict):
        raise source.error(
            place,
            f"sweep.{name} holds {written(value)}",
            expected="tables, each of which sets some keys",
            fix='write for example together = [{ code.kind = "phase", neuron.threshold = 0.5 }]',
        )
    keys = document.set_by(name, value)
    tops = [name for name in kinds.top if name not in NOT_SWEPT]
    for key in keys:
        if key.split(".")[0] not in tops:
            raise source.error(
                place,
                f"unknown key {key} in [sweep]",
                expected=f"a dotted key that begins with one of {', '.join(sorted(tops))}",
                fix=home_of(kinds, key, "") or nearest(key.split(".")[0], tops),
            )
        if key in swept:
            raise source.error(
                place,
                f"{key} is swept twice",
                expected="each key in one list of [sweep]",
                fix=f"remove it from {document.TOGETHER}, or its own list",
            )
    return keys


def _tuned(source: Document, kinds: Kinds) -> tuple[str, ...]:
    """The keys of which each network has its own, so that runs are compared although they differ in them."""
    names = source.values.get("tuned", [])
    tops = [
        name
        for name in kinds.top
        if name not in (*NOT_SWEPT, "network", "partition", "partition_seed", "seed")
    ]
    if not isinstance(names, list) or not all(
        isinstance(name, str) and name.split(".")[0] in tops for name in names
    ):
        raise source.error(
            ("tuned",),
            f"tuned = {written(names)}",
            expected=f"a list of dotted keys that begin with one of {', '.join(sorted(tops))}",
            fix='write for example tuned = ["optimiser.learning_rate"]',
        )
    return tuple(names)


def _centralised(plan: Plan) -> Plan:
    """The baseline of a plan: the same network and the same samples a round, all in one place."""
    usual, *_ = ALGORITHMS
    same = {"partition_seed": None, "cameras": None, "algorithm": usual(), "remedies": ()}
    return msgspec.structs.replace(plan, partition=Centralised(), **same)


def _name(plan: Plan, chosen: dict[str, object], kinds: Kinds) -> str:
    """The folder of a run, such as snn-classes3-seed0 or ann-dirichlet0.1-fedprox-mu0.1-seed0."""
    usual, *_ = ALGORITHMS
    algorithm, values = label(plan.algorithm), toml_of(plan)
    parts = [plan.network.kind, label(plan.partition)]
    parts += [] if algorithm == label(usual()) else [algorithm]
    parts += [label(remedy) for remedy in plan.remedies]
    network = plan.network
    parts += [name + _slug(getattr(network, name)) for name in network.in_names]
    already = [f"{network.kind}.{name}" for name in network.in_names]
    for key, value in chosen.items():
        table, leaf = key.split(".")[0], key.split(".")[-1]
        says_more = table not in NAMED and key not in already
        if says_more and (table in values or table not in kinds.top):
            parts.append(_slug(value) if leaf in SPEAKING else leaf + _slug(value))
    return "-".join([*parts, f"seed{plan.seed}"])


def label(part: Part) -> str:
    """The kind and whatever differs from its defaults: classes3, dirichlet0.1, fedprox."""
    return part.kind + "".join(_differences(part))


def _differences(part: Part) -> Iterator[str]:
    for field in fields_of(type(part)):
        value = getattr(part, field.name)
        if field.required:
            yield _slug(value)
        elif value != field.default:
            yield f"-{label(value)}" if isinstance(value, Part) else f"-{field.name}{_slug(value)}"


def _slug(value: object) -> str:
    if isinstance(value, dict):
        value = [value.get("kind", ""), *(v for key, v in value.items() if key != "kind")]
    text = "_".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return digested(re.sub(r"[^A-Za-z0-9.]+", "_", text), LONGEST_VALUE)


def _demand_numbers(source: Document, value: object, key: document.Key = ()) -> None:
    """Raise InputError at nan, inf and integers beyond 64 bits, which no key can hold."""
    for place, number in numbers(value, key):
        raise source.error(
            place,
            f"{document.dotted(place)} = {number}",
            expected="a finite number",
            fix="write a number",
        )


def _distinct(source: Document, runs: Sequence[Run]) -> None:
    """Raise where two different runs would share a folder, or a folder's name is too long."""
    names: set[str] = set()
    for name in (run.name for run in runs):
        if name in names or len(name) > LONGEST_NAME:
            what = "two runs" if name in names else "a run"
            raise source.error(
                ("sweep",),
                f"the sweep gives {what} the name {name[:LONGEST_NAME]}",
                expected=f"runs with different names of at most {LONGEST_NAME} characters",
                fix="sweep other keys, or run the experiments one by one",
            )
        names.add(name)
