"""What every part keeps to, whatever its family: limits, keys, documentation and operations."""

import json
import math
from collections.abc import Iterator
from itertools import product
from typing import Annotated, Any

import msgspec
import numpy as np
import pytest
import torch

import parts_example
from fedspike.energy.counts import ARITHMETIC, MEMORY
from fedspike.errors import InputError
from fedspike.experiment.kinds import FAMILIES, family_of
from fedspike.layers.operations import Place, Table, demand_table
from fedspike.networks import SNN
from fedspike.part import Part, abstractmethod, part_types
from fedspike.parts import codes, losses, neurons, surrogates
from parts_example import EVERY_PART, EXAMPLES

each_part = pytest.mark.parametrize("part", EVERY_PART, ids=parts_example.name)
each_kind = pytest.mark.parametrize(
    "kind", [kind for kinds in FAMILIES.values() for kind in kinds], ids=lambda kind: kind.__name__
)
each_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)

EVENTS = ("cochlea", "event-folder", "tonic")
OUTSIDE: dict[tuple[str, str], tuple[object, ...]] = {
    ("fashion-mnist", "data_dir"): (3,),
    ("npz", "path"): ("", None),
    ("npz", "axes"): (3,),
    ("npz", "range"): ((0.0,), "all"),
    ("npz", "signed"): ("yes",),
    **{("signs", f"{part}_samples"): (42, "all") for part in ("train", "test")},
    ("gtsrb", "folder"): ("", 3),
    **{("csv-table", key): ("", 3) for key in ("path", "label", "owner", "test")},
    ("csv-table", "left_out"): ("why", ("",)),
    ("csv-table", "range"): ((0.0,), "all"),
    **{(kind, "test_share"): (0.0, 1.0) for kind in ("csv-table", "image-folder", *EVENTS)},
    ("image-folder", "path"): ("", 3),
    ("image-folder", "levels"): ("", 3),
    ("image-folder", "size"): (0, 4097),
    ("image-folder", "colour"): ("green", 3),
    **{("cochlea", key): ("", 3) for key in ("path", "test")},
    ("torchvision", "set"): ("mnist", 3),
    ("tonic", "set"): ("mnist", 3),
    ("tonic", "folder"): ("", 3),
    ("tonic", "download"): ("yes", 3),
    ("torchvision", "split"): ("all", 3),
    ("torchvision", "folder"): ("", 3),
    ("torchvision", "download"): ("yes", 3),
    ("cochlea", "channels"): (0, 2**21),
    **{
        (kind, field): values
        for kind in EVENTS
        for field, values in (
            ("time_steps", (0, 2**21)),
            ("step_ms", (0.0, -1.0, 1e7)),
            ("merge", (0, 4097, "all")),
            ("hot_hz", (0.0, "none")),
            ("count_windows", (0, 2**21)),
        )
    },
    **{("event-folder", key): ("", 3) for key in ("path", "levels")},
    ("event-folder", "sensor"): ((0, 1), (1,)),
    ("event-folder", "polarity"): ("both", 3),
    ("event-folder", "crop"): ((0, 0, 0, 1), (-1, 0, 1, 1)),
    ("event-folder", "time_unit"): ("minutes", 3),
    ("natural", "least"): (0, 2**31),
    ("signs", "edition"): (-1, 2**31),
    ("roads", "seldom"): (0.0, 1.1),
    ("convolutional", "uneven"): ("round",),
    ("dense", "initial_weights"): ("xavier",),
    ("convolutional", "initial_weights"): ("xavier",),
    ("classes", "classes"): (0, 2**31, "all"),
    ("shards", "shards_per_client"): (0,),
    ("resampled", "samples"): (0, 2**31),
    ("resampled", "alpha"): (0.0, -1.0, 1e10, "none"),
    ("shared-classes", "shared"): (-1, "one"),
    **{
        (kind, field): values
        for kind in ("dirichlet", "quantity")
        for field, values in (("alpha", (0.0, -1.0, 1e10)), ("min_samples", (0,)))
    },
    ("equal-dirichlet", "alpha"): (0.0, -1.0, 1e10),
    ("snn", "time_steps"): (0, -3, 2**31),
    ("qann", "time_steps"): (0,),
    ("qann", "bits"): (0, 33, "all"),
    ("qann", "ceiling"): (0.0, -1.0),
    **{(kind, "architecture"): ("dense", None) for kind in ("ann", "snn", "qann")},
    ("snn", "code"): ("rate", neurons.LIF()),
    ("snn", "neuron"): (codes.Rate(),),
    ("snn", "read_out"): ("count",),
    ("snn", "normalisation"): ("bntt", None),
    ("dense", "hidden"): ((), (0,), (2.5,), 100),
    ("convolutional", "features"): ((), (0,), ("pooling",)),
    ("convolutional", "hidden"): ((0,),),
    ("convolutional", "pool"): ("mean",),
    **{
        (kind, field): values
        for kind in ("backpropagation", "ottt", "e-prop")
        for field, values in (
            ("loss", (codes.Rate(), "spike-count")),
            ("optimiser", (None,)),
            ("epochs", (0,)),
            ("batch_size", (0, "all")),
            ("optimiser_memory", ("server",)),
            ("balanced", ("yes",)),
            ("ascent", (-0.1,)),
        )
    },
    ("backpropagation", "dropout"): (-0.1, 1.0),
    ("backpropagation", "clip"): (-0.1, "none"),
    **{(kind, "error"): ("last",) for kind in ("ottt", "e-prop")},
    ("e-prop", "feedback"): ("none",),
    ("stdp", "plasticity"): (None, codes.Rate()),
    ("stdp", "output"): ("labels",),
    ("stdp", "allotted"): ("yes",),
    ("stdp", "epochs"): (0,),
    ("stdp", "optimiser"): (None,),
    ("stdp", "output_epochs"): (0,),
    ("stdp", "batch_size"): (0,),
    **{("pair", name): (0.9, float("nan")) for name in ("tau_in", "tau_out")},
    **{("pair", name): (-0.1,) for name in ("a_plus", "a_minus")},
    ("pair", "incoming"): (0.0,),
    ("competitive", "beta"): (-0.1, 1.5),
    ("competitive", "threshold"): (0.0,),
    ("competitive", "rise"): (-0.1,),
    ("competitive", "sinking"): (-0.1, 1.1),
    ("competitive", "surrogate"): (None, codes.Rate()),
    ("neuron-union", "alike"): (-0.1, 1.1),
    ("fedprox", "mu"): (-0.1,),
    ("moon", "mu"): (-0.1,),
    ("moon", "tau"): (0.0, -0.5),
    ("fedbuff", "buffer"): (0, "all"),
    ("fedbuff", "server_learning_rate"): (0.0,),
    ("fedbuff", "staleness_exponent"): (-0.5,),
    ("fedasync", "mixing"): (0.0, 1.1),
    ("fedasync", "staleness_exponent"): (-0.5,),
    ("fedasync", "answers"): (0, "all"),
    ("scaffold", "server_learning_rate"): (0.0,),
    **{
        (kind, key): outside
        for kind in ("fedadam", "fedyogi", "fedadagrad")
        for key, outside in {
            "learning_rate": (0.0,),
            "beta1": (-0.1, 1.1),
            "beta2": (-0.1, 1.1),
            "tau": (0.0,),
        }.items()
        if (kind, key) != ("fedadagrad", "beta2")
    },
    ("fedavgm", "beta"): (-0.1, 1.0),
    ("fedavgm", "learning_rate"): (0.0,),
    ("fedexp", "epsilon"): (0.0,),
    ("feddyn", "alpha"): (0.0,),
    ("fedper", "layers"): (0,),
    ("fedrep", "layers"): (0,),
    ("ditto", "pull"): (-0.1,),
    **{
        (kind, "rule"): ("mean", codes.Rate())
        for kind in (
            *("fedavg", "fedbuff", "fedprox", "scaffold", "fedadam", "fedyogi", "fedadagrad"),
            *("fedavgm", "fednova", "fedexp", "feddyn", "mifa", "moon", "fedasync"),
            *("fedper", "fedrep", "fedbn", "ditto"),
        )
    },
    **{(kind, "graph"): ("ring", None) for kind in ("gossip", "relay-sum")},
    ("gossip", "mixings"): (0, 1001, 0.5),
    ("torus", "rows"): (-1, "all"),
    ("random-regular", "degree"): (0, 1000),
    ("tree", "children"): (0, "all"),
    **{("edges", name): ((-1,), (0.5,), 3) for name in ("client", "neighbour")},
    **{(kind, "path"): (3, "graph.csv") for kind in ("edges", "matrix")},
    ("matrix", "rows"): ((1.0,), ((1.1,),), ((-1.0,),)),
    ("mean", "by"): ("rounds",),
    ("clipping", "norm"): (0.0, -1.0),
    ("top-k", "share"): (0.0, 1.5, -0.1),
    ("top-k", "bits"): (2, 16, "4"),
    ("qsgd", "bits"): (5, 0, 16, "8"),
    ("qsgd", "bucket"): (0, 2**31, 0.5),
    ("low-rank", "rank"): (0, -1, 2**31, 0.5),
    **{(kind, "widths"): ((), (0.0,), (1.5,), 0.5) for kind in ("heterofl", "fedrolex")},
    ("fewer-steps", "steps"): ((), (0,), (2.5,), 2),
    ("fewer-steps", "decays"): ("shorter",),
    ("backpropagation", "samples_at_once"): (0, 2.5, "some"),
    ("smaller-parts", "samples"): ((), (0,), ("some",), 2),
    ("mixed-learners", "learners"): ((), ("stdp",), "ottt"),
    **{(kind, "scaler"): ("yes",) for kind in ("heterofl", "fedrolex")},
    ("rate", "gain"): (0.0, 1.1),
    **{(kind, "scale"): ("log",) for kind in ("latency", "contrast")},
    **{(kind, "threshold"): (0.0, 1.0) for kind in ("latency", "contrast")},
    ("contrast", "distance"): (0, 2**20 + 1, 0.5),
    ("phase", "period"): (0, 17, "all"),
    ("burst", "most_spikes"): (0, 2.5, "all"),
    ("burst", "shortest_interval"): (0,),
    ("delta", "threshold"): (0.0, 1.5),
    ("receptive-field", "neurons"): (2, 17, "all"),
    ("receptive-field", "sharpness"): (0.0, 101.0),
    ("receptive-field", "threshold"): (0.0, 1.0),
    ("calibrated-cross-entropy", "by"): ("share",),
    ("calibrated-cross-entropy", "tau"): (0.0, -1.0),
    ("restricted-cross-entropy", "alpha"): (-0.1, 1.1),
    ("vacant-classes", "distillation"): (-0.1,),
    ("vacant-classes", "suppression"): (-0.1,),
    ("spike-count", "correct_rate"): (-0.1, 1.2),
    ("spike-count", "incorrect_rate"): (-0.1, 1.2),
    ("bntt", "statistics"): ("shared",),
    ("bntt", "momentum"): (0.0, 1.1),
    ("bntt", "epsilon"): (0.0,),
    ("atan", "alpha"): (0.0, -1.0),
    ("adam", "learning_rate"): (0.0, -0.1),
    ("adam", "beta1"): (-0.1, 1.0),
    ("adam", "beta2"): (-0.1, 1.0),
    ("adam", "epsilon"): (0.0,),
    **{(kind, "weight_decay"): (-0.1, 1.1) for kind in ("adam", "sgd")},
    **{(kind, "schedule"): ("cosine", None) for kind in ("adam", "sgd")},
    ("sgd", "momentum"): (-0.1, 1.0),
    ("sgd", "nesterov"): ("yes",),
    ("exponential", "factor"): (0.0, 1.1),
    ("exponential", "every"): (0,),
    ("cosine", "rounds"): (0, "all"),
    ("cosine", "lowest"): (-0.1, 1.1),
    ("sgd", "learning_rate"): (0.0, -0.1),
    **{(kind, "slope"): (0.0, -1.0) for kind in ("fast-sigmoid", "sigmoid", "triangular")},
    **{
        (kind, field): values
        for kind in ("lif", "current-based", "adaptive")
        for field, values in (
            ("beta", (-0.1, 1.5)),
            ("threshold", (0.0, -1.0)),
            ("reset", ("substract",)),
            ("learn_beta", ("per-client", True)),
            ("learn_threshold", ("per-client",)),
            ("surrogate", (3.0, None, codes.Rate())),
        )
    },
    ("current-based", "alpha"): (-0.5, 1.1),
    ("current-based", "learn_alpha"): ("per-client",),
    ("adaptive", "adaptation"): (-1.0,),
    ("adaptive", "rho"): (-0.1, 2.0),
    ("adaptive", "learn_rho"): ("per-client",),
    ("weighted", "weights"): ((-1.0,), (1e13,), 0.5),
    ("power-of-choice", "candidates"): (0, 2.5, "all"),
    ("by-class", "least"): (0.0, 1.1),
    ("daily", "mean"): (-0.1, 1.1),
    ("daily", "swing"): (-0.1, 0.6),
    ("daily", "spread_h"): (-1.0, 25.0),
    ("daily", "hours_per_round"): (0.0,),
    ("by-operations", "operations_per_second"): (0.0,),
    **{("by-operations", f"{link}_kbps"): (0.0, 1e10) for link in ("uplink", "downlink")},
    ("by-operations", "straggling"): (-0.1,),
    ("trace", "path"): (3, "trace.csv"),
    ("fedexp", "average"): ("yes", 1),
    ("trace", "unit"): ("minutes", 3),
    **{("trace", name): ((-1,), (0.5,), 3) for name in ("client", "first", "last")},
}
"""Values just outside the limits of every field, by kind and key."""


