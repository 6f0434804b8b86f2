"""Codes, neurons, read-outs and losses of an experiment's file, and sweeps over them."""

import itertools
from typing import Any

import msgspec
import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from fedspike.errors import InputError
from fedspike.experiment import document, sweep
from fedspike.experiment.plans import toml_of
from fedspike.federation.plan import Plan
from fedspike.networks import SNN
from fedspike.part import Part
from fedspike.parts.codes import Burst, Code
from fedspike.parts.losses import CrossEntropy, SpikeCountMSE
from fedspike.parts.neurons import LIF
from fedspike.parts.read_outs import ReadOut
from parts_example import CODES, NEURONS, NORMALISATIONS, READ_OUTS, SURROGATES, name


def expand(text: str, *options: str) -> list[sweep.Run]:
    """The runs of a file of spiking networks, with options of the command line."""
    source = document.parse(f'name = "mine"\nnetwork = "snn"\n{text}', "mine.toml")
    for option in options:
        source = source.override(*document.parse_option(option), f"--set {option}")
    return list(sweep.expand(source).runs)


def only(text: str, *options: str) -> Plan:
    """The plan of the one run of such a file."""
    [run] = expand(text, *options)
    return run.plan


def network_of(plan: Plan) -> SNN:
    """Its network, which is spiking."""
    assert isinstance(plan.network, SNN)
    return plan.network


def fields(part: Any) -> dict[str, Any]:
    return msgspec.structs.asdict(part)


def test_what_a_file_leaves_out_is_the_founding_study() -> None:
    assert only("").network == SNN(50, neuron=LIF(beta=0.9, threshold=1.0, reset="subtract"))
    assert fields(only("").learner)["batch_size"] == 128


PARTS: list[tuple[str, Part, int]] = [  # the field of SNN, and the time steps that it fits
    *(("code", code, steps) for code, steps in CODES),
    *(("neuron", neuron, 9) for neuron in NEURONS),
    *(("neuron", LIF(surrogate=surrogate), 9) for surrogate in SURROGATES),
    *(("read_out", read_out, 9) for read_out in READ_OUTS),
    *(("normalisation", normalisation, 9) for normalisation in NORMALISATIONS),
]


@pytest.mark.parametrize(("field", "part", "steps"), PARTS, ids=name)
def test_a_part_is_what_its_table_says(field: str, part: Part, steps: int) -> None:
    """Written as a file and read back it is the same part, and the same run."""
    tables = {field: tabulated(part)}
    if isinstance(surrogate := getattr(part, "surrogate", None), Part):
        tables["surrogate"] = tabulated(surrogate)
    plan = only(tomli_w.dumps({"snn": {"time_steps": steps}, **tables}))
    assert plan.network == SNN(steps, **{field: part})  # type: ignore[arg-type]
    again = document.parse(tomli_w.dumps(toml_of(plan)), "config.toml")
    assert sweep.expand(again).runs[0].plan == plan


def tabulated(part: Part) -> dict[str, Any]:
    """A part's own table in a file."""
    fields = {name: getattr(part, name) for name in part.__struct_fields__}
    return {"kind": part.kind} | {k: v for k, v in fields.items() if not isinstance(v, Part)}


@given(st.integers(1, 100))
def test_auto_is_as_much_as_the_time_steps_hold(time_steps: int) -> None:
    """The code takes it, and one more, up to the usual, it would not take."""
    for kind, key, usual in (("phase", "period", 8), ("burst", "most_spikes", 5)):
        text = f'[snn]\ntime_steps = {time_steps}\n[read_out]\nkind = "membrane"\n[code]\nkind = "{kind}"\n'
        chosen = getattr(network_of(only(text)).code, key)
        assert 1 <= chosen <= usual
        assert only(f"{text}{key} = {chosen}") == only(text)
        if chosen < usual:
            with pytest.raises(InputError, match=f"time_steps = {time_steps}"):
                only(f"{text}{key} = {chosen + 1}")


@pytest.mark.parametrize("read_out", READ_OUTS, ids=name)
def test_the_loss_that_fits_the_read_out(read_out: ReadOut) -> None:
    table = f'[read_out]\nkind = "{read_out.kind}"\n'
    usual, chosen = only(table), only(f'{table}[loss]\nkind = "cross-entropy"')
    assert fields(usual.learner)["loss"] == (SpikeCountMSE() if read_out.counts else CrossEntropy())
    assert fields(chosen.learner)["loss"] == CrossEntropy()


