"""A TOML file becomes runs, or one error that says where and what."""

import math
import re
import tomllib
import typing
from pathlib import Path

import msgspec
import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from fedspike.data import load
from fedspike.errors import InputError
from fedspike.experiment import build, config, document, sweep
from fedspike.experiment.plans import toml_of
from fedspike.experiment.sweep import Experiment
from fedspike.parts.neurons import LIF

HASHES_OF_QUICKSTART = ["cd882f00", "ccb434ce", "5281dca1", "24d5ebbb"]
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

[training]
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
    ("rounds = 3", "time_steps = 3", 2, ["unknown key time_steps", "write it in [snn]"]),
    ("rounds = 3", "centralised_baseline = 1", 2, ["centralised_baseline", "true or false"]),
    ("rounds = 3", "seed = -1", 2, ["seed = -1", "a whole number >= 0"]),
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
    ('"all"', "5", 10, ["fleet.clients_per_round = 5", "at most 4 clients"]),
    ('"all"', '"some"', 10, ['"some"', 'a whole number >= 1 or "all"']),
    ("time_steps = 10", "time_steps = 0", 13, ["snn.time_steps = 0", "set snn.time_steps = 50"]),
    ("time_steps = 10", "time_step = 9", 13, ["snn.time_step", "did you mean time_steps?"]),
    ("time_steps = 10", "beta = 1.5", 13, ["snn.beta = 1.5", "a number >= 0 and <= 1"]),
    ("time_steps = 10", "threshold = 0", 13, ["snn.threshold = 0", "a number > 0"]),
    ("time_steps = 10", 'reset = "hard"', 13, ['"subtract" or "zero" or "none"']),
    ("batch_size = 10", "batch_size = 0", 16, ["training.batch_size = 0", "set training.batch"]),
    ("epochs = 1", "epochs = 0", 17, ["training.epochs = 0"]),
    ("= 0.001", "= 0", 21, ["optimiser.learning_rate = 0", "a number > 0"]),
    ("= 0.001", "= -0.1", 21, ["optimiser.learning_rate = -0.1"]),
    ("= 0.001", "= nan", 21, ["optimiser.learning_rate = nan", "a finite number"]),
    ("= 0.001", "= inf", 21, ["optimiser.learning_rate = inf", "a finite number"]),
    ('"adam"', '"adamw"', 20, ['kind = "adamw"', "did you mean adam?"]),
    ("correct_rate = 0.8", "correct_rate = 1.1", 24, ["loss.correct_rate = 1.1"]),
    ("correct_rate = 0.8", "correct_rate = -0.1", 24, ["loss.correct_rate = -0.1"]),
    ("correct_rate = 0.8", "correct_rate = 0.25", 24, ["2 spikes asked for", "and 2 for"]),
    ('["ann", "snn"]', '["ann", "rnn"]', 27, ['network = "rnn"', '"ann" or "snn"']),
    ('["ann", "snn"]', "[]", 27, ["sweep.network is not a list", "at least one"]),
    ('["ann", "snn"]', '"ann"', 27, ["sweep.network is not a list"]),
    ('["ann", "snn"]', '["ann", "ann"]', 27, ["holds a value twice"]),
    ('network = ["ann", "snn"]', "nework = [1]", 27, ["unknown key nework", "mean network?"]),
    ('network = ["ann", "snn"]', 'name = ["a", "b"]', 27, ["unknown key name in [sweep]"]),
    ('network = ["ann", "snn"]', '"snn.beta" = [0.5, 2]', 27, ["snn.beta = 2"]),
    ('network = ["ann", "snn"]', "snn.beta = [0.5, 2]", 27, ["snn.beta = 2"]),
    ('network = ["ann", "snn"]', f"seed = {[*range(1001)]}", 27, ["1001 runs"]),
    ("[sweep]\n", "[algorithm]\nkind = 'scaffold'\n[sweep]\n", 27, ["scaffold", '"adam"', '"sgd"']),
    ("[sweep]\n", "[algorithm]\nmu = 1\n[sweep]\n", 27, ["of kind", 'kind = "fedprox", which']),
    ("[sweep]\n", "[architecture]\nhidden = []\n[sweep]\n", 27, ["a list", "[100], the default"]),
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
    last = experiment.runs[-2].settings
    assert last == config.Configuration(
        name="study",
        network="snn",
        seed=0,
        rounds=100,
        data=config.Data(name="fashion-mnist"),
        partition=config.Classes(classes=3),
        fleet=config.Fleet(clients=10, clients_per_round=10, samples_per_round=2000),
        architecture=config.DenseLayers(hidden=(100,)),
        snn=config.SNN(time_steps=50, beta=0.9, threshold=1.0, reset="subtract"),
        code=config.Rate(),
        neuron=config.LIF(),
        normalisation=config.Unnormalised(),
        loss=config.SpikeCount(correct_rate=0.8, incorrect_rate=0.2),
        training=config.Training(epochs=1, batch_size=128),
        optimiser=config.Adam(learning_rate=1e-3),
        algorithm=config.FedAvg(),
    )