def fields(kind: type[Part]) -> dict[str, msgspec.structs.FieldInfo]:
    return {field.name: field for field in msgspec.structs.fields(kind)}


def first_example(kind: type[Part]) -> Part:
    return next(part for part in EVERY_PART if type(part) is kind)


@each_family
def test_every_kind_has_an_example_and_a_name_of_its_own(family: type[Part]) -> None:
    assert {type(part) for part in EXAMPLES[family]} == set(FAMILIES[family])
    names = [first_example(kind).kind for kind in FAMILIES[family]]
    assert len(set(names)) == len(FAMILIES[family])
    assert all(name == name.lower() and name.replace("-", "").isalpha() for name in names)


@each_kind
def test_every_field_has_limits_and_values_outside_them(kind: type[Part]) -> None:
    name = first_example(kind).kind
    assert {key for of, key in OUTSIDE if of == name} == set(fields(kind))
    assert all(field.type not in (int, float, str) for field in fields(kind).values())


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        (kind, key, value)
        for kinds in FAMILIES.values()
        for kind in kinds
        for key, field in fields(kind).items()
        for value in (
            *OUTSIDE[first_example(kind).kind, key],
            *((math.nan, math.inf) if not part_types(field.type) else ()),
        )
    ],
)
def test_limits_hold_from_python_and_from_a_file(kind: type[Part], key: str, value: object) -> None:
    example = first_example(kind)
    with pytest.raises(InputError, match=f"^{kind.__name__}: {key} = ") as error:
        msgspec.structs.replace(example, **{key: value})
    assert "\n  expected: " in str(error.value)
    assert "\n  fix: " in str(error.value)
    with pytest.raises((InputError, msgspec.ValidationError)):
        msgspec.convert(keys_of(example) | {key: value}, kind)