def test_the_rates_of_the_usual_loss() -> None:
    plan = only("[snn]\ntime_steps = 10\n[loss]\ncorrect_rate = 0.7")
    assert fields(plan.learner)["loss"] == SpikeCountMSE(correct_rate=0.7, incorrect_rate=0.2)


FILE = """\
[snn]
time_steps = 5
[read_out]
kind = "count"
[code]
kind = "rate"
[neuron]
kind = "lif"
[loss]
kind = "spike-count"
"""
# What replaces what in FILE; the line of the error; the words that it must hold.
BAD = [
    ('"rate"', '"rat"', 8, ['code.kind = "rat"', "did you mean rate?"]),
    ('"rate"', '"rate"\nperiod = 3', 9, ["unknown key code.period", 'code.kind = "phase"']),
    ('"rate"', '"phase"\nperiod = 6', 4, ["Phase: time_steps = 5", "at least one period"]),
    ('"rate"', '"phase"\nperiod = 0', 9, ["code.period = 0", 'and <= 16 or "auto"']),
    ('"rate"', '"phase"\nperiod = "all"', 9, ['code.period = "all"', 'code.period = "auto"']),
    ('"rate"', '"burst"\nmost_spikes = 5', 4, ["Burst: time_steps = 5", "most_spikes = 3"]),
    ('"rate"', '"latency"\nthreshold = 1', 9, ["code.threshold = 1", "> 0 and < 1"]),
    ('"rate"', '"latency"\nscale = "log"', 9, ['"linear" or "logarithmic"']),
    ('"rate"', '"delta"\nthreshold = 1e-6', 9, ["code.threshold = 1e-06", ">= 1.5259e-05"]),
    ('"lif"', '"current-based"', 10, ["neuron.alpha is missing", ">= 0 and <= 1"]),
    ('"lif"', '"current-based"\nalpha = 2', 11, ["neuron.alpha = 2"]),
    ('"lif"', '"adaptive"\nrho = 0.9', 10, ["neuron.adaptation is missing"]),
    ('"lif"', '"alif"', 10, ['neuron.kind = "alif"', "did you mean lif?"]),
    ('"lif"', '"lif"\nlearn_beta = "yes"', 11, ['"no" or "per-layer" or "per-neuron"']),
    ('"lif"', '"lif"\n[surrogate]\nkind = "step"', 12, ['surrogate.kind = "step"', '"atan"']),
    ("time_steps = 5", "beta = 0.9", 4, ["unknown key snn.beta", "write it as neuron.beta"]),
    ('"count"', '"spikes"', 6, ['read_out.kind = "spikes"', '"first-spike", "membrane"']),
    ('"count"', '"membrane"', 12, ["SpikeCountMSE of MeanMembrane", "CrossEntropy"]),
    ('"count"', '"first-spike"', 12, ["SpikeCountMSE of FirstSpike"]),
    ('"spike-count"', '"cross-entropy"\ncorrect_rate = 1', 13, ["unknown key loss.correct_rate"]),
    ('"spike-count"', '"squares"', 12, ['loss.kind = "squares"', '"cross-entropy"']),
]


@pytest.mark.parametrize(("old", "new", "line", "words"), BAD)
def test_bad_input_is_one_error_with_file_line_and_cure(
    old: str, new: str, line: int, words: list[str]
) -> None:
    assert old in FILE
    assert only(FILE)
    with pytest.raises(InputError) as caught:
        expand(FILE.replace(old, new, 1))
    message = str(caught.value)
    assert message.startswith(f"mine.toml, line {line}: " if words else "mine.toml")
    assert [word for word in words if word not in message] == []


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("code.kind=latency", ["--set snn.time_steps=1: ", "Latency: time_steps = 1"]),
        ("code.kind=phases", ["--set code.kind=phases: ", "did you mean phase?"]),
        ("read_out.kind=membrane", []),
    ],
)
def test_a_bad_option_is_named_instead_of_a_line(option: str, words: list[str]) -> None:
    options = ("snn.time_steps=1", "loss.kind=cross-entropy", option)
    if not words:
        assert only("", *options)
        return
    with pytest.raises(InputError) as caught:
        expand("", *options)
    assert [word for word in words if word not in str(caught.value)] == []


