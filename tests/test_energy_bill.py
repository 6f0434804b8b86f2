"""The bill and the verdict: hand-computed examples, and the laws that they keep."""

import math
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counted_example import SMALL, STUDY, counted, exchanged, profile_of
from fedspike.energy.bill import (
    NOT_COUNTED,
    PICOJOULES_IN_A_MILLIJOULE,
    Bill,
    Bills,
    Footprint,
    bill,
    footprint,
    highest_level,
    level_of,
    price_of,
    study_energy_mj,
)
from fedspike.energy.counts import (
    ARITHMETIC,
    MEMORY,
    PHASES,
    Counts,
    aggregation,
    count,
    entries,
    merge,
    synaptic,
)
from fedspike.energy.levels import LEVELS, Level, up_to
from fedspike.energy.profiles import radios, shipped
from fedspike.energy.verdict import verdicts
from fedspike.errors import InputError
from fedspike.layers.activity import Activity
from fedspike.layers.operations import INFERENCE, NetworkOperations
from fedspike.layers.shapes import Dense
from fedspike.parts.codes import Direct, Rate
from fedspike.parts.optimisers import SGD

ANN, SNN = counted(STUDY), counted(STUDY, 50)
# 1.17 million accumulates a sample.
STUDY_SPIKES = Activity(1, 0, {"hidden": 11_215, "output": 4_850}, 500)
STUDY_VALUES = Activity(1, 0, {"hidden": 392, "output": 50})
prices = st.integers(0, 500).map(lambda hundredths: hundredths / 100)


def both(level: Level, name: str) -> tuple[Bill, Bill]:
    """The bills of one image of the founding study, at inference."""
    made = []
    for network, seen in ((ANN, STUDY_VALUES), (SNN, STUDY_SPIKES)):
        found = count(network, seen, training=False)
        made.append(bill(found, shipped()[name], level, footprint=footprint(network)))
    return made[0], made[1]


def test_the_studys_ann_digit_for_digit() -> None:
    seen = Activity(20_000, 160, {"hidden": 0, "output": 0})
    found = count(ANN, seen)
    assert bill(found, shipped()["founding-study"], "study").nominal_mj == 4.9228
    printed = profile_of({"mac": 3.2, "ac": 0.1})  # the price that its own table prints
    assert bill(found, printed, "study").nominal_mj == 5.0816
    assert bill(found, shipped()["horowitz45-int32"], "study").nominal_mj == 5.0816


@pytest.mark.parametrize(
    ("name", "ratio"),
    [
        ("horowitz45-int32", "0.46"),
        ("horowitz45-int8", "1.92"),
        ("horowitz45-fp32", "2.88"),
        ("horowitz45-fp16", "3.93"),
        ("jouppi7-int32", "0.29"),
        ("jouppi7-int8", "1.34"),
    ],
)
def test_one_number_is_not_enough(name: str, ratio: str) -> None:
    """The same counts, 1.17 million accumulates against 79,400 MACs: the table of price tables."""
    ann, snn = both("study", name)
    assert f"{snn.nominal_mj / ann.nominal_mj:.2f}" == ratio
    (one,) = verdicts(of(ann), of(snn))
    assert one.winner == ("spiking" if ratio.startswith("0") else "conventional")
    assert one.factor is not None
    assert one.factor > 1


def test_the_studys_own_ratio() -> None:
    ann, snn = both("study", "founding-study")
    assert abs(100 * snn.nominal_mj / ann.nominal_mj - 47.5) < 0.1