def keys_of(part: Part) -> dict[str, Any]:
    """The table of a part in an experiment's file; the parts in it have tables of their own."""
    values = {key: getattr(part, key) for key in fields(type(part))}
    return {key: value for key, value in values.items() if not isinstance(value, Part)}


@each_family
def test_fields_are_keys(family: type[Part]) -> None:
    """What is read from a file is the part, and only its fields are taken."""
    union: Any = FAMILIES[family][0]
    for kind in FAMILIES[family][1:]:
        union |= kind
    for part in EXAMPLES[family]:
        inner = {key for key, field in fields(type(part)).items() if part_types(field.type)}
        usual = {key: fields(type(part))[key].default for key in inner}
        table = json.loads(json.dumps({"kind": part.kind} | keys_of(part)))
        plain = msgspec.structs.replace(part, **usual)
        assert msgspec.convert(table, union) == plain
        with pytest.raises(msgspec.ValidationError, match="unknown field `kept`"):
            msgspec.convert(table | {"kept": 1}, union)


@each_part
def test_parts_are_values(part: Part) -> None:
    """Equal where their fields are, so that what is made of one may be kept under it; and frozen."""
    assert msgspec.structs.replace(part) == part
    assert hash(msgspec.structs.replace(part)) == hash(part)
    for key in (*fields(type(part)), "new"):
        with pytest.raises(AttributeError):
            setattr(part, key, 1)


