"""A finished run is taken out of its folder and used: `fs.load`, from its model to its bill."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import snntorch
from msgspec import structs
from torch import nn

import fedspike as fs
from dataset_example import refusal
from fedspike.data import Dataset
from fedspike.data.dataset import ignore
from fedspike.experiment import sweep
from fedspike.experiment.kinds import Kinds
from fedspike.experiment.run import load, perform
from fedspike.records import reader
from fedspike.runs import FinishedRun
from fedspike.runs.round_table import columns

SAMPLE = fs.FashionMNISTSample()
DATA = SAMPLE.load()
SMALL = fs.Dataset(
    "small",
    *(DATA.x_train[::20], DATA.y_train[::20], DATA.x_test[::4], DATA.y_test[::4]),
    classes=10,
    source="small",
    sha256={},
)
CONV = fs.Convolutional((4, "pool"))
STEPS = 4
RATE = fs.Rate()
PLANS: dict[str, dict[str, Any]] = {
    "ann": {"network": fs.ANN(), "rounds": 2},
    "snn": {"network": fs.SNN(time_steps=STEPS), "rounds": 2, "seed": 7},
    "conv": {"network": fs.SNN(time_steps=STEPS, architecture=CONV)},
    "ann-conv": {"network": fs.ANN(architecture=CONV)},
    "bntt": {"network": fs.SNN(time_steps=STEPS, architecture=CONV, normalisation=fs.BNTT())},
    "field": {"network": fs.SNN(time_steps=STEPS, code=fs.ReceptiveField())},
    "delta": {"network": fs.SNN(time_steps=STEPS, code=fs.Delta())},
    "qann": {"network": fs.QANN()},
    "sizes": {"network": fs.ANN(), "remedies": (fs.HeteroFL((1.0, 0.5)),)},
    "stdp": {
        "network": fs.SNN(
            time_steps=STEPS,
            architecture=fs.FullyConnected((10,)),
            neuron=fs.Competitive(),
            read_out=fs.MeanMembrane(),
        ),
        "learner": fs.STDP(),
    },
}


def trained(folder: Path, **fields: Any) -> FinishedRun:
    usual = {"data": SMALL, "fleet": fs.Fleet(clients=4), "rounds": 1}
    fs.run(fs.Plan(**usual | fields), folder)
    run: FinishedRun = fs.load(folder)
    return run


def done(
    file: str, folder: Path, options: tuple[str, ...] = (), use: tuple[Path, ...] = ()
) -> None:
    experiment = sweep.read(file, options, kinds=Kinds.used(use))
    for _ in perform(experiment, load(experiment, ignore), folder, "fedspike"):
        pass


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An experiment of two runs, from a file, in noise and out of focus."""
    folder = tmp_path_factory.mktemp("runs") / "quick"
    options = ("rounds=2", "partition.classes=3", "snn.time_steps=5")
    done("quickstart", folder, (*options, "test_noise=[0.2]", "test_blur=[1.0]"))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_the_test_samples_give_the_runs_accuracy(plan: dict[str, Any], tmp_path: Path) -> None:
    run = trained(tmp_path / "run", **plan)
    assert (run.predict(SMALL.x_test) == SMALL.y_test).mean() == run.accuracy
    stored = reader.predictions_of(run.summary)
    assert stored is not None
    assert np.array_equal(stored, [SMALL.y_test, run.predict(SMALL.x_test)])


def test_an_experiments_runs_are_used_with_the_pixels_of_their_data(quick: Path) -> None:
    homes = sorted(path.parent for path in quick.glob("*/summary.json"))
    with refusal(f"{quick} holds 2 runs", f'load("{homes[0]}")', f'load("{homes[1]}")'):
        fs.load(quick)
    for home in homes:
        run = fs.load(home)
        predicted = run.predict(DATA.x_test)
        assert (predicted == DATA.y_test).mean() == run.accuracy
        as_bytes = np.rint(255 * DATA.x_test).astype(np.uint8)
        assert np.array_equal(run.predict(as_bytes), predicted)
        assert np.array_equal(run.predict(DATA.x_test[:30].tolist()), predicted[:30])
        assert len(run.summary.disturbed) == 2
        for one in run.summary.disturbed:
            disturbed = run.predict(DATA.x_test, **{one.kind: one.amount})
            assert (disturbed == DATA.y_test).mean() == one.accuracy
        again = fs.rounds(run.plan)
        assert next(again).accuracy == run.summary.accuracy[0]
        assert (run.classes, run.class_names) == (10, DATA.class_names)
        assert run.model["hidden.weight"].shape == (100, 784)


