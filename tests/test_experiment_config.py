"""A TOML file becomes runs, or one error that says where and what."""

import math
import re
import tomllib
import typing
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from fedspike.algorithms import ALGORITHMS, FedAvg
from fedspike.data import FashionMNIST
from fedspike.data.partition import Classes
from fedspike.errors import InputError
from fedspike.experiment import document, sweep
from fedspike.experiment.kinds import FAMILIES, Kinds
from fedspike.experiment.plans import toml_of
from fedspike.experiment.sweep import Experiment
from fedspike.federation.devices import Fleet
from fedspike.federation.plan import Plan
from fedspike.learning import Backpropagation
from fedspike.networks import QANN, SNN, FullyConnected
from fedspike.part import tag
from fedspike.parts.losses import SpikeCountMSE
from fedspike.parts.neurons import LIF
from fedspike.parts.optimisers import Adam
from fedspike.randomness import stream

FILE = """\
name = "mine"
rounds = 3

[partition]
kind = "classes"
classes = 3

[fleet]
clients = 4
clients_per_round = "all"

[snn]
time_steps = 10

[learner]
batch_size = 10
epochs = 1

[optimiser]
kind = "adam"
learning_rate = 0.001

[loss]
correct_rate = 0.8

[sweep]
network = ["ann", "snn"]
"""


def expand(text: str) -> Experiment:
    return sweep.expand(document.parse(text, "mine.toml"))


def names(experiment: Experiment) -> list[str]:
    return [run.name for run in experiment.runs]


