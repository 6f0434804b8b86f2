"""Recorded runs priced again: sensitivity against closed forms, standings against the two bills."""

import math
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counted_example import STUDY, counted
from fedspike.energy.bill import bill, footprint
from fedspike.energy.break_even import PUBLISHED
from fedspike.energy.counts import count
from fedspike.energy.profiles import Profile, profile, shipped
from fedspike.energy.recorded import Recorded, recorded, standings
from fedspike.energy.sensitivity import FACTOR, ratio, sensitivity
from fedspike.errors import InputError
from fedspike.layers.activity import Activity

ANN = recorded(counted(STUDY), Activity(20, 2, {"hidden": 7_840, "output": 820}))
SNN = recorded(counted(STUDY, 50), Activity(20, 2, {"hidden": 224_300, "output": 21_540}, 2_800))
MINE = """\
name = "mine"
title = "mine"
unit = "pJ"
[every_price]
source = "s"
node_nm = 1
voltage_v = 1
data_type = "d"
evidence = "assumed"
[price.mac]
value_pj = {mac}
[price.ac]
low_pj = {low}
nominal_pj = {ac}
high_pj = {high}
"""
hundredths = st.integers(1, 500).map(lambda n: n / 100)


def mine(mac: float, low: float, ac: float, high: float) -> Profile:
    return profile(MINE.format(mac=mac, low=low, ac=ac, high=high), "mine.toml")


def test_a_recorded_run_is_the_network_that_it_was() -> None:
    shape = counted(STUDY, 50)
    seen = Activity(20, 2, {"hidden": 224_300, "output": 21_540}, 2_800)
    assert Recorded(shape, seen) == SNN
    assert SNN.counts == count(shape, seen)
    assert footprint(SNN.network) == footprint(shape)
    one = Activity(1, 0, {"hidden": 1, "output": 1})
    served = recorded(counted(STUDY), one, uplink_bytes=3 * 4 * 79_510).counts["aggregation"]
    assert served == {"hidden": {"mac": 3 * 78_500}, "output": {"mac": 3 * 1_010}}
    # (224,300 * 100 + 21,540 * 10) accumulates over 20 samples of 79,400 synapses.
    assert SNN.events_per_synapse == pytest.approx(22_645_400 / (20 * 79_400), rel=1e-15)


@pytest.mark.parametrize(
    "events", [{"hidden": 1}, {"hidden": 785, "output": 1}, {"hidden": -1, "output": 1}]
)
def test_an_activity_that_the_network_cannot_show_is_refused(events: dict[str, int]) -> None:
    with pytest.raises(InputError, match="Activity"):
        recorded(counted(STUDY), Activity(1, 0, events))


def test_the_ratio_is_that_of_the_two_bills() -> None:
    one = shipped()["horowitz45-int8"]
    energies = [
        bill(side.counts, one, "training", footprint=footprint(side.network)).nominal_mj
        for side in (ANN, SNN)
    ]
    assert ratio(ANN, SNN, one, "training") == energies[1] / energies[0]


@given(hundredths, st.tuples(hundredths, hundredths, hundredths).map(sorted))
def test_moved_prices_give_the_closed_form(mac: float, ends: list[float]) -> None:
    """Synaptic operations alone: the ratio is spikes * AC / (synapses * MAC)."""
    low, ac, high = ends
    found = {one.price: one for one in sensitivity(ANN, SNN, mine(mac, low, ac, high), "study")}
    accumulates = SNN.events_per_synapse
    assert found["mac"].from_source is False
    assert (found["mac"].low_pj, found["mac"].high_pj) == (mac / FACTOR, mac * FACTOR)
    assert found["mac"].ratio_at_low == pytest.approx(accumulates * ac / (mac / 2), rel=1e-12)
    assert found["mac"].ratio_at_high == pytest.approx(accumulates * ac / (mac * 2), rel=1e-12)
    given_ends = (low, high) if low < high else (ac / 2, ac * 2)
    assert found["ac"].from_source is (low < high)
    for end, moved in zip(
        given_ends, (found["ac"].ratio_at_low, found["ac"].ratio_at_high), strict=True
    ):
        assert moved == pytest.approx(accumulates * end / mac, rel=1e-12)


@pytest.mark.parametrize("name", ["horowitz45-int8", "horowitz45-fp32", "jouppi7-int8"])
def test_every_price_is_moved_and_the_widest_comes_first(name: str) -> None:
    one = shipped()[name]
    found = sensitivity(ANN, SNN, one, "training")
    memories = [f"memory of {memory.bytes:,} bytes" for memory in one.memory]
    dram = ["dram"] if one.dram else []
    assert sorted(s.price for s in found) == sorted([*one.price, *memories, *dram])
    swings = [s.swing for s in found]
    assert swings == sorted(swings, reverse=True)
    assert swings[0] > 1.1
    now = ratio(ANN, SNN, one, "training")
    for moved in found:  # the bill is linear in each price, so the ratio goes one way
        low, high = sorted((moved.ratio_at_low, moved.ratio_at_high))
        assert low - 1e-12 <= now <= high + 1e-12
    if dram:  # weights lie in 318,040 bytes, which is no DRAM
        assert next(s for s in found if s.price == "dram").swing == 1


def test_a_price_moved_is_the_profile_with_that_price() -> None:
    """Twice the 8 kB memory, by writing it into the file."""
    one = shipped()["horowitz45-int8"]
    moved = next(
        s for s in sensitivity(ANN, SNN, one, "training") if s.price == "memory of 8,192 bytes"
    )
    text = file_of("horowitz45-int8").replace(
        "bytes = 8192\nvalue_pj = 10", "bytes = 8192\nvalue_pj = 20"
    )
    twice = profile(text, "twice.toml")
    assert twice.memory[0].value_pj == 20
    assert moved.ratio_at_high == pytest.approx(ratio(ANN, SNN, twice, "training"), rel=1e-12)


def file_of(name: str) -> str:
    return resources.files("fedspike.energy").joinpath(f"profiles/{name}.toml").read_text("utf-8")


def test_standings_say_which_side_of_the_break_even_a_layer_is_on() -> None:
    one = shipped()["horowitz45-int8"]
    hidden, output = standings(ANN, SNN, one)
    assert (hidden.layer, output.layer, hidden.level) == ("hidden", "output", "memory")
    assert hidden.spikes == 224_300 / (20 * 784)
    assert hidden.rate == hidden.spikes / 50
    assert (hidden.rate_even, hidden.time_steps) == (hidden.spikes_even / 50, 50)
    assert hidden.spikes_even < hidden.spikes  # so the SNN is dearer, and should be shorter
    assert 0 < hidden.time_steps_even < 50
    free = standings(ANN, SNN, mine(3.1, 0.1, 0.1, 0.1))
    assert [s.level for s in free] == ["study", "study"]
    assert [s.spikes_even for s in free] == [31, 31]
    assert free[0].time_steps_even == pytest.approx(31 / free[0].rate, rel=1e-12)


def test_no_standing_without_both_prices() -> None:
    assert standings(ANN, SNN, shipped()["truenorth-all-in"]) == []
    with pytest.raises(InputError, match="without time steps"):
        standings(SNN, ANN, shipped()["horowitz45-int8"])


def test_the_published_thresholds() -> None:
    assert [(one.low, one.high) for one in PUBLISHED] == [
        (1.72, 1.72),
        (0.15, 1.38),
        (0.057, 0.064),
    ]
    assert all(one.source and math.isfinite(one.high) for one in PUBLISHED)
