"""The library's door: what is constructed from Python is checked or converted, or refused in plain words."""

import dataclasses
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np
import pytest

import fedspike as fs
from dataset_example import refusal
from fedspike.data.events.tonic_sets import TonicSet
from fedspike.errors import InputError
from fedspike.experiment.kinds import FAMILIES
from fedspike.federation.devices import Devices
from fedspike.federation.plan import Plan
from fedspike.part import Part
from running import python

WRONG: tuple[Any, ...] = (
    *(None, True, -1, 0.5, 10**30, float("nan"), float("inf"), "", "x", b"x", [], {}, (), (None,)),
    *([[1], [1, 2]], {"kind": "x"}, object(), int, fs.Part, fs.SNN, np.zeros(2), np.array("x")),
)
REQUIRED = {"alpha": 0.9, "classes": 2, "shards_per_client": 1, "adaptation": 1.0, "rho": 0.9} | {
    "steps": (1,),
    "candidates": 10,
    "label": "kind",
    "sensor": (34, 34),
    "set": "MNIST",
    **dict.fromkeys(("client", "first", "last"), (1,)),
    "neighbour": (0,),
}


def records() -> Iterator[tuple[type[Any], dict[str, Any]]]:
    """What a person builds: every kind of part, and the records around them, with sound fields."""
    yield fs.Plan, {"network": fs.ANN(), "data": fs.FashionMNISTSample()}
    yield fs.Fleet, {}
    yield fs.Layout, {}
    for kinds in FAMILIES.values():
        for kind in kinds:
            fields = {field.name for field in msgspec.structs.fields(kind)}
            sound = {name: value for name, value in REQUIRED.items() if name in fields}
            named = "path" in fields and kind not in (fs.Trace, fs.Edges, fs.Matrix)
            sound |= {"set": "SHD", "folder": "sets"} if kind is TonicSet else {}
            sound |= {"rows": ((1.0,),)} if kind is fs.Matrix else {}
            yield kind, sound | ({"path": "own.npz"} if named else {})


@pytest.mark.parametrize(
    ("record", "sound"), [*records()], ids=lambda one: getattr(one, "__name__", "")
)
def test_wrong_types_are_refused_or_sound(record: type[Any], sound: dict[str, Any]) -> None:
    record(**sound)
    for field in msgspec.structs.fields(record):
        for wrong in WRONG:
            with suppress(InputError):
                repr(record(**{**sound, field.name: wrong}))


def test_positions_are_whole_numbers_in_one_row() -> None:
    devices = Devices(([0, 2], range(1, 2), np.array([3], ">i2")))
    assert [shard.tolist() for shard in devices.shards] == [[0, 2], [1], [3]]
    assert {shard.dtype for shard in devices.shards} == {np.dtype(np.int64)}
    for wrong in (
        *([True, False], [-1], [[0, 1]], [0.5], ["0"], 3, None, [[0], [1, 2]], "01", {0: 1}),
    ):
        with refusal("client 0 holds"):
            Devices((wrong,))
    with refusal("holds no samples"):
        Devices(([],))


@dataclasses.dataclass(frozen=True)
class Dealt:
    """A partition of one's own."""

    shards: tuple[Any, ...]
    one_client = False

    def __call__(self, labels: np.ndarray, clients: int, seed: int) -> list[Any]:
        del labels, clients, seed
        return list(self.shards)


def test_a_partition_of_ones_own_stays_within_the_training_set() -> None:
    data = fs.FashionMNISTSample().load()

    def devices(*shards: Any) -> Devices:
        plan = Plan(network=fs.ANN(), data=data, partition=Dealt(shards), fleet=fs.Fleet(2))
        return plan.devices()

    assert devices([0, 1], [2]).shards[1].tolist() == [2]
    with refusal("client 1 holds sample 2000", "from 0 to 1999"):
        devices([0], [2000])
    with refusal("np.flatnonzero(mask)"):
        devices(data.y_train == 0, data.y_train == 1)


