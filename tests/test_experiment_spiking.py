"""Codes, neurons, read-outs and losses of an experiment's file, and sweeps over them."""

import itertools
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from fedspike.data import load
from fedspike.errors import InputError
from fedspike.experiment import build, config, document, sweep
from fedspike.experiment.plans import toml_of
from fedspike.networks import SNN
from fedspike.parts import codes as encoding
from fedspike.parts import losses, neurons
from fedspike.parts import read_outs as readouts

CODES = ("rate", "latency", "phase", "burst", "delta", "direct")
READ_OUTS = ("count", "membrane", "first-spike")


def expand(text: str, *options: str) -> list[sweep.Run]:
    """The runs of a file of spiking networks, with options of the command line."""
    source = document.parse(f'name = "mine"\nnetwork = "snn"\n{text}', "mine.toml")
    for option in options:
        source = source.override(*document.parse_option(option), f"--set {option}")
    return list(sweep.expand(source).runs)


def only(text: str, *options: str) -> config.Configuration:
    [run] = expand(text, *options)
    return run.settings


def network_of(settings: config.Configuration) -> SNN:
    made = build.network(settings, load("fashion-mnist-sample"))
    assert isinstance(made, SNN)
    return made


def test_what_a_file_leaves_out_is_the_founding_study() -> None:
    settings = only("")
    assert settings.snn == config.SNN()
    assert (settings.code, settings.neuron) == (config.Rate(), config.LIF())
    assert settings.loss == config.SpikeCount(correct_rate=0.8, incorrect_rate=0.2)
    assert network_of(settings) == SpikingNetwork(
        network_of(settings).architecture,
        SNN(50, neuron=neurons.LIF(0.9, 1.0), code=encoding.Rate()),
    )


@pytest.mark.parametrize(
    ("table", "code"),
    [
        ('kind = "rate"', encoding.Rate()),
        ('kind = "latency"', encoding.Latency()),
        (
            'kind = "latency"\nscale = "logarithmic"\nthreshold = 0.1',
            encoding.Latency(scale="logarithmic", threshold=0.1),
        ),
        ('kind = "phase"', encoding.Phase(period=8)),
        ('kind = "phase"\nperiod = 3', encoding.Phase(period=3)),
        ('kind = "burst"', encoding.Burst(most_spikes=5)),
        ('kind = "burst"\nmost_spikes = 2', encoding.Burst(most_spikes=2)),
        ('kind = "delta"\nthreshold = 0.3', encoding.Delta(threshold=0.3)),
        ('kind = "direct"', encoding.Direct()),
        ("", encoding.Rate()),
    ],
)
def test_a_code_is_what_its_table_says(table: str, code: encoding.Code) -> None:
    settings = only(f"[snn]\ntime_steps = 12\n[code]\n{table}")
    assert network_of(settings).code == code
    again = document.parse(tomli_w.dumps(toml_of(settings)), "config.toml")
    assert sweep.expand(again).runs[0].settings == settings


@given(st.integers(1, 100))
def test_auto_is_as_much_as_the_time_steps_hold(time_steps: int) -> None:
    """The code takes it, and one more, up to the usual, it would not take."""
    for kind, key, usual in (("phase", "period", 8), ("burst", "most_spikes", 5)):
        text = f'[snn]\ntime_steps = {time_steps}\nread_out = "membrane"\n[code]\nkind = "{kind}"\n'
        chosen = getattr(only(text).code, key)
        assert 1 <= chosen <= usual
        assert only(f"{text}{key} = {chosen}") == only(text)
        if chosen < usual:
            with pytest.raises(InputError, match=f"time_steps = {time_steps}"):
                only(f"{text}{key} = {chosen + 1}")