def test_a_bill_by_hand() -> None:
    """One sample of 4-3-2 over 5 steps; prices of 2 pJ a word, and of one digit for the arithmetic."""
    network = counted(SMALL, 5, optimiser=SGD())
    seen = Activity(1, 2, {"hidden": 7, "output": 6}, 2)
    prices_pj = {"ac": 1.0, "address": 2.0, "multiply": 3.0, "add": 4.0, "compare": 5.0, "mac": 6.0}
    sent = exchanged(network, clients=1)
    found = merge([count(network, seen), aggregation(network, 1), sent])
    study = 33 * 1
    compute = study + 33 * 2 + 25 * 3 + (21 + 12) * 4 + (25 + 20) * 5
    encoder = 4 + 7
    forward = (7 + 21 + 21 + 21) + (6 + 12 + 12 + 12)
    neuron = 3 * 25 + 6 + 2
    memory = compute + 2 * (encoder + forward + neuron)
    training = memory + 33 * 1 + 30 * 6 + (100 * 3 + 50 * 4 + 25 * 5) + 46 * (3 + 4) + 23 * 6
    communication = training + 23 * 32 * (650_000 + 150_000)  # up and down by LTE
    for level, pj in zip(LEVELS, (study, compute, memory, training, communication), strict=True):
        got = bill(
            found,
            profile_of(prices_pj, word_pj=2.0),
            level,
            footprint=footprint(network),
            radio=radios()["lte"],
        )
        assert got.low_mj == got.nominal_mj == got.high_mj == pj / 1e9
        assert math.isclose(sum(term.nominal_mj for term in got.terms.values()), pj / 1e9)
        missing = [] if level == "study" else ["encode.draw"]
        missing += [NOT_COUNTED] if level in ("training", "communication") else []
        assert sorted(got.not_priced) == missing


def test_what_has_no_price_is_said_and_not_0() -> None:
    network = counted(SMALL, 5)
    found = merge(
        [count(network, Activity(1, 1, {"hidden": 7, "output": 6}, 2)), exchanged(network, 1)]
    )
    got = bill(found, profile_of({"ac": 1.0}), "communication")  # neither footprint nor radio
    assert list(got.terms) == ["forward.ac", "backward_weights.ac"]
    everything = {
        f"{phase}.{operation}" for phase, _, operation, number in entries(found) if number
    }
    assert {*got.terms, *got.not_priced} == everything | {NOT_COUNTED}
    assert got.included == []
    silent = count(network, Activity(1, 0, {"hidden": 0, "output": 0}), training=False)
    assert (
        bill(silent, profile_of({"mac": 1.0}), "study").not_priced == []
    )  # what was not done needs no price


def test_a_bill_of_nothing() -> None:
    for level in LEVELS:
        nothing = bill({}, shipped()["founding-study"], level)
        assert nothing == priced(0.0)


def test_dram_leaves_a_range() -> None:
    wide = counted({"output": Dense(10_000, 100)})
    found = count(wide, Activity(1, 0, {"output": 0}), training=False)
    got = bill(found, shipped()["horowitz45-int8"], "memory", footprint=footprint(wide))
    weights = got.terms["forward.read_weight"]
    assert (weights.low_mj, weights.nominal_mj, weights.high_mj) == (0.65, 0.975, 1.3)  # 10^6 words
    assert got.high_mj - got.low_mj == pytest.approx((10**6 + 100) * 650e-9)


def test_memories_of_the_founding_study() -> None:
    """Weights in 318,040 bytes, between 32 kB and 1 MB; potentials and activations in less than 8 kB."""
    assert footprint(SNN) == Footprint(parameters=318_040, potentials=440, activations=3_576)
    assert footprint(ANN) == Footprint(parameters=318_040, potentials=0, activations=3_576)
    one = shipped()["horowitz45-int8"]
    part = (318_040 - 32_768) / (1_048_576 - 32_768)
    for operation in MEMORY:
        price = price_of(one, "forward", operation, footprint(SNN))
        assert price is not None
        assert price != "included"
        weights = operation in ("read_weight", "read_bias")
        assert float(price.nominal) == pytest.approx(10 + 40 * part if weights else 5, rel=1e-12)