# Outside of the tests' own type checks, as whoever uses the library.
DOOR = """
import numpy as np, torch, fedspike as fs
from contextlib import suppress
x, y = np.random.default_rng(0).random((6, 4, 4)).astype(np.float32), np.arange(6) % 3
sound = dict(name="a", x_train=x, y_train=y, x_test=x, y_test=y, classes=3, source="here", sha256={})
for like in (x.tolist(), torch.from_numpy(x), x.astype(">f4"), x.astype(">f8"), np.asfortranarray(x)):
    made = fs.Dataset(**sound | {"x_train": like}).x_train
    assert made.dtype == np.float32 and made.dtype.isnative and made.flags.c_contiguous
    assert np.array_equal(made, x)
half = fs.Dataset(**sound | {"x_train": x.astype(np.float16)}).x_train
assert half.dtype == np.float32 and np.array_equal(half, x.astype(np.float16).astype(np.float32))
back = fs.Dataset(**sound | {"x_train": x[::-1], "y_train": y[::-1]})
assert back.x_train.strides[0] > 0 and np.array_equal(back.y_train, y[::-1])
for like in (y.tolist(), torch.from_numpy(y), y.astype(">i4"), y.astype(np.uint8)):
    made = fs.Dataset(**sound | {"y_train": like}).y_train
    assert made.dtype == np.int64 and made.dtype.isnative and np.array_equal(made, y)
wrong = [None, True, -1, 0.5, "x", b"x", [], {}, (), object(), int, [[1], [1, 2]], np.array("x"), 10**30,
         float("nan"), fs.SNN, np.zeros(2), x > 0.5, x + 1, x * np.nan, y / 2, y.astype(object),
         np.array(["a"] * 6), np.zeros((6, 2, 2, 2, 2)), torch.zeros(6, 4, requires_grad=True),
         x.astype(complex)]
for field in sound:
    for value in wrong:
        with suppress(fs.InputError):
            repr(fs.Dataset(**sound | {field: value}))
for name in ("x_train", "y_train", "x_test", "y_test"):
    arrays = {key: value for key, value in sound.items() if key[:2] in ("x_", "y_")}
    for value in wrong:
        with suppress(fs.InputError):
            fs.Dataset.from_arrays(**arrays | {name: value}, layout=fs.Layout("sample height width"))
def refused(call, *values):
    for value in values:
        try:
            call(value)
        except fs.InputError as error:
            print(error)
        else:
            raise AssertionError(f"{value!r} was taken")
refused(lambda labels: fs.Dataset(**sound | {"y_train": labels}), y / 2)
refused(lambda classes: fs.Dataset(**sound | {"classes": classes}), None, 2.5, 0)
refused(lambda layout: fs.Dataset.from_arrays(x, y, x, y, layout=layout), *wrong)
refused(fs.load_data, *(value for value in wrong if not isinstance(value, str)))
"""
# What is called with what was constructed; a state of another model is refused, too.
CALLS = """
plan = fs.Plan(network=fs.ANN(), data=fs.Dataset(**sound), fleet=fs.Fleet(2), rounds=1)
like = dict(data=plan.data, fleet=plan.fleet, rounds=1)
other = next(fs.rounds(fs.Plan(network=fs.ANN(fs.FullyConnected((7,))), **like))).state
first = next(fs.rounds(plan))
one = first.state
assert fs.State.from_tensors(1, one.tensors()).round == 1
not_none = wrong[1:]
refused(lambda value: next(fs.rounds(value)), *wrong)
refused(lambda value: next(fs.rounds(plan, value)), *not_none)
refused(lambda value: next(fs.rounds(plan, None, value)), *not_none, other, fs.State(0, {}))
refused(lambda value: fs.run(value, "runs"), *wrong)
refused(lambda value: fs.run(plan, value), *(value for value in wrong if not isinstance(value, str)))
mappings = ({0: 1}, {0: {"a": 1}}, *(value for value in wrong if not isinstance(value, dict)))
refused(lambda value: fs.run(plan, "runs", value), *wrong)
for absent in ({"data": None}, {"partition": None}):  # such a plan is what devices are sent
    lacking = fs.Plan(network=fs.ANN(), **like | absent)
    refused(lambda call: call(), lambda: next(fs.rounds(lacking)), lambda: fs.run(lacking, "runs"))
types = (torch.int8, torch.bool, torch.float16, torch.bfloat16, torch.complex64, torch.float8_e4m3fn)
refused(lambda value: next(fs.rounds(plan, dtype=value)), *wrong, *types, float, np.float32, "float64")
names = ("meta", "gpu", "CUDA", "hpu", "xla", "cpu:-1", "cuda:99", torch.device("meta"), 0)
refused(lambda value: next(fs.rounds(plan, device=value)), *wrong, *names)
for sound in ({"device": torch.device("cpu")}, {"dtype": torch.float64}):
    next(fs.rounds(plan, **sound))
refused(first.bill, *wrong)
refused(lambda value: first.bill("horowitz45-int8", value), *wrong)
refused(lambda value: fs.State(value, one.server), *wrong)
refused(lambda value: fs.State(0, value), *mappings[2:], {"model": {"w": 1}})
refused(lambda value: fs.State(0, one.server, value), *mappings)
refused(lambda value: fs.State.from_tensors(0, value), *mappings[2:])
"""
# A module of one's own is refused, or trains and is billed.
MODULES = """
import snntorch
from dataclasses import fields as fields_of
own = torch.nn.Sequential(torch.nn.Linear(16, 3), snntorch.Leaky(beta=0.9, init_hidden=True))
values = dict(module=own[:1], shape=(16,), classes=3)
spikes = dict(module=own, shape=(16,), classes=3, code=fs.Rate(), time_steps=2, stepped=True)
also = (2**31 - 1, [10**9, 10**9], (-16,), fs.Rate, fs.Rate(), own, [16], torch.Size([16]), np.int64(3), "12")
every = [field.name for field in fields_of(fs.ModuleNetwork)]
for fields, names in ((spikes, every), (values, ("time_steps", "stepped"))):
    for name in names:
        for value in (*wrong, *also):
            try:
                network = fs.ModuleNetwork(**fields | {name: value})
            except fs.InputError as error:
                print(error)
                continue
            next(fs.rounds(fs.Plan(network=network, **like))).bill("horowitz45-int8")
"""


