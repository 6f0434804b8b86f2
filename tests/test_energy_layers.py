"""Convolution, pooling, normalisation and read-out: hand counts, brute force, and laws."""

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counted_example import STEPS, counted, whole
from fedspike.energy import break_even
from fedspike.energy.bill import Footprint, bill, footprint
from fedspike.energy.counts import aggregation, count, merge, words_sent
from fedspike.energy.profiles import shipped
from fedspike.errors import InputError
from fedspike.layers.activity import Activity
from fedspike.layers.operations import NetworkOperations
from fedspike.layers.shapes import (
    BatchNorm,
    Convolution,
    Dense,
    Layer,
    Pool,
    fan_out,
    weighted_fan_out,
)
from fedspike.parts.codes import Direct
from fedspike.parts.read_outs import MeanMembrane

CONV = Convolution(1, 2, kernel=3, height=4, width=4, padding=1)  # 100 of 144 products are inside
LAYERS: dict[str, Layer] = {"conv": CONV, "output": Dense(32, 3)}
CONVENTIONAL = counted(LAYERS)


def deep_layers(
    pool: Literal["average", "max"], norms: int, pooled: bool = True
) -> dict[str, Layer]:
    """Convolution, normalisation, pooling, a dense layer."""
    norm = BatchNorm(2, 16, time_steps=norms, shift=norms == 1, pooled=pooled)
    conv, pooling = replace(CONV, bias=False), Pool(pool, 2, 4, 4)
    return {"conv": conv, "norm": norm, "pool": pooling, "output": Dense(8, 3)}


def deep(
    steps: int | None, pool: Literal["average", "max"], norms: int, **parts: Any
) -> NetworkOperations:
    return counted(deep_layers(pool, norms), steps, **parts)


NETWORKS = [
    deep(None, "average", 1),
    deep(None, "max", 1),
    deep(STEPS, "max", 1),
    deep(STEPS, "average", STEPS, read_out=MeanMembrane()),
    deep(STEPS, "max", STEPS, code=Direct(), read_out=MeanMembrane()),
]


def test_a_convolution_by_hand() -> None:
    """1 sample through 1 -> 2 channels: a value in the corner meets 2*4 synapses, one inside 2*9."""
    seen = Activity(1, 1, {"conv": 2, "output": 5}, synapses_met={"conv": 8 + 18})
    found = count(CONVENTIONAL, seen)
    assert found["forward"]["conv"] == {"mac": 200, "read_input": 16, "read_weight": 200}
    assert found["neuron"]["conv"] == {"compare": 32, "read_bias": 32, "write_output": 32}
    assert found["backward_weights"]["conv"] == {"mac": 200}
    assert "conv" not in found["backward_inputs"]
    assert found["optimiser"]["conv"] == {"multiply": 220, "add": 80, "sqrt": 20}  # 2*9 + 2
    skipping = count(CONVENTIONAL, seen, skip_zeros=True)
    assert skipping["forward"]["conv"] == {"mac": 26, "read_input": 16, "read_weight": 26}
    assert skipping["backward_weights"]["conv"] == {"mac": 26}
    snn = count(counted(LAYERS, STEPS), replace(seen, events_out=1))
    assert snn["forward"]["conv"] == {
        **{"ac": 26, "address": 26, "read_input": 2, "read_weight": 26},
        **{"read_potential": 26, "write_potential": 26},
    }
    assert snn["neuron"]["conv"] == {
        **{"multiply": 160, "add": 165, "compare": 160, "write_output": 5},
        **{"read_bias": 160, "read_potential": 160, "write_potential": 160},
    }
    assert snn["backward_weights"]["conv"] == {"ac": 26}
    second = counted({"first": CONV, "second": Convolution(2, 1, 2, 4, 4, stride=2)}, STEPS)
    met = {"first": 26, "second": 5}
    found = count(second, Activity(1, 0, {"first": 2, "second": 5}, 1, met))
    assert found["backward_inputs"] == {
        "second": {"mac": STEPS * 32}
    }  # every input meets one output