@pytest.mark.parametrize(
    ("text", "neuron"),
    [
        ('[snn]\nreset = "none"', neurons.LIF(reset="none")),
        (
            '[snn]\nbeta = 1\nsurrogate = "fast-sigmoid"',
            neurons.LIF(1.0, 1.0, "subtract", neurons.FastSigmoid()),
        ),
        ('[snn]\nsurrogate = "sigmoid"', neurons.LIF(surrogate=neurons.Sigmoid())),
        ('[snn]\nsurrogate = "triangular"', neurons.LIF(surrogate=neurons.Triangular())),
        (
            '[snn]\nbeta = 0.5\nlearn_beta = "per-layer"\nlearn_threshold = "per-neuron"',
            neurons.LIF(neurons.Learnable(0.5), neurons.Learnable(1.0, per="neuron")),
        ),
        (
            '[snn]\nthreshold = 2\n[neuron]\nkind = "current-based"\nalpha = 0.3',
            neurons.CurrentBasedLIF(alpha=0.3, threshold=2.0),
        ),
        (
            '[neuron]\nkind = "adaptive"\nadaptation = 1.5\nrho = 0.9',
            neurons.AdaptiveLIF(adaptation=1.5, rho=0.9),
        ),
    ],
)
def test_neurons_are_what_their_tables_say(text: str, neuron: neurons.Neuron) -> None:
    assert network_of(only(text)).neuron == neuron


def test_the_loss_that_fits_the_read_out() -> None:
    objects = (readouts.SpikeCount(), readouts.MeanMembrane(), readouts.FirstSpike())
    for read_out, made in zip(READ_OUTS, objects, strict=True):
        settings = only(f'[snn]\nread_out = "{read_out}"')
        assert network_of(settings).read_out == made
        loss = build.local_training(settings).loss
        losses.check_read_out(loss, made)
        assert isinstance(loss, losses.SpikeCountMSE) == (read_out == "count")
        chosen = only(f'[snn]\nread_out = "{read_out}"\n[loss]\nkind = "cross-entropy"')
        assert build.local_training(chosen).loss == losses.CrossEntropy()
    old = only("[snn]\ntime_steps = 10\n[loss]\ncorrect_rate = 0.7")
    assert build.local_training(old).loss == losses.SpikeCountMSE(
        correct_rate=0.7, incorrect_rate=0.2
    )


