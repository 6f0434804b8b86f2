"""Where two bills meet: the break-even is the crossing of the bills, for every kind of part."""

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counted_example import EVERY_KIND, STUDY, counted, profile_of
from fedspike.energy import break_even
from fedspike.energy.bill import Footprint, bill, footprint
from fedspike.energy.counts import ARITHMETIC, MEMORY, count
from fedspike.energy.levels import HIGHEST_OF_INFERENCE, Level, up_to
from fedspike.energy.profiles import Profile, shipped
from fedspike.energy.recorded import recorded, standings
from fedspike.errors import InputError
from fedspike.layers.activity import Activity
from fedspike.layers.operations import NetworkOperations
from fedspike.layers.shapes import Dense
from fedspike.parts.codes import Direct

TINY = Footprint(1, 1, 1)
OF_INFERENCE = up_to(HIGHEST_OF_INFERENCE)
CONVENTIONAL = counted()
hundredths = st.integers(1, 500).map(lambda n: n / 100)
prices = st.integers(0, 500).map(lambda n: n / 100)


every_price = st.fixed_dictionaries(dict.fromkeys(ARITHMETIC, hundredths))


@st.composite
def layers_at_prices(draw: st.DrawFn) -> tuple[Dense, Profile, Level, int]:
    layer = Dense(draw(st.integers(1, 40)), draw(st.integers(1, 40)))
    level = draw(st.sampled_from(OF_INFERENCE))
    return layer, profile_of(draw(every_price), draw(prices)), level, draw(st.integers(1, 60))


def balance(layer: Dense, one: Profile, level: Level, **how: Any) -> break_even.Balance:
    """The condition for a layer of both networks."""
    sides = (counted({"l": layer}).layers["l"], counted({"l": layer}, 50).layers["l"])
    return break_even.balance(*sides, one, level, **how)


def cost_mj(
    layer: Dense,
    one: Profile,
    level: Level,
    steps: int | None,
    events: int,
    out: int,
    sizes: Footprint | None = None,
    **how: bool,
) -> float:
    """The bill of one image through one layer, without the encoder."""
    network = counted({"l": layer}, steps)
    found = count(network, Activity(1, 0, {"l": events}, out), training=False, **how)
    del found["encode"]
    return bill(found, one, level, footprint=sizes or footprint(network)).nominal_mj