def test_normalisation_by_hand() -> None:
    """2 samples, 5 steps, 3 batches; BNTT: 2 channels x 5 steps = 10 groups, 2*5*32 = 320 values."""
    made = deep(STEPS, "max", STEPS)
    seen = Activity(2, 3, {"conv": 0, "pool": 0, "output": 0}, synapses_met={"conv": 0})
    found = count(made, seen)
    assert found["normalise"] == {
        "norm": {
            **{"multiply": 3 * 320 + 6 * 30, "add": 3 * 320 + 3 * 30, "sqrt": 30},
            **{"read_weight": 320, "read_bias": 0},
        }
    }
    assert found["backward_weights"]["norm"] == {"mac": 320, "add": 320}
    assert found["backward_inputs"]["norm"] == {"multiply": 2 * 320 + 3 * 30, "add": 640}
    assert found["optimiser"]["norm"] == {"multiply": 330, "add": 120, "sqrt": 30}  # 10 scales
    assert found["neuron"]["conv"]["add"] == 320  # the normalised current in place of a bias
    assert found["neuron"]["conv"]["read_bias"] == 0
    tested = count(made, seen, training=False)
    assert tested["normalise"] == {
        "norm": {"multiply": 320, "add": 320, "read_weight": 320, "read_bias": 320}
    }
    shared = count(deep(None, "max", 1), seen)["normalise"]["norm"]
    assert shared == {
        **{"multiply": 3 * 64 + 6 * 6, "add": 4 * 64 + 3 * 6, "sqrt": 6},
        **{"read_weight": 64, "read_bias": 64},
    }
    norm = made.layers["norm"]
    assert (norm.parameters, norm.sends) == (10, 20)  # scales; means and variances
    assert words_sent(made) == made.parameters + 20
    assert aggregation(made, clients=3)["aggregation"]["norm"] == {"mac": 3 * (10 + 30)}
    assert "pool" not in aggregation(made, clients=3)["aggregation"]
    alone = counted(deep_layers("max", STEPS, pooled=False), STEPS)
    assert words_sent(alone) == alone.parameters == made.parameters
    assert aggregation(alone, clients=3)["aggregation"]["norm"] == {"mac": 3 * 10}
    assert footprint(made) == Footprint(4 * (18 + 20 + 27), 4 * (32 + 3), 4 * (16 + 32 + 8 + 3))


@pytest.mark.parametrize("kind", ["average", "max"])
def test_pooling_by_hand(kind: Literal["average", "max"]) -> None:
    """2 samples, 32 values in, 8 out; the spikes: 7 in, 5 out."""
    seen = Activity(2, 0, {"conv": 1, "pool": 7, "output": 5}, synapses_met={"conv": 8})
    ann = count(deep(None, kind, 1), seen)
    snn = count(deep(STEPS, kind, 1), seen)
    average = kind == "average"
    assert ann["pool"]["pool"] == {
        **({"add": 48, "multiply": 16} if average else {"compare": 48}),
        **{"read_input": 64, "write_output": 16},
    }
    assert snn["pool"]["pool"] == {
        **({"add": 7, "multiply": 5} if average else {"compare": 7}),
        **{"read_input": 7, "write_output": 5},
    }
    assert ann["backward_inputs"].get("pool", {}) == ({"multiply": 16} if average else {})
    by_step = {"multiply": 16 * STEPS} if average else {}
    assert snn["backward_inputs"].get("pool", {}) == by_step
    assert snn["neuron"]["conv"]["write_output"] == 7  # what the neurons fired, not what was pooled
    # Averages of spikes are no spikes: the layer behind them multiplies.
    product, other = ("mac", "ac") if average else ("ac", "mac")
    for phase in ("forward", "backward_weights"):
        assert snn[phase]["output"][product] == 15
        assert other not in snn[phase]["output"]
        assert snn[phase]["conv"]["ac"] == 8