def test_levels_are_where_they_belong() -> None:
    assert get_args(Level) == LEVELS
    for phase in PHASES:
        for operation in (*ARITHMETIC, *MEMORY):
            level = level_of(phase, operation)
            if phase in INFERENCE:
                synaptic = phase == "forward" and operation in ("mac", "ac")
                rest: Level = "memory" if operation in MEMORY else "compute"
                assert level == ("study" if synaptic else rest)
            else:
                assert level == ("communication" if phase == "exchange" else "training")


@pytest.mark.parametrize("name", ["truenorth-all-in", "odin28-all-in", "cortex-m4"])
def test_all_in_prices_take_no_extra_terms(name: str) -> None:
    found = count(SNN, STUDY_SPIKES, training=False)
    study = bill(found, shipped()[name], "study")
    compute = bill(found, shipped()[name], "compute")
    assert compute.nominal_mj == study.nominal_mj > 0
    assert compute.included == [
        *("forward.address", "neuron.multiply", "neuron.add", "neuron.compare"),
    ]
    assert compute.not_priced == ["encode.draw", "encode.compare"]  # the encoder is not on the chip
    assert highest_level(shipped()[name]) == "compute"
    for level in ("memory", "training", "communication"):
        with pytest.raises(InputError, match=f"level {level} under the profile {name}"):
            bill(found, shipped()[name], level, footprint=footprint(SNN), radio=radios()["lte"])


def test_loihis_prices_have_memory_in_them() -> None:
    """23.6 pJ per synaptic operation, 52 to 81 per neuron and step, 1.7 per spike; nothing twice."""
    found = count(SNN, STUDY_SPIKES, training=False)
    del found["encode"]
    got = bill(found, shipped()["loihi1-presilicon"], "memory", footprint=footprint(SNN))
    fixed = 1_170_000 * 23.6 + (4_850 + 500) * 1.7
    updates = 50 * 110
    assert got.low_mj == pytest.approx((fixed + 52 * updates) / 1e9, rel=1e-12)
    assert got.nominal_mj == pytest.approx((fixed + 66.5 * updates) / 1e9, rel=1e-12)
    assert got.high_mj == pytest.approx((fixed + 81 * updates) / 1e9, rel=1e-12)
    assert got.not_priced == []
    trained = count(SNN, Activity(1, 1, STUDY_SPIKES.events_in, 500))
    assert (
        "surrogate.multiply" in bill(trained, shipped()["loihi1-presilicon"], "training").not_priced
    )


@pytest.mark.parametrize(
    ("name", "joule"),
    [("bluetooth-le", 0.76), ("wifi-5mbps", 14.25), ("wifi-2mbps", 33.08), ("lte", 20.35)],
)
def test_a_round_of_the_founding_study_on_the_air(name: str, joule: float) -> None:
    """50.9 Mbit, half of it up; beside them the compute of the ANN is 0.0049 J."""
    sent = exchanged(ANN, clients=10)
    got = bill(sent, shipped()["founding-study"], "communication", radio=radios()[name])
    assert got.nominal_mj / 1000 == pytest.approx(joule, abs=0.005)
    assert bill(sent, shipped()["founding-study"], "training").nominal_mj == 0


OF_INFERENCE = up_to("memory")
DOERS = [counted(SMALL)] + [counted(SMALL, t, code=c) for t in (1, 7) for c in (Rate(), Direct())]
Done = tuple[NetworkOperations, Activity, int]


@st.composite
def doings(draw: st.DrawFn) -> Done:
    """What an ANN or SNN of any of the codes may have done, and how many clients exchanged it."""
    samples = draw(st.integers(0, 1000))
    hidden, output, out = (draw(st.integers(0, samples * size)) for size in (4, 3, 2))
    seen = Activity(samples, draw(st.integers(0, 9)), {"hidden": hidden, "output": output}, out)
    return draw(st.sampled_from(DOERS)), seen, draw(st.integers(0, 3))