@each_kind
def test_documentation_is_its_own_and_begins_with_a_sentence(kind: type[Part]) -> None:
    text = vars(kind)["__doc__"]
    summary, *rest = text.split("\n\n")[0].splitlines()
    assert not rest, "the summary is one line"
    assert summary[0].isupper()
    assert summary.endswith(".")
    assert len(summary) < 110


@each_kind
def test_the_first_kind_of_a_family_is_what_a_part_has_unasked(kind: type[Part]) -> None:
    for field in fields(kind).values():
        if family := family_of(field.type):
            assert type(field.default) in (FAMILIES[family][0], type(None))


def tables(part: Any) -> Iterator[Table]:
    """What a part says that it does, a neuron everywhere in a network."""
    if isinstance(part, neurons.Neuron):
        for fires, added, bias in product((True, False), repeat=3):
            yield part.operations(Place(fires, added, bias)) or {}
    elif hasattr(part, "operations"):
        yield part.operations() or {}


@each_part
def test_operations_are_of_known_kinds_and_known_quantities(part: Part) -> None:
    """Whole numbers, in known phases, for each of what the account counts; 0 is said where it may be more."""
    for table in tables(part):
        demand_table(table, part.kind)
        for rows in table.values():
            for operations in rows.values():
                assert set(operations) <= {*ARITHMETIC, *MEMORY}
                assert min(operations.values()) >= 0