# What replaces what in FILE; the line of the error; the words that it must hold.
BAD = [
    ("rounds = 3", "rounds = 0", 2, ["rounds = 0", "a whole number >= 1", "set rounds = 100"]),
    ("rounds = 3", "rounds = 2.5", 2, ["rounds = 2.5", "a whole number >= 1"]),
    ("rounds = 3", "rounds = true", 2, ["rounds = true", "a whole number >= 1"]),
    ("rounds = 3", 'rounds = "3"', 2, ['rounds = "3"', "a whole number >= 1"]),
    ("rounds = 3", "rounds = 99999999999999999999", 2, ["more than 64 bits"]),
    ("rounds = 3", "round = 3", 2, ["unknown key round", "did you mean rounds?"]),
    (
        "rounds = 3",
        "time_steps = 3",
        2,
        ["unknown key time_steps", "write it as qann.time_steps or snn.time_steps"],
    ),
    ("rounds = 3", "centralised_baseline = 1", 2, ["centralised_baseline", "true or false"]),
    ("rounds = 3", "seed = -1", 2, ["seed = -1", "a whole number >= 0"]),
    ("rounds = 3", "partition_seed = -1", 2, ["partition_seed = -1", "a whole number >= 0"]),
    ("rounds = 3", "fleet = 3", 2, []),  # also a table below: not TOML
    ('name = "mine"', 'name = "../mine"', 1, ['name = "../mine"', "letters, digits"]),
    ('name = "mine"', 'name = "mine\\n"', 1, ["letters, digits"]),
    ("classes = 3", "clases = 3", 6, ["unknown key partition.clases", "did you mean classes?"]),
    ("classes = 3", "classes = 0", 6, ["partition.classes = 0", "a whole number >= 1"]),
    (
        "classes = 3",
        "alpha = 0.1",
        6,
        ["unknown key partition.alpha", 'kind "classes"', '"quantity"'],
    ),
    ('"classes"', '"clases"', 5, ['kind = "clases"', "did you mean classes?", '"dirichlet"']),
    ('"classes"', '"dirichlet"', 6, ["unknown key partition.classes", "min_samples"]),
    ("clients = 4", "clients = 0", 9, ["fleet.clients = 0"]),
    ('"all"', "5", 10, ["clients_per_round = 5", "at most 4 clients"]),
    ('"all"', '"some"', 10, ['"some"', 'a whole number >= 1 or "all"']),
    ("time_steps = 10", "time_steps = 0", 13, ["snn.time_steps = 0", "set snn.time_steps = 50"]),
    ("time_steps = 10", "time_step = 9", 13, ["snn.time_step", "did you mean time_steps?"]),
    ("[snn]", "[neuron]\nbeta = 1.5\n[snn]", 13, ["neuron.beta = 1.5", "a number >= 0 and <= 1"]),
    ("[snn]", "[neuron]\nthreshold = 0\n[snn]", 13, ["neuron.threshold = 0", "a number > 0"]),
    ("[snn]", '[neuron]\nreset = "hard"\n[snn]', 13, ['"subtract" or "zero" or "none"']),
    ("batch_size = 10", "batch_size = 0", 16, ["learner.batch_size = 0", "set learner.batch"]),
    ("epochs = 1", "epochs = 0", 17, ["learner.epochs = 0"]),
    ("= 0.001", "= 0", 21, ["optimiser.learning_rate = 0", "a number > 0"]),
    ("= 0.001", "= -0.1", 21, ["optimiser.learning_rate = -0.1"]),
    ("= 0.001", "= nan", 21, ["optimiser.learning_rate = nan", "a finite number"]),
    ("= 0.001", "= inf", 21, ["optimiser.learning_rate = inf", "a finite number"]),
    ('"adam"', '"adamw"', 20, ['kind = "adamw"', "did you mean adam?"]),
    ("correct_rate = 0.8", "correct_rate = 1.1", 24, ["loss.correct_rate = 1.1"]),
    ("correct_rate = 0.8", "correct_rate = -0.1", 24, ["loss.correct_rate = -0.1"]),
    ("correct_rate = 0.8", "correct_rate = 0.25", 24, ["2 spikes asked for", "and 2 for"]),
    ('["ann", "snn"]', '["ann", "rnn"]', 27, ['network = "rnn"', '"ann", "qann", "snn"']),
    ('["ann", "snn"]', "[]", 27, ["sweep.network is not a list", "at least one"]),
    ('["ann", "snn"]', '"ann"', 27, ["sweep.network is not a list"]),
    ('["ann", "snn"]', '["ann", "ann"]', 27, ["holds a value twice"]),
    ('network = ["ann", "snn"]', "nework = [1]", 27, ["unknown key nework", "mean network?"]),
    ('network = ["ann", "snn"]', 'name = ["a", "b"]', 27, ["unknown key name in [sweep]"]),
    ('network = ["ann", "snn"]', '"neuron.beta" = [0.5, 2]', 27, ["neuron.beta = 2"]),
    ('network = ["ann", "snn"]', "neuron.beta = [0.5, 2]", 27, ["neuron.beta = 2"]),
    ('network = ["ann", "snn"]', f"seed = {[*range(1001)]}", 27, ["1001 runs"]),
    (
        "[sweep]\n",
        "[algorithm]\nkind = 'scaffold'\n[sweep]\n",
        27,
        ["scaffold", "optimiser", "SGD"],
    ),
    ("[sweep]\n", "[algorithm]\npull = 1\n[sweep]\n", 27, ["of kind", 'kind = "ditto", which']),
    ("[sweep]\n", "[architecture]\nhidden = []\n[sweep]\n", 27, ["a list", "[100], the default"]),
    (
        "[sweep]\n",
        "[graph]\nkind = 'matrix'\nrows = [[2]]\n[sweep]\n",
        28,
        ["correct graph.rows, or"],
    ),
    ("[sweep]\n", "[architecture]\nhidden = [\n 3,\n 0]\n[sweep]\n", 27, ["whole number >= 1"]),
    ("[sweep]\n", "[architecure]\n[sweep]\n", 26, ["did you mean architecture?"]),
]


@pytest.mark.parametrize(("old", "new", "line", "words"), BAD)
def test_bad_input_is_one_error_with_file_line_and_cure(
    old: str, new: str, line: int, words: list[str]
) -> None:
    assert old in FILE
    with pytest.raises(InputError) as caught:
        expand(FILE.replace(old, new, 1))
    message = str(caught.value)
    if words:
        assert message.startswith(f"mine.toml, line {line}: ")
    assert message.startswith("mine.toml")
    assert [word for word in words if word not in message] == []


def test_the_good_file_is_good() -> None:
    assert names(expand(FILE)) == ["ann-classes3-seed0", "snn-classes3-seed0"]


def test_a_missing_name_is_said() -> None:
    with pytest.raises(InputError, match=r"^mine.toml: name is missing"):
        expand("rounds = 3")


def test_what_is_no_toml_is_said_with_its_line() -> None:
    with pytest.raises(InputError, match=r"mine.toml: .*line 2"):
        expand("rounds = 3\nname = \n[sweep]\n")