def counts_of(done: Done) -> Counts:
    network, seen, clients = done
    return merge([count(network, seen), exchanged(network, clients)])


TINY = Footprint(1, 1, 1)
LTE = radios()["lte"]


@given(doings(), doings(), st.dictionaries(st.sampled_from(ARITHMETIC), prices, min_size=1), prices)
def test_bills_add_up_and_levels_only_add(
    one_done: Done, other_done: Done, prices_pj: dict[str, float], word_pj: float
) -> None:
    a, b = counts_of(one_done), counts_of(other_done)
    one, before = profile_of(prices_pj, word_pj), 0.0
    for level in LEVELS:
        parts = [bill(part, one, level, footprint=TINY, radio=LTE) for part in (a, b)]
        both_of_them = bill(merge([a, b]), one, level, footprint=TINY, radio=LTE)
        assert both_of_them.nominal_mj == pytest.approx(
            parts[0].nominal_mj + parts[1].nominal_mj, rel=1e-12
        )
        assert set(both_of_them.not_priced) == {*parts[0].not_priced, *parts[1].not_priced}
        assert both_of_them.nominal_mj >= before
        before = both_of_them.nominal_mj


@given(doings(), st.sampled_from(ARITHMETIC), prices, st.integers(2, 9))
def test_a_bill_is_linear_in_each_price(done: Done, operation: str, pj: float, factor: int) -> None:
    """k times one price adds (k-1) times its terms, and leaves all others as they are."""
    found, others = counts_of(done), dict.fromkeys(ARITHMETIC, 1.25)
    hundredths = round(100 * pj)
    once = bill(
        found,
        profile_of({**others, operation: hundredths / 100}, 2.5),
        "training",
        footprint=TINY,
        radio=LTE,
    )
    dearer = profile_of({**others, operation: factor * hundredths / 100}, 2.5)
    more = bill(found, dearer, "training", footprint=TINY, radio=LTE)
    for term, energy in once.terms.items():
        times = factor if term.endswith(f".{operation}") else 1
        assert more.terms[term].nominal_mj == pytest.approx(times * energy.nominal_mj, rel=1e-12)
    assert more.terms.keys() == once.terms.keys()


@given(st.integers(1, 10**15), st.integers(1, 10**6))
def test_picojoule_to_millijoule_to_joule_and_back(number: int, hundredths: int) -> None:
    got = bill({"forward": {"l": {"mac": number}}}, profile_of({"mac": hundredths / 100}), "study")
    joule = got.nominal_mj / 1000
    assert joule * 1e12 == pytest.approx(number * hundredths / 100, rel=1e-12)
    assert (
        bill({"forward": {"l": {"mac": 10**12}}}, profile_of({"mac": 1.0}), "study").nominal_mj
        == 1000
    )
    assert PICOJOULES_IN_A_MILLIJOULE == 10**9


def of(*bills: Bill) -> list[Bills]:
    """The bills of all seeds, under one profile and at one level."""
    return [{"a": {"study": each}} for each in bills]


def priced(mj: float, *not_priced: str) -> Bill:
    return Bill(low_mj=mj, nominal_mj=mj, high_mj=mj, not_priced=list(not_priced))


def test_verdicts_over_seeds() -> None:
    """Ratios 0.4, 0.5, 0.6: mean 0.5, Student's interval 4.303 * 0.1 / sqrt(3) = 0.248."""
    ann = of(priced(1.0), priced(2.0), priced(4.0))
    snn = of(priced(0.4), priced(1.0), priced(2.4))
    (one,) = verdicts(ann, snn)
    assert one.winner == "spiking"
    assert one.ratio == pytest.approx(0.5)
    assert one.factor == pytest.approx(2.0)
    assert one.ratio_low == pytest.approx(0.2516, abs=1e-4)
    assert one.ratio_high == pytest.approx(0.7484, abs=1e-4)
    assert one.seeds == 3
    assert one.interval == pytest.approx((1 / 0.7484, 1 / 0.2516), abs=1e-3)
    (wide,) = verdicts(ann, of(priced(0.4), priced(1.0), priced(4.8)))
    assert (wide.winner, wide.factor) == ("level", None)
    assert wide.ratio_high is not None
    assert wide.ratio_high > 1
    (other,) = verdicts(snn, ann)
    assert other.winner == "conventional"
    assert other.factor == other.ratio
    assert other.interval == (other.ratio_low, other.ratio_high)
    (even,) = verdicts(of(priced(1.0)), of(priced(1.0)))
    assert (even.winner, even.ratio_low, even.interval) == ("level", None, None)


