"""What a summary says of energy: counts and bills from records, against the founding study and by hand."""

import copy
from typing import Any

import numpy as np
import pytest

from fedspike.energy import profiles
from fedspike.energy.bill import LEVELS, bill, footprint
from fedspike.energy.counts import Activity, Dense, Network, aggregation, count, merge
from fedspike.experiment import billing, pricing

STUDY = {"hidden": Dense(784, 100), "output": Dense(100, 10)}
MODEL = {
    "hidden.weight": np.ones((100, 784), np.float32),
    "hidden.bias": np.zeros(100, np.float32),
    "output.weight": np.ones((10, 100), np.float32),
    "output.bias": np.zeros(10, np.float32),
}
# Events per sample of an SNN as the study's printed energy implies, and of an ANN on Fashion-MNIST.
SEEN = {"snn": (11_215, 4_889, 140), "ann": (392, 41, 0)}
ACCURACY = [0.5, 0.7, 0.86, 0.84, 0.88]
BYTES = 10 * 79_510 * 4


def a_run(network: str, rounds: int = 5) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The summary's part that is there before the bill, and the records of the founding study's fleet.

    Every round has other events: one more into the output layer per sample than the round before.
    """
    hidden, output, out = SEEN[network]

    def seen(samples: int, steps: int, more: int) -> dict[str, Any]:
        events = {"hidden": samples * hidden, "output": samples * (output + more)}
        return billing.plain(Activity(samples, steps, events, samples * out))

    run = {
        "layers": [784, 100, 10],
        "time_steps": 50 if network == "snn" else None,
        "config": {"optimiser": {"kind": "adam"}},
        "accuracy": ACCURACY[:rounds],
    }
    records = [
        {
            "activity": {str(client): seen(2000, 16, number) for client in range(10)},
            "tested": seen(10_000, 0, number),
            "uplink_bytes": BYTES,
            "downlink_bytes": 2 * BYTES,
        }
        for number in range(rounds)
    ]
    return run, records


def fields(network: str, target: float = 0.85, **changes: Any) -> dict[str, Any]:
    run, records = a_run(network)
    return billing.fields(run | changes, records, MODEL, target)


def test_the_founding_study_digit_for_digit() -> None:
    made = fields("ann")
    assert made["bill"]["founding-study"]["study"]["nominal_mj"] == 4.9228
    assert made["bill"]["founding-study"]["study"]["run"]["nominal_mj"] == 24.614
    spiking = fields("snn")["bill"]["founding-study"]["study"]["nominal_mj"]
    assert 100 * spiking / 4.9228 == pytest.approx(47.5, abs=0.1)


def test_the_price_that_the_study_prints(tmp_path: Any) -> None:
    """Its Table 2 says 3.2 pJ, which a reader may price as a profile of their own."""
    mine = tmp_path / "mine.toml"
    mine.write_text(
        'name = "mine"\ntitle = "as printed"\nunit = "pJ"\n'
        '[every_price]\nsource = "Table 2"\nevidence = "assumed"\ndata_type = "int32"\n'
        "node_nm = 45\nvoltage_v = 0.9\n[price.mac]\nvalue_pj = 3.2\n[price.ac]\nvalue_pj = 0.1\n"
    )
    work = billing.work(*a_run("ann"))
    made = billing.bills(work, None, [pricing.profile(str(mine))])
    assert made["mine"]["study"]["nominal_mj"] == 5.0816


@pytest.mark.parametrize("network", ["ann", "snn"])
def test_sums_over_clients_and_rounds(network: str) -> None:
    made = fields(network)
    hidden, output, out = SEEN[network]
    n = 5 * 20_000
    assert made["activity"] == {
        "samples": n,
        "steps": 5 * 160,
        "events_in": {"hidden": n * hidden, "output": n * output + 20_000 * (0 + 1 + 2 + 3 + 4)},
        "events_out": n * out,
    }
    assert (made["tested"]["samples"], made["tested"]["steps"]) == (50_000, 0)
    network_seen = Network(STUDY, time_steps=50 if network == "snn" else None)
    counts = count(network_seen, Activity(**made["activity"]))
    weighed = aggregation(network_seen, 50)
    for phase, layers in merge([counts, weighed]).items():
        assert made["counts"][phase] == layers
    assert made["counts"]["exchange"] == {
        "radio": {"uplink_bytes": 5 * BYTES, "downlink_bytes": 10 * BYTES}
    }
    tested = count(network_seen, Activity(**made["tested"]), training=False)
    done = "ac" if network == "snn" else "mac"
    for layer in STUDY:
        assert made["counts"]["evaluation"][layer][done] == tested["forward"][layer][done]


@pytest.mark.parametrize("network", ["ann", "snn"])
def test_every_profile_and_level_is_the_bill_of_the_counts(network: str) -> None:
    """Each entry against `bill` on the same counts, radios and all; low, nominal and high."""
    work = billing.work(*a_run(network))
    made, counts = fields(network), work.training()
    sizes = footprint(work.trained.network)
    assert made["bill"].keys() == profiles.shipped().keys()
    for name, profile in profiles.shipped().items():
        levels = made["bill"][name]
        if profile.scope == "all-in":
            assert list(levels) == ["study", "compute"]
            continue
        assert list(levels) == [*LEVELS[:-1], *(f"communication:{r}" for r in profiles.radios())]
        for level, entry in levels.items():
            plain, _, radio = level.partition(":")
            assert plain in LEVELS
            by = profiles.radios().get(radio)
            expected = bill(counts, profile, plain, footprint=sizes, radio=by)
            for end in ("low_mj", "nominal_mj", "high_mj"):
                whole = getattr(expected, end)
                assert entry["run"][end] == pytest.approx(whole, rel=1e-14)
                assert entry[end] == pytest.approx(whole / 5, rel=1e-14)
            assert sorted(entry["not_priced"]) == sorted(expected.not_priced)


def test_what_it_cost_to_reach_the_target() -> None:
    run, records = a_run("snn")
    made = billing.fields(run, records, MODEL, 0.85)
    until = billing.fields(run | {"accuracy": ACCURACY[:3]}, records[:3], MODEL, 0.85)
    assert (made["target_accuracy"], made["rounds_to_target"]) == (0.85, 3)
    for name, levels in made["bill"].items():
        for level, entry in levels.items():
            assert entry["to_target"] == until["bill"][name][level]["run"]
            assert entry["to_target"]["high_mj"] < entry["run"]["high_mj"] or not entry["high_mj"]
    assert fields("snn", target=0.86)["rounds_to_target"] == 3, "0.86 is reached by 0.86"
    never = fields("snn", target=0.9)
    assert never["rounds_to_target"] is None
    assert never["bill"]["yan22"]["study"]["to_target"] is None
    at_once = fields("snn", target=0.0)
    assert at_once["rounds_to_target"] == 1


def test_communication_is_what_was_really_sent() -> None:
    """SCAFFOLD sends twice as much; the bytes of the record decide, and the server weighs both copies."""
    run, records = a_run("ann")
    more = copy.deepcopy(records)
    for line in more:
        line["uplink_bytes"] *= 2
    once, twice = (billing.fields(run, lines, MODEL, 0.85) for lines in (records, more))
    bit = profiles.radios()["bluetooth-le"].uplink_bit.pj.nominal
    level = "communication:bluetooth-le"
    a, b = (made["bill"]["horowitz45-int8"] for made in (once, twice))
    extra = 8 * BYTES * float(bit) * 1e-9
    sent = (b[level]["nominal_mj"] - b["training"]["nominal_mj"]) - (
        a[level]["nominal_mj"] - a["training"]["nominal_mj"]
    )
    assert sent == pytest.approx(extra, rel=1e-12)
    copies = [made["counts"]["aggregation"]["hidden"]["mac"] for made in (once, twice)]
    assert copies == [50 * 78_500, 100 * 78_500]


def test_phases_and_layers_are_parts_of_the_whole() -> None:
    for network in ("ann", "snn"):
        made = fields(network)
        for kind in ("phase", "layer"):
            for name, parts in made["bill_by"][kind].items():
                levels = made["bill"][name]
                whole = levels.get("training", levels["compute"])["nominal_mj"]
                assert sum(parts.values()) == pytest.approx(whole, rel=1e-12)
                assert "exchange" not in parts
                assert "radio" not in parts
        assert list(made["bill_by"]["layer"]["yan22"]) == (
            ["input", "hidden", "output"] if network == "snn" else ["hidden", "output"]
        )


def test_hardware_that_skips_zeros() -> None:
    dense, skipping = (fields("ann")[key] for key in ("bill", "bill_skip_zeros"))
    share = (392 * 100 + (41 + 2) * 10) / 79_400
    study = skipping["founding-study"]["study"]["nominal_mj"]
    assert study == pytest.approx(4.9228 * share, rel=1e-12)
    for name, levels in dense.items():
        for level, entry in levels.items():
            assert skipping[name][level]["high_mj"] <= entry["high_mj"]
    assert "bill_skip_zeros" not in fields("snn")


def test_the_server_tests_at_its_own_cost() -> None:
    """The test is in no level of the devices, and costs what an inference costs."""
    run, records = a_run("snn")
    more = copy.deepcopy(records)
    for line in more:
        line["tested"] = billing.plain(Activity(**line["tested"]) + Activity(**line["tested"]))
    once, twice = (billing.fields(run, lines, MODEL, 0.85) for lines in (records, more))
    assert once["bill"] == twice["bill"]
    for name, entry in once["bill_evaluation"].items():
        for end in ("low_mj", "nominal_mj", "high_mj"):
            assert twice["bill_evaluation"][name][end] == pytest.approx(2 * entry[end], rel=1e-14)
    work = billing.work(run, records)
    level = profiles.shipped()["horowitz45-int8"]
    by_hand = bill(work.evaluation(), level, "memory", footprint=footprint(work.tested.network))
    entry = once["bill_evaluation"]["horowitz45-int8"]
    assert entry["nominal_mj"] == pytest.approx(by_hand.nominal_mj / 5, rel=1e-14)
    assert entry["not_priced"] == by_hand.not_priced


def test_neurobench_is_of_the_last_test() -> None:
    made = fields("snn")["neurobench"]
    assert made["footprint_bytes"] == 79_510 * 4
    assert made["dense_operations"] == 50 * 79_400
    assert made["effective_acs"] == 11_215 * 100 + (4_889 + 4) * 10
    assert made["effective_macs"] == 0
    assert made["activation_sparsity"] == pytest.approx(1 - (4_889 + 4 + 140) / (50 * 110))