class Silent(codes.Code, tag="silent"):
    """A code of a user's own, of which nothing ever comes out."""

    strength: Annotated[float, msgspec.Meta(ge=0)] = 1.0

    def spikes(self, pixels: Any, address: codes.Address, time_steps: int) -> torch.Tensor:
        """Nothing."""
        del address
        return torch.zeros(time_steps, *pixels.shape)


def test_a_kind_of_ones_own_is_a_part_like_any() -> None:
    assert (Silent().kind, Silent(0.5)) == ("silent", Silent(strength=0.5))
    assert Silent().operations() is None, "nobody has counted it"
    with pytest.raises(InputError, match=r"^Silent: strength = -1\n  expected: a number >= 0\n"):
        Silent(-1)
    network = SNN(code=Silent(), time_steps=3).over((1, 2, 2), 2)
    assert network.code == Silent()


def test_what_a_kind_of_ones_own_lacks_is_named() -> None:
    class Mute(codes.Code, tag="mute"):
        """Without spikes."""

    class Halved(neurons.Neuron, tag="halved"):
        """Without a membrane."""

        def spikes(self, currents: torch.Tensor, learned: object = None) -> torch.Tensor:
            del learned
            return currents

    class Flat(surrogates.Surrogate, tag="flat"):
        """Without a derivative."""

    class Equationless(codes.Tabulated, tag="equationless"):
        """A tabulated code that has no table."""

    class Wordless(losses.Loss, tag="wordless"):
        """Without a loss."""

    cases: list[tuple[Any, str, str]] = [
        (Mute, "spikes", "Code"),
        (Halved, "membrane", "Neuron"),
        (Flat, "derivative", "Surrogate"),
        (Equationless, "trains", "Tabulated"),
        (Wordless, "__call__", "Loss"),
    ]
    for kind, missing, family in cases:
        with pytest.raises(InputError, match=f"^{kind.__name__} has no {missing}\n") as error:
            kind()
        assert f"all members of a {family}: " in str(error.value)
        assert f"write {missing} in {kind.__name__}" in str(error.value)


def test_all_that_is_missing_is_named_at_once() -> None:
    class Shape(Part):
        """A family."""

        @abstractmethod
        def area(self) -> float:
            """Its area."""

        @abstractmethod
        def border(self) -> float:
            """Its border."""

    class Blob(Shape, tag="blob"):
        """Neither."""

    with pytest.raises(InputError, match=r"^Blob has no area and no border\n"):
        Blob()  # type: ignore[abstract]


def test_fields_that_cannot_go_together_are_refused_by_their_own_check() -> None:
    class Range(Part, tag="range"):
        """From one number to another."""

        low: Annotated[int, msgspec.Meta(ge=0)] = 0
        high: Annotated[int, msgspec.Meta(ge=0)] = 1

        def check(self) -> None:
            """Not upside down."""
            if self.low > self.high:
                raise InputError("low above high", expected="low <= high", fix="exchange them")

    assert Range(1, 1).high == 1
    with pytest.raises(InputError, match="low above high"):
        Range(2)
    with pytest.raises(InputError, match="Range: high = -1"):  # limits first
        Range(2, -1)


def test_numbers_of_numpy_are_numbers() -> None:
    """A sweep in Python is often over np.linspace."""
    for beta in np.linspace(0, 1, 3):
        assert type(neurons.LIF(beta=beta).beta) is float
    (half,) = torch.tensor([0.5]).numpy()  # a float32
    assert neurons.LIF(beta=half) == neurons.LIF(beta=0.5)
    period: Any = np.int64(5)
    assert type(codes.Phase(period).period) is int
    with pytest.raises(InputError, match="Phase: period = 17"):
        codes.Phase(period + 12)