def test_a_run_without_its_experiment_has_numbers_for_classes(quick: Path, tmp_path: Path) -> None:
    home = next(quick.glob("snn-*"))
    alone = shutil.copytree(home, tmp_path / home.name)
    assert fs.load(alone).class_names == ()
    shutil.copytree(next(quick.glob("ann-*")), other := tmp_path / "other" / "ann")
    shutil.copy(quick / "summary.json", tmp_path)  # of the run beside it, not of one deeper
    assert fs.load(alone).class_names == DATA.class_names
    assert fs.load(other).class_names == ()


def test_what_is_no_image_of_its_data_is_refused(quick: Path) -> None:
    run = fs.load(next(quick.glob("snn-*")))
    x = DATA.x_test
    pixels = ("expected: [sample, 28, 28]",)
    for wrong, *words in (
        (x[0], "images of shape (28, 28)", *pixels, "images[None]"),
        (x.reshape(500, 784), "images of shape (500, 784)", *pixels),
        (x[:, None], "images of shape (500, 1, 28, 28)", *pixels),
        (x[:, :14], "images of shape (500, 14, 28)", *pixels),
        (255 * x, "images holds 0.0 to 255.0", "numbers from 0 to 1", "divide by 255"),
        (x - 0.5, "images holds -0.5 to 0.5", "numbers from 0 to 1"),
        (x * np.nan, "that are NaN"),
        (x[:0], "images is empty"),
        (None, "images holds object"),
        ("boot", "images holds <U4"),
        ([[1], [1, 2]], "images is no array"),
        (x.astype(complex), "images holds complex"),
    ):
        with refusal(*words):
            run.predict(wrong)
    for name, wrong in (("noise", -1), ("noise", "much"), ("blur", np.nan), ("blur", None)):
        with refusal(f"predict: {name} = "):
            run.predict(x, **{name: wrong})


def test_a_convolution_knows_the_shape_of_its_samples(tmp_path: Path) -> None:
    rgb = fs.Signs(train_samples=86, test_samples=43)
    run = trained(tmp_path / "run", network=fs.ANN(architecture=CONV), data=rgb)
    signs = rgb.load()
    assert (run.predict(signs.x_test) == signs.y_test).mean() == run.accuracy
    for wrong in (signs.x_test[:, :1], signs.x_test[:, :, :30], signs.x_test.reshape(43, -1)):
        with refusal(f"images of shape {wrong.shape}", "3072 inputs"):
            run.predict(wrong)
    flat = trained(tmp_path / "flat", network=fs.ANN(), data=rgb)
    with refusal("blur = 1.0 over samples of shape (3072,)"):
        flat.predict(signs.x_test.reshape(43, -1), blur=1.0)


def test_own_files_of_numbers_are_read_as_the_data_were(tmp_path: Path) -> None:
    x = np.rint(16 * SMALL.x_test).astype(np.uint8)
    arrays = {"x_train": x, "y_train": SMALL.y_test, "x_test": x, "y_test": SMALL.y_test}
    axes, bounds = "sample height width", (0.0, 16.0)
    np.savez(tmp_path / "inside.npz", **arrays, axes=np.array(axes), range=np.array(bounds))
    np.savez(tmp_path / "outside.npz", **arrays)
    for name, told in (("inside", (None, None)), ("outside", (axes, bounds))):
        data = fs.NPZ(str(tmp_path / f"{name}.npz"), *told)
        run = trained(tmp_path / name, network=fs.SNN(time_steps=STEPS), data=data)
        for like in (x, data.load().x_test):
            assert (run.predict(like) == SMALL.y_test).mean() == run.accuracy
        with refusal("images holds -1.0 to "):
            run.predict(data.load().x_test - 1)
        (tmp_path / f"{name}.npz").unlink()
        assert (run.predict(data_of(x)) == SMALL.y_test).mean() == run.accuracy
    with refusal("images holds uint8, and ", "inside.npz", "expected: floats"):
        fs.load(tmp_path / "inside").predict(x)
    assert np.array_equal(fs.load(tmp_path / "outside").predict(x), run.predict(data_of(x)))


def data_of(x: np.ndarray) -> np.ndarray:
    return (x / 16).astype(np.float32)