@pytest.mark.parametrize(
    "text", ["x = " + "[" * 5000, "x.a" + ".a" * 5000 + " = 1", "# 1\n" * 9999]
)
def test_hostile_toml_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        expand(text)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("rounds=0", ["rounds = 0", "a whole number >= 1"]),
        ("snn.time_step=5", ["unknown key snn.time_step", "did you mean time_steps?"]),
        ("network=rnn", ['network = "rnn"']),
        ("rounds.x=1", ["rounds is not a table"]),
        ("rounds", ["KEY=VALUE"]),
        ("=3", ["KEY=VALUE"]),
        ("a" + ".a" * 2000 + "=3", ["KEY=VALUE"]),
        ("sweep.seed=3", ["sweep.seed is not a list"]),
        ("sweep=3", ["sweep is not a table"]),
        ("optimiser.learning_rate=nan", ["a finite number"]),
        ("fleet.clients_per_round=11", ["at most 10 clients"]),
        ("partition.kind=dirichlet", ["partition.alpha is missing", "a number > 0"]),
        ("rounds=" + "[" * 100 + "]" * 100, ["KEY=VALUE"]),
        ("rounds=0x" + "f" * 5000, ["more than 64 bits"]),
    ],
)
def test_a_bad_option_is_named_instead_of_a_line(option: str, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        sweep.read("study", [option])
    assert str(caught.value).startswith(f"--set {option[:60]}")
    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize("seeds", ["", "a", "0,", "-1", "1.5", "0,0", "٣", "9" * 30])
def test_bad_seeds(seeds: str) -> None:
    with pytest.raises(InputError, match="--seeds"):
        sweep.read("study", [], seeds)


def test_the_study_is_the_founding_study() -> None:
    experiment = sweep.read("study")
    assert names(experiment) == [
        *(f"ann-classes{k}-seed0" for k in (10, 7, 5, 4, 3)),
        "ann-centralised-seed0",
        *(f"snn-classes{k}-seed0" for k in (10, 7, 5, 4, 3)),
        "snn-centralised-seed0",
    ]
    assert experiment.runs[-2].plan == Plan(
        name="study",
        network=SNN(
            time_steps=50, architecture=FullyConnected((100,)), neuron=LIF(0.9, 1.0, "subtract")
        ),
        seed=0,
        rounds=100,
        data=FashionMNIST(),
        partition=Classes(3),
        fleet=Fleet(clients=10, samples_per_round=2000),
        learner=Backpropagation(SpikeCountMSE(0.8, 0.2), Adam(1e-3), epochs=1, batch_size=128),
        algorithm=FedAvg(),
    )


def test_the_baseline_trains_on_as_many_samples_in_one_place() -> None:
    for run in sweep.read("study", ["fleet.clients_per_round=5"]).runs:
        fleet = run.plan.fleet
        assert isinstance(fleet.samples_per_round, int)
        assert fleet.cohort_size * fleet.samples_per_round == 5 * 2000
        if run.plan.partition.one_client:
            assert fleet.clients == fleet.cohort_size == 1


def test_the_seed_of_the_partition_stands_apart_where_there_is_one() -> None:
    def bits(*options: str) -> dict[str, tuple[bytes, bytes]]:
        """run -> who holds what, and the weights that it begins with."""
        ann = sweep.read("quickstart", ["network=ann", "partition.kind=iid", *options])
        plans = {run.name: run.plan.loaded() for run in ann.runs}
        return {
            name: (
                b" ".join(map(bytes, plan.devices().shards)),
                plan.sized_network()
                .init(stream(plan.seed, "init"))["hidden.weight"]
                .numpy()
                .tobytes(),
            )
            for name, plan in plans.items()
        }

    plain = bits("sweep.seed=[0, 1]")
    zero, one = plain["ann-iid-seed0"], plain["ann-iid-seed1"]
    assert bits("sweep.seed=[0, 1]", "partition_seed=0") == {
        "ann-iid-seed0": zero,
        "ann-iid-seed1": (zero[0], one[1]),
    }
    assert bits("sweep.partition_seed=[0, 1]", "centralised_baseline=true") == {
        "ann-iid-partition_seed0-seed0": zero,
        "ann-iid-partition_seed1-seed0": (one[0], zero[1]),
        "ann-centralised-seed0": (np.arange(2000).tobytes(), zero[1]),
    }
    [run] = sweep.read("quickstart", ["network=ann", "partition.kind=iid"]).runs
    assert "partition_seed" not in toml_of(run.plan)  # so the runs of before go on


def test_an_option_has_the_last_word_over_a_sweep() -> None:
    assert names(sweep.read("quickstart", ["network=snn", "partition.classes=4"])) == [
        "snn-classes4-seed0"
    ]
    assert names(sweep.read("quickstart", ["network=ann", "partition.kind=iid"])) == [
        "ann-iid-seed0"
    ]
    options = ["network=ann", "partition.alpha=0.5", "partition.kind=dirichlet"]  # in any order
    assert names(sweep.read("quickstart", options, "2,1")) == [
        "ann-dirichlet0.5-seed2",
        "ann-dirichlet0.5-seed1",
    ]
    options = ["sweep.snn.time_steps=[2, 4]", "partition.kind=iid", "algorithm.kind=fedprox"]
    assert names(sweep.read("quickstart", options)) == [
        "ann-iid-fedprox-seed0",  # once: an ANN has no time steps
        "snn-iid-fedprox-time_steps2-seed0",
        "snn-iid-fedprox-time_steps4-seed0",
    ]


@pytest.mark.parametrize("steps", [2, 3, 4, 10, 50, 63, 64, 1000])
def test_a_quantised_ann_has_as_many_levels_as_the_snns_spike_counts(steps: int) -> None:
    options = ["network=qann", f"snn.time_steps={steps}", "partition.kind=iid"]
    [run] = sweep.read("quickstart", options).runs
    bits = math.ceil(math.log2(steps + 1))
    assert run.plan.network == QANN(bits=bits)
    assert run.name == f"qann-iid-bits{bits}-seed0"


def test_runs_of_quantised_anns_that_differ_have_different_names() -> None:
    options = ["network=qann", "partition.kind=iid", "sweep.qann.bits=[2, 8]"]
    assert names(sweep.read("quickstart", [*options, "sweep.qann.ceiling=[1.0, 4.0]"])) == [
        f"qann-iid-bits{bits}-ceiling{ceiling}-seed0" for bits in (2, 8) for ceiling in (1.0, 4.0)
    ]
    options = ['sweep.network=["snn", "ann", "qann"]', "partition.kind=iid"]
    assert names(sweep.read("quickstart", [*options, "sweep.snn.time_steps=[40, 50]"])) == [
        "ann-iid-seed0",
        "qann-iid-bits6-seed0",  # once: 40 and 50 time steps both take 6 bits
        "snn-iid-time_steps40-seed0",
        "snn-iid-time_steps50-seed0",
    ]
    with pytest.raises(InputError, match="time_steps = 65536") as caught:
        sweep.read("quickstart", ["network=qann", "snn.time_steps=65536"])
    assert "at most 16 bits" in str(caught.value)


def test_a_target_is_no_part_of_a_run() -> None:
    runs = [sweep.read("quickstart", o).runs for o in ([], ["target_accuracy=0.5", "qann.bits=3"])]
    assert [r.settings_sha256 for r in runs[0]] == [r.settings_sha256 for r in runs[1]]


def test_an_option_may_be_text_without_quotes() -> None:
    run = sweep.read("quickstart", ["data.kind=npz", "data.path=/a b/own.npz"]).runs[0]
    assert run.plan.data.path == "/a b/own.npz"


def test_where_data_lie_and_the_name_do_not_make_another_run() -> None:
    one = sweep.read("study")
    other = sweep.read("study", ["name=other"], data_dir="/somewhere")
    assert [r.settings_sha256 for r in one.runs] == [r.settings_sha256 for r in other.runs]
    changed = sweep.read("study", ["optimiser.epsilon=1e-7"])
    assert not {r.settings_sha256 for r in one.runs} & {r.settings_sha256 for r in changed.runs}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_every_kind_that_ships_can_be_named(family: typing.Any) -> None:
    """Each has a name of its own, and all of its plain fields are keys."""
    kinds = Kinds().of(family)
    assert list(kinds.values()) == list(FAMILIES[family])
    assert [tag(kind) for kind in FAMILIES[family]] == list(kinds)


def test_algorithms_that_need_sgd_are_refused_with_adam() -> None:
    for kind in ALGORITHMS:
        options = [f"algorithm.kind={tag(kind)}"]
        if kind().needs_sgd:
            with pytest.raises(InputError, match="optimiser"):
                sweep.read("quickstart", options)
            options.append("optimiser.kind=sgd")
        assert sweep.read("quickstart", options).runs


@pytest.mark.parametrize("preset", sweep.presets())
def test_a_resolved_configuration_read_back_is_the_same_run(preset: str, tmp_path: Path) -> None:
    for run in sweep.read(preset).runs:
        file = tmp_path / "config.toml"
        file.write_text(tomli_w.dumps(toml_of(run.plan)))
        [again] = sweep.read(str(file)).runs  # under a name without what was swept
        assert (again.plan, again.settings_sha256) == (run.plan, run.settings_sha256)


def test_an_unknown_preset_or_file_is_said() -> None:
    with pytest.raises(InputError, match=r"did you mean study\?"):
        sweep.read("studdy")
    with pytest.raises(InputError, match="No such file"):
        sweep.read("missing.toml")


# Random documents: real keys with wrong values, wrong keys, and any structure at all.

TABLES: dict[str, list[str]] = {
    name: [*{key for kind in Kinds().of(family).values() for key in kind.__struct_fields__}, "x"]
    for name, family in Kinds().tables.items()
} | {"fleet": [*Fleet.__struct_fields__], "snn": ["time_steps"], "qann": ["bits", "ceiling"]}
TABLES = {name: ["kind", *keys] for name, keys in TABLES.items()}
scalars = (
    st.sampled_from([0, 1, 2, 0.5, "ann", "snn", "all", "iid", "classes", "fedprox", "sgd", "zero"])
    | st.integers()
    | st.floats()
    | st.booleans()
    | st.text(max_size=8)
    | st.dates()
)
values = scalars | st.lists(scalars, max_size=3)
tables = st.fixed_dictionaries(
    {},
    optional={
        **{
            name: values | st.dictionaries(st.sampled_from(keys), values, max_size=3)
            for name, keys in TABLES.items()
        },
        "name": st.just("x") | values,
        "rounds": values,
        "network": values,
        "seed": values,
        "centralised_baseline": values,
        "sweep": values
        | st.dictionaries(
            st.sampled_from(
                [
                    "network",
                    "seed",
                    "snn.beta",
                    "partition",
                    "partition.kind",
                    "",
                    "a.b",
                    "together",
                ]
            ),
            values,
            max_size=2,
        ),
    },
)


def only_runs_or_an_input_error(text: str) -> bool:
    try:
        source = document.parse(text, "x.toml")
        experiment = sweep.expand(source)
    except InputError as error:
        return not str(error).startswith("x.toml") and pytest.fail(f"no file in: {error}")
    assert experiment.runs
    assert len(set(names(experiment))) == len(experiment.runs)
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,150}", name) for name in names(experiment))
    return True