def test_a_membrane_read_out_by_hand() -> None:
    """3 neurons that leak and add over 5 steps, for 2 samples; without a threshold none fires."""
    layers, seen = {"output": Dense(4, 3)}, Activity(2, 0, {"output": 6})
    made = counted(layers, STEPS, read_out=MeanMembrane())
    done = count(made, seen)
    assert done["neuron"]["output"] == {
        **{"multiply": 30, "add": 30, "read_bias": 30},
        **{"read_potential": 30, "write_potential": 30, "write_output": 6},
    }
    assert done["surrogate"]["output"] == {"multiply": 30, "add": 30}
    assert done["forward"] == count(counted(layers, STEPS), seen)["forward"]
    with pytest.raises(InputError, match="at most 0 out"):
        count(made, replace(seen, events_out=1))
    layers = {"output": Dense(4, 3, bias=False)}
    bare = count(counted(layers, STEPS, read_out=MeanMembrane()), seen)
    assert (bare["neuron"]["output"]["add"], bare["neuron"]["output"]["read_bias"]) == (0, 0)


def test_the_direct_code_of_a_convolution() -> None:
    """1 sample, 2 of 16 pixels not 0: they meet 26 of the 200 synapses; once for all steps."""
    made = counted(LAYERS, STEPS, code=Direct())
    seen = Activity(1, 0, {"conv": 2, "output": 0}, synapses_met={"conv": 26})
    assert count(made, seen)["forward"]["conv"] == {
        **{"mac": 200, "read_input": 16, "read_weight": 200, "write_output": 32}
    }
    assert count(made, seen, skip_zeros=True)["forward"]["conv"]["mac"] == 26


@st.composite
def convolutions(draw: st.DrawFn, padded: bool = True) -> Convolution:
    kernel = draw(st.integers(1, 4))
    height, width = draw(st.integers(kernel, 7)), draw(st.integers(kernel, 7))
    groups = draw(st.integers(1, 3))
    return Convolution(
        *(
            groups * draw(st.integers(1, 3)),
            groups * draw(st.integers(1, 3)),
            kernel,
            height,
            width,
        ),
        stride=draw(st.integers(1, 4)),
        padding=draw(st.integers(0, kernel - 1)) if padded else 0,
        groups=groups,
    )


def met_by_hand(layer: Convolution, weight: np.ndarray) -> np.ndarray:
    """Per input, the weights that are not 0 on its way to any output: one after the other."""
    met = np.zeros((layer.in_channels, layer.height, layer.width), int)
    rows, columns = layer.out_size
    own, behind = layer.in_channels // layer.groups, layer.out_channels // layer.groups
    for out, c, y, x in np.ndindex(layer.out_channels, own, rows, columns):
        first = out // behind * own  # channel of the output's group
        for i, j in np.ndindex(layer.kernel, layer.kernel):
            at_y, at_x = y * layer.stride - layer.padding + i, x * layer.stride - layer.padding + j
            if 0 <= at_y < layer.height and 0 <= at_x < layer.width:
                met[first + c, at_y, at_x] += weight[out, c, i, j] != 0
    return met


@given(convolutions(), st.integers(0, 2**32))
def test_fan_out_is_what_brute_force_finds(layer: Convolution, bits: int) -> None:
    shape = layer.weight_shape
    everywhere = met_by_hand(layer, np.ones(shape))
    assert (fan_out(layer) == everywhere).all()
    assert (weighted_fan_out(layer, np.ones(shape)) == everywhere).all()
    assert layer.synapses == everywhere.sum()
    some = (bits >> np.arange(np.prod(shape)) % 32 & 1).reshape(shape) * 0.5
    assert (weighted_fan_out(layer, some) == met_by_hand(layer, some)).all()


@given(convolutions())
def test_fan_out_never_exceeds_the_closed_form(layer: Convolution) -> None:
    """Channels of a group * ceil(kernel / stride)^2, reached where the kernel covers an input wholly."""
    bound = layer.out_channels // layer.groups * (-(-layer.kernel // layer.stride)) ** 2
    met = fan_out(layer)
    assert met.max() <= bound
    edge = layer.kernel - 1 - layer.padding
    # An image that ends where a stride ends has no rows left over that the kernel never sees.
    inside = met[edge : layer.height - edge, edge : layer.width - edge]
    if layer.stride == 1 and inside.size:
        assert (inside == bound).all()