def test_parts_of_ones_own_are_given_again(tmp_path: Path) -> None:
    part = "from fedspike.parts.neurons import LIF\nclass Mine(LIF, tag='mine'):\n    '''LIF.'''\n"
    (tmp_path / "mine.py").write_text(part)
    toml = 'name = "own"\nnetwork = "snn"\nrounds = 1\n[data]\nkind = "fashion-mnist-sample"\n'
    (tmp_path / "own.toml").write_text(f'{toml}[snn]\ntime_steps = 3\n[neuron]\nkind = "mine"\n')
    own = tmp_path / "mine.py"
    done(str(tmp_path / "own.toml"), tmp_path / "own", use=(own,))
    with refusal("neuron.kind = ", "the run's own parts", "own/mine.py"):
        fs.load(tmp_path / "own")
    run = fs.load(tmp_path / "own", use=[own])
    assert (run.predict(DATA.x_test) == DATA.y_test).mean() == run.accuracy


def own_network(hidden: int = 20, beta: float = 0.9, code: fs.Code = RATE) -> fs.ModuleNetwork:
    leaky = [snntorch.Leaky(beta=beta, init_hidden=True) for _ in range(2)]
    layers = (nn.Linear(784, hidden), leaky[0], nn.Linear(hidden, 10), leaky[1])
    module = nn.Sequential(*layers)
    return fs.ModuleNetwork(module, (784,), 10, code=code, time_steps=STEPS, stepped=True)


def test_a_network_of_ones_own_is_stored_and_given_again(tmp_path: Path) -> None:
    plan = fs.Plan(network=own_network(), data=SMALL, fleet=fs.Fleet(clients=4), rounds=2)
    summary = fs.run(plan, tmp_path)
    assert fs.run(plan, tmp_path) == summary
    with refusal("holds a run with other settings: module.first_weights_sha256 is"):
        fs.run(structs.replace(plan, network=own_network()), tmp_path)
    with refusal('its network is "module"', "the network again", "network=ModuleNetwork("):
        fs.load(tmp_path)
    run = fs.load(tmp_path, network=own_network())
    assert (run.predict(SMALL.x_test) == SMALL.y_test).mean() == run.accuracy
    assert run.plan.learner == plan.learner
    for other, words in (
        (own_network(hidden=21), "module.sha256 = "),
        (own_network(beta=0.8), "module.sha256 = "),
        (own_network(code=fs.Rate(gain=0.5)), "code.gain = 0.5, and "),
        (fs.ModuleNetwork(nn.Linear(784, 10), (784,), 10), "code.gain = nothing, and "),
    ):
        with refusal(words, "the plan that was trained"):
            fs.load(tmp_path, network=other)
    for wrong in (nn.Linear(784, 10), fs.SNN, "snn"):
        with refusal("network = "):
            fs.load(tmp_path, network=wrong)


def test_a_network_of_a_file_is_loaded_with_the_file(tmp_path: Path) -> None:
    own = tmp_path / "mine.py"
    own.write_text(
        "from torch import nn\nclass Net(nn.Sequential):\n    def __init__(self):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(784, 10))\n"
    )
    toml = 'name = "own"\nnetwork = "mine.py:Net"\nrounds = 1\n'
    (tmp_path / "own.toml").write_text(f'{toml}[data]\nkind = "fashion-mnist-sample"\n')
    done(str(tmp_path / "own.toml"), tmp_path / "own", use=(own,))
    with refusal('its network is "Net"', "use=[", "own/mine.py"):
        fs.load(tmp_path / "own")
    run = fs.load(tmp_path / "own", use=[own])
    assert (run.predict(DATA.x_test) == DATA.y_test).mean() == run.accuracy
    own.write_text(own.read_text() + "# changed\n")
    with refusal("mine.py has changed since"):
        fs.load(tmp_path / "own", use=[own])


def test_a_changed_file_is_refused(quick: Path, tmp_path: Path) -> None:
    home = next(quick.glob("ann-*"))
    for name in ("model.safetensors", "config.toml", "rounds.jsonl", "summary.json"):
        copy = tmp_path / name
        shutil.copytree(home, copy)
        content = (copy / name).read_bytes()
        (copy / name).write_bytes(content[:-9] + b"x" + content[-8:])
        with refusal(str(copy / name)):
            fs.load(copy)


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    for wrong, *words in (
        (None, "folder = None", "a path"),
        (tmp_path / "nothing", "no such folder"),
        (tmp_path, "no summary.json"),
        ("fashion-mnist-sample", "the name of data", 'load_data("fashion-mnist-sample")'),
        ("mine.npz", "the name of data", 'load_data("mine.npz")'),
    ):
        with refusal(*words):
            fs.load(wrong)
    with refusal("use = "):
        fs.load(tmp_path, use="mine.py")
    with refusal("device ="):
        fs.load(tmp_path, device="abacus")