FILE = """\
[snn]
time_steps = 5
read_out = "count"
[code]
kind = "rate"
[neuron]
kind = "lif"
[loss]
kind = "spike-count"
"""
# What replaces what in FILE; the line of the error; the words that it must hold.
BAD = [
    ('"rate"', '"rat"', 7, ['code.kind = "rat"', "did you mean rate?"]),
    ('"rate"', '"rate"\nperiod = 3', 8, ["unknown key code.period", 'code.kind = "phase"']),
    ('"rate"', '"phase"\nperiod = 6', 4, ["Phase: time_steps = 5", "at least one period"]),
    ('"rate"', '"phase"\nperiod = 0', 8, ["code.period = 0", 'and <= 16 or "auto"']),
    ('"rate"', '"phase"\nperiod = "all"', 8, ['code.period = "all"', 'code.period = "auto"']),
    ('"rate"', '"burst"\nmost_spikes = 5', 4, ["Burst: time_steps = 5", "most_spikes = 3"]),
    ('"rate"', '"latency"\nthreshold = 1', 8, ["code.threshold = 1", "> 0 and < 1"]),
    ('"rate"', '"latency"\nscale = "log"', 8, ['"linear" or "logarithmic"']),
    ('"rate"', '"delta"\nthreshold = 1e-6', 8, ["Delta: threshold = 1e-06"]),
    ('"lif"', '"current-based"', 9, ["neuron.alpha is missing", ">= 0 and <= 1"]),
    ('"lif"', '"current-based"\nalpha = 2', 10, ["neuron.alpha = 2"]),
    ('"lif"', '"adaptive"\nrho = 0.9', 9, ["neuron.adaptation is missing"]),
    ('"lif"', '"alif"', 9, ['neuron.kind = "alif"', "did you mean lif?"]),
    ('"lif"', '"lif"\nbeta = 0.9', 10, ["unknown key neuron.beta", "[snn], as snn.beta"]),
    ("time_steps = 5", 'surrogate = "step"', 4, ['"atan" or "fast-sigmoid"']),
    ("time_steps = 5", 'learn_beta = "yes"', 4, ['"no" or "per-layer" or "per-neuron"']),
    ('"count"', '"spikes"', 5, ['"count" or "membrane" or "first-spike"']),
    (
        '"count"',
        '"membrane"',
        11,
        ['"spike-count" with snn.read_out = "membrane"', "cross-entropy"],
    ),
    ('"count"', '"first-spike"', 11, ['with snn.read_out = "first-spike"']),
    ('"spike-count"', '"cross-entropy"\ncorrect_rate = 1', 12, ["unknown key loss.correct_rate"]),
    ('"spike-count"', '"squares"', 11, ['loss.kind = "squares"', '"cross-entropy"']),
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
        ("snn.read_out=membrane", []),
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
    runs = expand(
        "[sweep]\n"
        f'"code.kind" = {list(CODES)}\n"snn.read_out" = {list(READ_OUTS)}\n'
        '"snn.time_steps" = [5, 10]\nnetwork = ["snn", "ann", "qann"]\n'
    )
    expected = [
        f"snn-iid-{code}-{read_out.replace('-', '_')}-time_steps{steps}-seed0"
        for code, read_out, steps in itertools.product(CODES, READ_OUTS, (5, 10))
    ]
    conventional = ["ann-iid-seed0", "qann-iid-bits3-seed0", "qann-iid-bits4-seed0"]
    assert [run.name for run in runs] == [*conventional, *expected]
    assert len({run.settings_sha256 for run in runs}) == len(runs)
    for run in runs[:3]:
        assert all(
            getattr(run.settings, name) is None for name in ("snn", "code", "neuron", "loss")
        )


TOGETHER = """
[sweep]
together = [
    { code.kind = "rate" },
    { code.kind = "phase", snn.threshold = 0.5, snn.beta = 1.0 },
    { code.kind = "burst", code.most_spikes = 2, snn.threshold = 0.5 },
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
    constants = [
        (run.settings.snn.threshold, run.settings.snn.beta) for run in runs if run.settings.snn
    ]
    assert constants[::2] == [(1.0, 0.9), (0.5, 1.0), (0.5, 0.9)]
    assert runs[4].settings.code == config.Burst(most_spikes=2)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["code.kind=phase"], ["phase-threshold0.5-beta1.0"]),
        (["code.kind=direct"], [""]),
        (["snn.threshold=2"], ["rate", "phase-beta1.0", "burst-most_spikes2"]),
        (
            ["snn.beta=0.5", "rounds=3"],
            ["rate", "phase-threshold0.5", "burst-most_spikes2-threshold0.5"],
        ),
        (
            ["snn.reset=zero"],
            ["rate", "phase-threshold0.5-beta1.0", "burst-most_spikes2-threshold0.5"],
        ),
        (["code.kind=burst", "snn.threshold=2"], ["burst-most_spikes2"]),
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


def test_runs_of_before_there_were_codes_are_still_the_same() -> None:
    """Their hashes have nothing of what came later; and each new key makes another run."""
    [before] = expand("")
    identity = sweep.identity(before.settings)
    assert {"code", "neuron", "qann"}.isdisjoint(identity)
    assert identity["snn"].keys() == {"time_steps", "beta", "threshold", "reset"}
    assert identity["loss"].keys() == {"correct_rate", "incorrect_rate"}
    changed: dict[str, Any] = {
        "code.kind": "delta",
        "loss.kind": "cross-entropy",
        "snn.surrogate": "sigmoid",
        "snn.learn_beta": "per-layer",
        "snn.learn_threshold": "per-neuron",
        "snn.read_out": "membrane",
        "neuron": {"kind": "current-based", "alpha": 0.0},
    }
    runs = [expand(tomli_w.dumps({"sweep": {key: [value]}}))[0] for key, value in changed.items()]
    assert len({run.settings_sha256 for run in (before, *runs)}) == len(runs) + 1