@given(convolutions(padded=False))
def test_without_padding_a_convolution_has_the_textbooks_products(layer: Convolution) -> None:
    rows = (layer.height - layer.kernel) // layer.stride + 1
    columns = (layer.width - layer.kernel) // layer.stride + 1
    products = rows * columns * np.prod(layer.weight_shape)
    assert layer.synapses == products
    seen = Activity(3, 0, {"conv": 0}, synapses_met={"conv": 0})
    assert whole(count(counted({"conv": layer}), seen))["forward", "conv", "mac"] == 3 * products


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 40), st.sampled_from([None, 4]))
def test_a_dense_layer_is_a_convolution_of_one_pixel(
    inputs: int, outputs: int, events: int, steps: int | None
) -> None:
    """Dense(I, O) = I -> O channels of 1 x 1; and a kernel as large as the image is dense too."""
    samples = 5
    events = min(events, samples * inputs)
    dense = counted({"l": Dense(inputs, outputs)}, steps)
    point = counted({"l": Convolution(inputs, outputs, 1, 1, 1)}, steps)
    square = counted({"l": Convolution(inputs, outputs, 3, 3, 3)}, steps)
    wide = counted({"l": Dense(9 * inputs, outputs)}, steps)
    seen = Activity(samples, 2, {"l": events}, 3)
    met = replace(seen, synapses_met={"l": events * outputs})
    for skip_zeros in (False, True):
        how = {"skip_zeros": skip_zeros}
        assert count(dense, seen, **how) == count(point, met, **how)
        assert count(wide, seen, **how) == count(square, met, **how)
    assert footprint(dense) == footprint(point)
    assert words_sent(dense) == words_sent(point)


@st.composite
def activities(draw: st.DrawFn, silent: bool = False) -> Activity:
    """What any of NETWORKS can show: whole spike maps into the convolution, numbers into the others."""
    samples = draw(st.integers(0, 4))
    most = 0 if silent else samples
    spikes = np.array(draw(st.lists(st.integers(0, most), min_size=16, max_size=16)))
    pool, output = (draw(st.integers(0, most * size)) for size in (32, 8))
    events = {"conv": int(spikes.sum()), "pool": pool, "output": output}
    met = {"conv": int((spikes.reshape(4, 4) * fan_out(CONV)).sum())}
    return Activity(samples, draw(st.integers(0, 9)), events, 0, met)


@given(
    made=st.sampled_from(NETWORKS),
    a=activities(),
    b=activities(),
    skip_zeros=st.booleans(),
    training=st.booleans(),
)
def test_counts_add_up(
    made: NetworkOperations, a: Activity, b: Activity, skip_zeros: bool, training: bool
) -> None:
    how = {"skip_zeros": skip_zeros, "training": training}
    parts = merge([count(made, a, **how), count(made, b, **how)])
    assert whole(parts) == whole(count(made, a + b, **how))


@pytest.mark.parametrize(
    ("pool", "by_step", "parts"),
    [("max", False, {}), ("average", True, {"read_out": MeanMembrane()})],
)
@given(silent=activities(silent=True))
def test_without_spikes_only_the_terms_of_time_are_left(
    pool: Literal["average", "max"], by_step: bool, parts: dict[str, Any], silent: Activity
) -> None:
    """No synapse and no pool does anything; what is left goes with n*T, or with batches and groups."""
    done, longer = (
        whole(count(deep(steps, pool, steps if by_step else 1, **parts), silent, training=False))
        for steps in (STEPS, 3 * STEPS)
    )
    assert not any(phase in ("forward", "pool") for phase, *_ in done)
    fixed = {("encode", "input", "read_input"), ("neuron", "output", "write_output")}
    assert longer == {key: number if key in fixed else 3 * number for key, number in done.items()}


@given(made=st.sampled_from(NETWORKS), seen=activities(), more=activities())
def test_more_activity_never_costs_less(
    made: NetworkOperations, seen: Activity, more: Activity
) -> None:
    before, after = whole(count(made, seen)), whole(count(made, seen + more))
    assert all(number <= after[key] for key, number in before.items())


def test_all_in_prices_have_no_pooling_and_normalisation_in_them() -> None:
    seen = Activity(1, 0, {"conv": 1, "pool": 2, "output": 1}, synapses_met={"conv": 8})
    found = count(NETWORKS[2], seen, training=False)
    got = bill(found, shipped()["truenorth-all-in"], "compute")
    missing = {"pool.compare", "normalise.multiply", "normalise.add"}
    assert missing <= {*got.not_priced}
    assert not missing & {*got.included, *got.terms}