@pytest.mark.parametrize("hidden", [(), ("pandas",), ("pandas", "polars")])
def test_rounds_are_a_table(
    hidden: tuple[str, ...], quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if hidden == ("pandas",):
        pytest.importorskip("polars")
    for name in hidden:
        monkeypatch.setitem(sys.modules, name, None)
    run = fs.load(next(quick.glob("snn-*")))
    if len(hidden) == 2:
        with refusal("without pandas and without polars", "pip install 'fedspike[tables]'"):
            _ = run.rounds
        return
    table = run.rounds
    assert type(table).__module__.startswith("polars" if hidden else "pandas")
    assert table.shape[0] == run.summary.rounds
    assert table.shape[1] < 40
    assert list(table["round"]) == [1, 2]
    assert list(table["accuracy"]) == run.summary.accuracy
    assert list(table["firing_rate_hidden"]) == run.summary.firing_rates["hidden"]
    assert sum(table["ac"]) == run.summary.operations["ac"]
    assert sum(table["spikes"]) / sum(table["samples"]) == pytest.approx(
        sum(run.summary.spikes_per_sample.values()), rel=1e-12
    )


def test_a_table_of_many_layers_has_under_40_columns(quick: Path) -> None:
    (first, *_) = reader.rounds(next(quick.glob("snn-*")))
    many = {f"layer{number}": 0.5 for number in range(60)}
    row = type(first)(
        **{f: getattr(first, f) for f in first.__struct_fields__} | {"firing_rates": many}
    )
    names = list(columns([row]))
    assert len(names) == 39
    assert names[:3] == ["round", "accuracy", "training_loss"]


def test_bills_are_those_of_the_summary(quick: Path) -> None:
    run = fs.load(next(quick.glob("snn-*")))
    for level in ("study", "compute", "memory", "training"):
        stored = run.summary.bill["horowitz45-int8"][level]
        assert run.bill("horowitz45-int8", level) == stored
    lte = run.bill("horowitz45-int8", "communication", "lte")
    assert lte == run.summary.bill["horowitz45-int8"]["communication:lte"]
    for arguments, words in (
        (("horowitz",), ("unknown price profile horowitz", "horowitz45")),
        (("horowitz45-int8", "memry"), ("level memry", "did you mean memory")),
        (("odin28-all-in", "memory"), ("level memory under the profile odin28-all-in",)),
        (("horowitz45-int8", "communication", "lta"), ("unknown radio lta",)),
        ((None,), ("bill: profile = None",)),
        (("horowitz45-int8", 3), ("bill: level = 3",)),
    ):
        with refusal(*words):
            run.bill(*arguments)


def test_a_run_says_what_it_is(quick: Path) -> None:
    run = fs.load(next(quick.glob("snn-*")))
    first, second = repr(run).splitlines()
    assert first == f"FinishedRun {run.name}: SNN of 784-100-10 neurons, 79510 parameters"
    assert second.startswith(
        f"  accuracy {run.accuracy:.1%} after 2 rounds of fedavg with 10 clients"
    )
    page = run._repr_html_()
    assert page.startswith(f"<p><b>{first}</b>")
    assert page.rstrip().endswith("</svg>")
    chart = run.plot().to_dict()
    assert f"{run.name.upper()[:3]} {100 * run.accuracy:.1f}" in json.dumps(chart)
    assert chart["config"]["axis"]["domain"] is False


def test_data_plans_and_networks_print_in_a_line() -> None:
    plan = fs.Plan(network=fs.SNN(time_steps=10), data=DATA, partition=fs.Classes(3))
    data = (
        "Dataset(fashion-mnist-sample: 2000 training and 500 test samples of 28 x 28, 10 classes)"
    )
    assert str(DATA) == data
    assert str(plan) == (
        f"Plan(network=SNN(time_steps=10), data={data}, partition=Classes(classes=3), "
        "learner=Backpropagation(loss=SpikeCountMSE()))"
    )
    assert str(fs.ANN()) == "ANN(architecture=FullyConnected(hidden=(100,)))"
    module = fs.ModuleNetwork(nn.Sequential(nn.Linear(4, 2)), (4,), 2)
    assert str(module) == "ModuleNetwork(Sequential of 10 parameters, shape=(4,), classes=2)"
    x, y = np.zeros((4, 3), np.float32), np.array([0, 1, 0, 1])
    own = Dataset.from_arrays(x, y, x[:2], y[:2], name="mine")
    assert str(own) == "Dataset(mine: 4 training and 2 test samples of 3, 2 classes)"