@given(tables)
@settings(max_examples=120, deadline=None)
def test_any_document_is_runs_or_an_input_error(values: dict[str, typing.Any]) -> None:
    only_runs_or_an_input_error(tomli_w.dumps(values))


@given(st.text(alphabet="abx=.[]{}\"'#,\n 1-_ksweep", max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_is_runs_or_an_input_error(text: str) -> None:
    only_runs_or_an_input_error(text)


@given(st.integers(0, len(FILE)), st.text(max_size=6))
@settings(max_examples=200, deadline=None)
def test_a_good_file_with_something_typed_in_it(position: int, typed: str) -> None:
    only_runs_or_an_input_error(FILE[:position] + typed + FILE[position:])


def test_the_generators_reach_both_ends() -> None:
    assert only_runs_or_an_input_error(FILE)
    assert not only_runs_or_an_input_error("name = 3")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", "# a\n", "\n\n"]),
            st.sampled_from(["1", "[\n1,\n2]", '"""\na = 1\n"""']),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_a_key_is_found_at_its_line(statements: list[tuple[str, str]]) -> None:
    text, line, expected = "", 1, {}
    for number, (before, value) in enumerate(statements):
        expected[f"key{number}"] = line + before.count("\n")
        text += f"{before}key{number} = {value}\n"
        line = 1 + text.count("\n")
    assert tomllib.loads(text).keys() == expected.keys()
    assert {key: document.line_of(text, (key,)) for key in expected} == expected
    assert document.line_of(text, ("absent",)) is None