def test_a_phase_stands_where_there_is_a_layer_for_it() -> None:
    seen = Activity(1, 0, {"conv": 1, "pool": 2, "output": 1}, synapses_met={"conv": 8})
    assert list(count(NETWORKS[2], seen, training=False)) == [
        *("encode", "forward", "pool", "normalise", "neuron")
    ]
    plain = Activity(1, 0, {"conv": 1, "output": 1}, synapses_met={"conv": 8})
    assert list(count(CONVENTIONAL, plain, training=False)) == ["encode", "forward", "neuron"]


NORM, POOL, OUTPUT = BatchNorm(2, 16), Pool("max", 2, 4, 4), Dense(32, 3)


@pytest.mark.parametrize(
    ("layers", "steps", "words"),
    [
        ({"conv": CONV, "output": Dense(31, 3)}, None, "layer output has 31 inputs behind 32"),
        ({"norm": NORM, "output": OUTPUT}, None, "layer norm: .* behind None"),
        ({"conv": CONV, "pool": POOL, "norm": BatchNorm(2, 4)}, None, "layer norm: .* behind Pool"),
        ({"conv": CONV, "norm": BatchNorm(2, 16, time_steps=4), "output": OUTPUT}, 5, "layer norm"),
        ({"conv": CONV, "norm": BatchNorm(2, 16, time_steps=4), "output": OUTPUT}, None, "norm"),
        ({"conv": CONV, "pool": POOL}, None, "layers conv, pool"),
        ({"pool": POOL, "output": Dense(8, 3)}, None, "layers pool, output"),
    ],
)
def test_layers_that_do_not_fit_are_refused(layers: Any, steps: int | None, words: str) -> None:
    with pytest.raises(InputError, match=words):
        counted(layers, steps)


@pytest.mark.parametrize(
    "made",
    [
        lambda: Convolution(1, 1, kernel=5, height=4, width=6),
        lambda: Convolution(1, 1, kernel=3, height=4, width=4, padding=3),
        lambda: Convolution(1, 1, kernel=3, height=4, width=4, stride=0),
        lambda: Convolution(0, 1, kernel=3, height=4, width=4),
        lambda: Pool("max", 1, 5, 4, size=6),
        lambda: Pool("average", 1, 4, 4, size=0),
    ],
)
def test_impossible_sizes_are_refused(made: Any) -> None:
    with pytest.raises(InputError):
        made()


@pytest.mark.parametrize(
    ("events", "met"),
    [(2, {}), (2, {"conv": 15}), (2, {"conv": 37}), (2, {"conv": 16, "output": 6})],
)
def test_synapses_that_the_events_cannot_have_met_are_refused(
    events: int, met: dict[str, int]
) -> None:
    """An event meets 8 to 18 synapses here."""
    with pytest.raises(InputError, match="synapses"):
        count(CONVENTIONAL, Activity(1, 0, {"conv": events, "output": 0}, 0, met))
    for possible in (16, 36):
        count(CONVENTIONAL, Activity(1, 0, {"conv": events, "output": 0}, 0, {"conv": possible}))
    with pytest.raises(InputError, match="at most 200"):  # 16 values that were all inside
        count(CONVENTIONAL, Activity(1, 0, {"conv": 16, "output": 0}, 0, {"conv": 201}))


def test_a_convolution_has_no_break_even() -> None:
    snn = counted(LAYERS, STEPS)
    with pytest.raises(InputError, match=r"break-even of a layer .* 8 to 18 synapses"):
        break_even.balance(
            CONVENTIONAL.layers["conv"],
            snn.layers["conv"],
            shipped()["horowitz45-int8"],
            "study",
        )


@given(a=st.integers(0, 50), b=st.integers(0, 50), made=st.sampled_from([CONVENTIONAL, *NETWORKS]))
def test_what_is_averaged_adds_up_over_clients(a: int, b: int, made: NetworkOperations) -> None:
    parts = [aggregation(made, clients) for clients in (a, b)]
    assert whole(merge(parts)) == whole(aggregation(made, a + b))