def test_sweeps_over_codes_read_outs_and_time_steps() -> None:
    codes, read_outs = ([*sweep.SHIPPED.of(family)] for family in (Code, ReadOut))
    runs = expand(
        "[sweep]\n"
        f'"code.kind" = {codes}\n"read_out.kind" = {read_outs}\n'
        '"snn.time_steps" = [5, 10]\nnetwork = ["snn", "ann", "qann"]\n'
    )
    expected = [
        f"snn-iid-{code.replace('-', '_')}-{read_out.replace('-', '_')}-time_steps{steps}-seed0"
        for code, read_out, steps in itertools.product(codes, read_outs, (5, 10))
    ]
    conventional = ["ann-iid-seed0", "qann-iid-bits3-seed0", "qann-iid-bits4-seed0"]
    assert [run.name for run in runs] == [*conventional, *expected]
    assert len({run.settings_sha256 for run in runs}) == len(runs)
    for run in runs[:3]:
        assert toml_of(run.plan).keys().isdisjoint({"snn", "code", "neuron", "surrogate"})


TOGETHER = """
[sweep]
together = [
    { code.kind = "rate" },
    { code.kind = "phase", neuron.threshold = 0.5, neuron.beta = 1.0 },
    { code.kind = "burst", code.most_spikes = 2, neuron.threshold = 0.5 },
]
seed = [0, 1]
"""


def test_keys_that_are_swept_together() -> None:
    runs = expand(TOGETHER)
    assert [run.name for run in runs] == [
        *(f"snn-iid-rate-seed{seed}" for seed in (0, 1)),
        *(f"snn-iid-phase-threshold0.5-beta1.0-seed{seed}" for seed in (0, 1)),
        *(f"snn-iid-burst-most_spikes2-threshold0.5-seed{seed}" for seed in (0, 1)),
    ]
    networks = [network_of(run.plan) for run in runs[::2]]
    assert [network.neuron for network in networks] == [LIF(), LIF(1.0, 0.5), LIF(0.9, 0.5)]
    assert networks[2].code == Burst(most_spikes=2)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["code.kind=phase"], ["phase-threshold0.5-beta1.0"]),
        (["code.kind=direct"], [""]),
        (["neuron.threshold=2"], ["rate", "phase-beta1.0", "burst-most_spikes2"]),
        (
            ["neuron.beta=0.5", "rounds=3"],
            ["rate", "phase-threshold0.5", "burst-most_spikes2-threshold0.5"],
        ),
        (
            ["neuron.reset=zero"],
            ["rate", "phase-threshold0.5-beta1.0", "burst-most_spikes2-threshold0.5"],
        ),
        (["code.kind=burst", "neuron.threshold=2"], ["burst-most_spikes2"]),
    ],
)
def test_an_option_has_the_last_word_over_keys_together(
    options: list[str], names: list[str]
) -> None:
    runs = expand(TOGETHER, *options, "sweep.seed=[0]")
    found = [
        run.name.removeprefix("snn-iid").removesuffix("-seed0").removeprefix("-") for run in runs
    ]
    assert found == names


@pytest.mark.parametrize(
    ("list_", "words"),
    [
        ("[3]", ["sweep.together holds 3", "tables"]),
        ("3", ["not a list of values"]),
        ("[{ cod.kind = 'rate' }]", ["unknown key cod.kind", "code"]),
        ("[{ name = 'x' }]", ["unknown key name"]),
        ("[{ seed = 1 }, { seed = 2 }]", ["seed is swept twice"]),
        ("[{ rounds = 1 }, { rounds = 1 }]", ["holds a value twice"]),
        ("[{ rounds = 0 }]", ["rounds = 0"]),
    ],
)
def test_bad_tables_of_keys_together(list_: str, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        expand(f"[sweep]\nseed = [1]\ntogether = {list_}\n")
    assert str(caught.value).startswith("mine.toml, line 5: ")
    assert [word for word in words if word not in str(caught.value)] == []


def test_each_key_makes_another_run() -> None:
    changed: dict[str, Any] = {
        "code.kind": "delta",
        "loss.kind": "cross-entropy",
        "surrogate.kind": "sigmoid",
        "neuron.learn_beta": "per-layer",
        "neuron.learn_threshold": "per-neuron",
        "read_out.kind": "membrane",
        "neuron": {"kind": "current-based", "alpha": 0.0},
    }
    runs = [expand(tomli_w.dumps({"sweep": {key: [value]}}))[0] for key, value in changed.items()]
    assert len({run.settings_sha256 for run in (*expand(""), *runs)}) == len(runs) + 1