@given(layers_at_prices(), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_the_break_even_in_spikes_is_the_crossing_of_the_two_bills(
    setting: tuple[Dense, Profile, Level, int], spikes: float, fired: float, zeros: float
) -> None:
    layer, one, level, steps = setting
    events, out = round(spikes * steps * layer.inputs), round(fired * steps * layer.outputs)
    values = round(zeros * layer.inputs)
    ann = cost_mj(layer, one, level, None, values, 0, skip_zeros=True)
    snn = cost_mj(layer, one, level, steps, events, out)
    gamma = 1 - values / layer.inputs
    phi = balance(layer, one, level, ann=TINY, snn=TINY, zeros_skipped=gamma).spikes(
        steps, spikes_out=out / layer.outputs
    )
    # Where the straight line through two of the SNN's bills meets the ANN's.
    none = cost_mj(layer, one, level, steps, 0, out)
    full = cost_mj(layer, one, level, steps, steps * layer.inputs, out)
    crossing = steps * (ann - none) / (full - none)
    scale = max(abs(crossing), steps)
    assert phi == pytest.approx(crossing, abs=1e-9 * scale)
    if abs(events / layer.inputs - phi) > 1e-9 * scale:
        assert (snn < ann) == (events / layer.inputs < phi)


@given(layers_at_prices(), st.integers(0, 10), st.integers(0, 10))
def test_the_break_even_in_time_steps_is_the_crossing_of_the_two_bills(
    setting: tuple[Dense, Profile, Level, int], tenths: int, tenths_out: int
) -> None:
    """At tenths of a spike a step and neuron, over a multiple of 10 steps: whole spikes."""
    layer, one, level, steps = setting
    most = balance(layer, one, level, ann=TINY, snn=TINY).time_steps(tenths / 10, tenths_out / 10)
    ann = cost_mj(layer, one, level, None, 0, 0)
    ten = cost_mj(layer, one, level, 10, tenths * layer.inputs, tenths_out * layer.outputs)
    assert most == pytest.approx(10 * ann / ten if ten else math.inf, rel=1e-9)
    many = cost_mj(
        layer,
        one,
        level,
        10 * steps,
        steps * tenths * layer.inputs,
        steps * tenths_out * layer.outputs,
    )
    if abs(10 * steps - most) > 1e-9 * most:
        assert (many < ann) == (10 * steps < most)


def test_break_even_by_hand() -> None:
    """Davidson and Furber's arithmetic: 784-100 in 45 nm int8, arithmetic alone."""
    layer, one = STUDY["hidden"], shipped()["horowitz45-int8"]
    assert balance(layer, one, "study").spikes(50) == pytest.approx(0.23 / 0.03)
    compute = balance(layer, one, "compute")
    step = 0.2 + 0.03 + 0.03
    expected = (0.23 + 0.03 / 784 - 50 / 784 * step - 7 / 784 * 0.03) / (0.03 + 0.1)
    assert compute.spikes(50, spikes_out=7.0) == pytest.approx(expected, rel=1e-12)
    assert compute.time_steps(0.0) == pytest.approx((0.23 + 0.03 / 784) * 784 / step, rel=1e-12)


def test_a_weight_read_for_several_samples_is_cheaper_for_the_ann() -> None:
    layer = STUDY["hidden"]
    one = profile_of(dict.fromkeys(ARITHMETIC, 1.0), word_pj=3.0)
    alone = balance(layer, one, "memory", ann=TINY, snn=TINY)
    reused = balance(layer, one, "memory", ann=TINY, snn=TINY, weight_reuse=6)
    assert float(alone.ann - reused.ann) == 3 - 3 / 6
    assert (alone.spike, alone.step, alone.out) == (reused.spike, reused.step, reused.out)


def test_the_ends_of_a_break_even() -> None:
    layer = Dense(4, 3)
    free = balance(layer, profile_of({"mac": 1.0, "ac": 0.0}), "study")
    assert (free.spikes(5), free.time_steps(0.5)) == (math.inf, math.inf)
    with pytest.raises(InputError, match="level training"):
        balance(layer, profile_of({"mac": 1.0, "ac": 1.0}), "training")
    with pytest.raises(InputError, match=r"a price of neuron\.compare"):
        balance(layer, profile_of({"mac": 1.0, "ac": 1.0}), "compute")
    with pytest.raises(InputError, match=r"forward\.read_weight"):  # no footprint
        balance(layer, profile_of(dict.fromkeys(ARITHMETIC, 1.0)), "memory")


@given(
    st.fixed_dictionaries(dict.fromkeys((*ARITHMETIC, *MEMORY), hundredths)),
    st.sampled_from(EVERY_KIND),
    st.sampled_from(OF_INFERENCE),
    st.sampled_from(["hidden", "output"]),
    st.integers(0, 15),
)
def test_the_break_even_is_the_crossing_for_every_part(
    prices_pj: dict[str, float],
    snn: NetworkOperations,
    level: Level,
    name: str,
    fired: int,
) -> None:
    """For all codes, neurons and read-outs: where the straight line of the SNN's bills meets the ANN's."""
    layer, dense, steps = snn.layers[name], CONVENTIONAL.layers[name], snn.time_steps or 1
    if layer.enters != "spikes":
        return
    one = profile_of(prices_pj)
    fired = min(fired, steps * layer.outputs) * layer.fires

    def cost(side: NetworkOperations, events: int, out: int) -> float:
        seen = {"hidden": 0, "output": out if name == "hidden" else 0} | {name: events}
        last = out if name == "output" else 0
        counts = count(side, Activity(1, 0, seen, last), training=False)
        own = {phase: {name: layers.get(name, {})} for phase, layers in counts.items()}
        own["encode"] = {}
        return bill(own, one, level, footprint=footprint(side)).nominal_mj

    even = break_even.balance(
        dense, layer, one, level, ann=footprint(CONVENTIONAL), snn=footprint(snn)
    )
    phi = even.spikes(steps, spikes_out=fired / layer.outputs)
    ann = cost(CONVENTIONAL, 0, 0)
    none, full = cost(snn, 0, fired), cost(snn, steps * layer.inputs, fired)
    crossing = steps * (ann - none) / (full - none)
    assert phi == pytest.approx(crossing, abs=1e-9 * max(abs(crossing), steps))


def test_the_break_even_of_a_layer_without_bias() -> None:
    """The crossing again, without the additions and reads of biases: 45 nm int8, 5 steps."""
    one, layer = shipped()["horowitz45-int8"], Dense(784, 100, bias=False)
    phi = balance(layer, one, "memory", ann=TINY, snn=TINY).spikes(5)
    ann = cost_mj(layer, one, "memory", None, 0, 0, TINY)
    none, full = (cost_mj(layer, one, "memory", 5, events, 0, TINY) for events in (0, 784))
    assert phi == pytest.approx((ann - none) / (full - none), rel=1e-9)


def test_under_the_direct_code_only_the_later_layers_have_spikes() -> None:
    """400 of 784 pixels are not 0: no spikes, and no break-even in spikes of that layer."""
    seen = Activity(1, 0, {"hidden": 400, "output": 300})
    direct = recorded(counted(STUDY, 5, code=Direct()), seen)
    assert direct.events_per_synapse == 300 / 100
    done = direct.counts["forward"]
    assert (done["hidden"]["mac"], done["output"]["ac"]) == (78_400, 3_000)  # once for all steps
    assert "ac" not in done["hidden"]
    ann = recorded(counted(STUDY), replace(seen, events_in={"hidden": 400, "output": 40}))
    assert ann.events_per_synapse == (400 * 100 + 40 * 10) / 79_400
    one = shipped()["horowitz45-int8"]
    assert [standing.layer for standing in standings(ann, direct, one)] == ["output"]
    rate = recorded(counted(STUDY, 5), seen)
    assert [standing.layer for standing in standings(ann, rate, one)] == ["hidden", "output"]