def test_the_baseline_trains_on_as_many_samples_in_one_place() -> None:
    for run in sweep.read("study", ["fleet.clients_per_round=5"]).runs:
        cohort, samples = run.settings.fleet.clients_per_round, run.settings.fleet.samples_per_round
        assert isinstance(cohort, int)
        assert isinstance(samples, int)
        assert cohort * samples == 5 * 2000
        if isinstance(run.settings.partition, config.Centralised):
            assert run.settings.fleet.clients == cohort == 1


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
    assert run.settings.qann == config.QANN(bits=bits)
    assert (run.settings.snn, run.settings.loss) == (None, None)
    assert run.name == f"qann-iid-bits{bits}-seed0"
    assert build.network(run.settings, load("fashion-mnist-sample")) == ConventionalNetwork(
        DenseLayers((784, 100, 10)), Quantiser(bits, config.QANN().ceiling)
    )


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
    with pytest.raises(InputError, match=r"65536 time steps") as caught:
        sweep.read("quickstart", ["network=qann", "snn.time_steps=65536"])
    assert "at most 16 bits" in str(caught.value)


def test_quantised_networks_and_targets_leave_the_identity_of_other_runs_alone() -> None:
    """The hashes of before there were any: a run that was finished then is still the same run."""
    runs = sweep.read("quickstart", ["target_accuracy=0.5", "qann.bits=3"]).runs
    assert [run.settings_sha256[:8] for run in runs] == HASHES_OF_QUICKSTART


def test_an_option_may_be_text_without_quotes() -> None:
    run = sweep.read("quickstart", ["data.name=/a b/own.npz"]).runs[0]
    assert run.settings.data.name == "/a b/own.npz"


def test_where_data_lie_and_the_name_do_not_make_another_run() -> None:
    one = sweep.read("quickstart")
    other = sweep.read("quickstart", ["name=other"], data_dir="/somewhere")
    assert [r.settings_sha256 for r in one.runs] == [r.settings_sha256 for r in other.runs]
    changed = sweep.read("quickstart", ["optimiser.epsilon=1e-7"])
    assert not {r.settings_sha256 for r in one.runs} & {r.settings_sha256 for r in changed.runs}


def test_every_kind_has_its_row_in_the_table_of_names() -> None:
    nothing: dict[str, typing.Any] = {}
    tables: tuple[tuple[typing.Any, dict[str, typing.Any], dict[str, typing.Any]], ...] = (
        (config.Partition, build.PARTITIONS, nothing),
        (config.Algorithm, build.ALGORITHMS, nothing),
        (config.Optimiser, build.OPTIMISERS, nothing),
        (config.Code, build.CODES, {"time_steps": 50}),
        (config.Neuron, build.NEURONS, {"lif": LIF()}),
    )
    for union, table, others in tables:
        kinds = {str(kind.__struct_config__.tag): kind for kind in typing.get_args(union)}
        kinds.pop("devices", None)  # whose data nobody deals out
        assert kinds.keys() == table.keys()
        for name, kind in kinds.items():
            given = {
                f.name: 1.0 if f.name in ("alpha", "adaptation", "rho") else 1
                for f in msgspec.structs.fields(kind)
                if f.required or f.default == "auto"
            }
            build._from({name: table[name]}, kind(**given), **others)  # its keys are the arguments


def test_algorithms_that_need_sgd_are_refused_with_adam() -> None:
    for name, make in build.ALGORITHMS.items():
        options = [f"algorithm.kind={name}"]
        if make().needs_sgd:
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
        assert (again.settings, again.settings_sha256) == (run.settings, run.settings_sha256)


def test_an_unknown_preset_or_file_is_said() -> None:
    with pytest.raises(InputError, match=r"did you mean study\?"):
        sweep.read("studdy")
    with pytest.raises(InputError, match="No such file"):
        sweep.read("missing.toml")


# Random documents: real keys with wrong values, wrong keys, and any structure at all.

TABLES: dict[str, list[str]] = {
    name: [*document.leaves(msgspec.to_builtins(value)), "kind", "alpha", "mu", "x"]
    for name, value in (
        ("data", config.Data()),
        ("partition", config.Classes(classes=1)),
        ("fleet", config.Fleet()),
        ("architecture", config.DenseLayers()),
        ("snn", config.SNN()),
        ("code", config.Latency()),
        ("neuron", config.Adaptive(adaptation=1.0, rho=0.9)),
        ("normalisation", config.BNTT()),
        ("loss", config.SpikeCount()),
        ("qann", config.QANN()),
        ("training", config.Training()),
        ("optimiser", config.Adam()),
        ("algorithm", config.FedAvg()),
    )
}
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
@settings(max_examples=300, deadline=None)
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