def test_a_data_set_converts_arrays_and_refuses_the_rest() -> None:
    answer = python(DOOR)
    assert answer.returncode == 0, answer.stderr
    for words in ("y_train holds float64", "Dataset: classes = None", "from_arrays: layout = "):
        assert words in answer.stdout


def test_what_is_called_says_what_it_takes() -> None:
    answer = python(DOOR + CALLS + MODULES)
    assert answer.returncode == 0, answer.stderr
    for words in (
        *("write Plan(", "leave it out to train in this process", "round.state"),
        *("Plan: data = None", "dtype = torch.int8", "device = hpu", "bill: profile = "),
        *("ModuleNetwork: shape = ", "samples that this machine has memory for", "write Rate()"),
    ):
        assert words in answer.stdout


def test_a_plan_says_what_it_takes() -> None:
    for changes, words in (
        ({"data": "fashion-mnist"}, 'write load_data("fashion-mnist-sample")'),
        ({"network": "snn"}, "write SNN() or ANN()"),
        ({"network": fs.SNN}, "write SNN()"),
        ({"partition": "iid"}, "write IID()"),
        ({"remedies": ("clip",)}, "remedies"),
    ):
        sound = {"network": fs.ANN(), "data": fs.FashionMNISTSample()}
        with refusal(words):
            fs.Plan(**sound | changes)
    assert issubclass(fs.ANN, Part)