def test_an_interval_of_energies_ends_at_nothing() -> None:
    """Ratios 0.01, 0.01 and 0.04: s = 0.0173, half width 4.303 * 0.01 = 0.043, so the SNN's may be 0."""
    three = of(priced(1.0), priced(1.0), priced(1.0))
    (one,) = verdicts(three, of(priced(0.01), priced(0.01), priced(0.04)))
    assert one.winner == "spiking"
    assert one.factor == pytest.approx(50.0)
    assert one.interval is not None
    assert one.interval[0] == pytest.approx(1 / (0.02 + 0.04303), rel=1e-6)
    assert one.interval[1] is None  # without bounds
    (none,) = verdicts(three, of(priced(0.0), priced(0.0), priced(0.0)))
    assert (none.winner, none.factor, none.interval) == ("spiking", None, None)
    (wide,) = verdicts(three, of(priced(0.1), priced(1.0), priced(1.9)))
    assert wide.winner == "level"
    assert wide.interval == pytest.approx((0.0, 1 + 4.303 * 0.9 / 3**0.5), rel=1e-6)


def test_no_verdict_without_a_price_for_the_work_itself() -> None:
    for name in ("truenorth-all-in", "loihi1-presilicon", "yan22"):
        ann, snn = both("study", name)
        assert ann.not_priced == ["forward.mac"]
        (one,) = verdicts(of(ann), of(snn))
        assert (one.winner, one.ratio, one.factor) == ("no verdict", None, None)


def test_the_winners_missing_prices_are_said() -> None:
    ann, snn = both("compute", "jouppi7-int32")
    (one,) = verdicts(of(ann), of(snn))
    assert (one.winner, one.could_flip) == ("spiking", ["encode.draw"])
    ann, snn = both("compute", "horowitz45-int8")
    (one,) = verdicts(of(ann), of(snn))
    assert (one.winner, one.could_flip) == ("conventional", [])


def test_the_winner_may_depend_on_the_profile() -> None:
    names = ("horowitz45-int32", "horowitz45-int8", "jouppi7-int32", "truenorth-all-in")
    bills = {name: both("study", name) for name in names}
    ann: Bills = {name: {"study": pair[0]} for name, pair in bills.items()}
    snn: Bills = {name: {"study": pair[1]} for name, pair in bills.items()}
    judged = verdicts([ann], [snn])
    assert [one.profile for one in judged] == list(names)
    assert [one.winner for one in judged] == ["spiking", "conventional", "spiking", "no verdict"]
    assert verdicts([ann], [{"another": {}}]) == []


def test_the_studys_rule_is_the_synaptic_operations_at_its_prices() -> None:
    """1.1702 million accumulates a sample, 47.55 % of the ANN: its Table 3, first row."""
    operations = synaptic(ANN, Activity(20_000, 0, {"hidden": 0, "output": 0}))
    assert operations == {"mac": 79_400 * 20_000, "ac": 0}
    assert study_energy_mj(operations) == 4.9228
    seen = Activity(20_000, 0, {"hidden": 224_300_000, "output": 97_780_000})
    assert f"{100 * study_energy_mj(synaptic(SNN, seen)) / 4.9228:.1f}" == "47.5"
