"""What a summary says of energy: counts and bills from records, against the founding study and by hand."""

from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from counted_example import STUDY, counted
from fedspike.energy import account, pricing, profiles
from fedspike.energy.account import Account, RoundCounts
from fedspike.energy.bill import Energy, bill, footprint
from fedspike.energy.counts import aggregation, count, merge
from fedspike.energy.description import RunDescription
from fedspike.energy.levels import key, level_of_key, up_to
from fedspike.energy.neurobench import metrics
from fedspike.layers.activity import Activity

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


NETWORKS = {"ann": counted(STUDY), "snn": counted(STUDY, 50)}


def a_run(network: str) -> RunDescription:
    return RunDescription(
        name=network,
        network=network,
        seed=0,
        algorithm="fedavg",
        partition={"kind": "iid"},
        classes_per_client=None,
        centralised=False,
        config={"network": network, "partition": {"kind": "iid"}},
        network_tables=[],
        network_operations=NETWORKS[network],
        class_counts=[[1]],
        clients=1,
        settings_sha256="",
        data_sha256="",
    )


def the_rounds(network: str) -> list[RoundCounts]:
    """The founding study's fleet. Every round has one more event into the output layer per sample."""
    hidden, output, out = SEEN[network]

    def seen(samples: int, steps: int, more: int) -> Activity:
        events = {"hidden": samples * hidden, "output": samples * (output + more)}
        return Activity(samples, steps, events, samples * out)

    return [
        RoundCounts(
            accuracy=accuracy,
            activity={client: seen(2000, 16, number) for client in range(10)},
            tested=seen(10_000, 0, number),
            uplink_bytes=BYTES,
            downlink_bytes=2 * BYTES,
        )
        for number, accuracy in enumerate(ACCURACY)
    ]


def made(network: str, target: float = 0.85, rounds: list[RoundCounts] | None = None) -> Account:
    rounds = rounds or the_rounds(network)
    neurobench = metrics(MODEL, STUDY, NETWORKS[network], rounds[-1].tested)
    return account.account(a_run(network), rounds, neurobench, target)


def ends(energy: Energy) -> list[float]:
    return [energy.low_mj, energy.nominal_mj, energy.high_mj]


def test_the_founding_study_digit_for_digit() -> None:
    study = made("ann").bill["founding-study"]["study"]
    assert (study.nominal_mj, study.run.nominal_mj) == (4.9228, 24.614)
    spiking = made("snn").bill["founding-study"]["study"].nominal_mj
    assert 100 * spiking / 4.9228 == pytest.approx(47.5, abs=0.1)


def test_the_price_that_the_study_prints(tmp_path: Any) -> None:
    """Its Table 2 says 3.2 pJ, which a reader may price as a profile of their own."""
    mine = tmp_path / "mine.toml"
    mine.write_text(
        'name = "mine"\ntitle = "as printed"\nunit = "pJ"\n'
        '[every_price]\nsource = "Table 2"\nevidence = "assumed"\ndata_type = "int32"\n'
        "node_nm = 45\nvoltage_v = 0.9\n[price.mac]\nvalue_pj = 3.2\n[price.ac]\nvalue_pj = 0.1\n"
    )
    work = account.work(NETWORKS["ann"], the_rounds("ann"))
    bills = account.bills(work, None, [pricing.profile(str(mine))])
    assert bills["mine"]["study"].nominal_mj == 5.0816


@pytest.mark.parametrize("network", ["ann", "snn"])
def test_sums_over_clients_and_rounds(network: str) -> None:
    one = made(network)
    hidden, output, out = SEEN[network]
    n = 5 * 20_000
    events = {"hidden": n * hidden, "output": n * output + 20_000 * (0 + 1 + 2 + 3 + 4)}
    assert one.activity == Activity(n, 5 * 160, events, n * out)
    assert (one.tested.samples, one.tested.steps) == (50_000, 0)
    counts = count(NETWORKS[network], one.activity)
    weighed = aggregation(NETWORKS[network], 50)
    for phase, layers in merge([counts, weighed]).items():
        assert one.counts[phase] == layers
    assert one.counts["exchange"] == {
        "radio": {"uplink_bytes": 5 * BYTES, "downlink_bytes": 10 * BYTES}
    }
    tested = count(NETWORKS[network], one.tested, training=False)
    product = "ac" if network == "snn" else "mac"
    for layer in STUDY:
        assert one.counts["evaluation"][layer][product] == tested["forward"][layer][product]


@pytest.mark.parametrize("network", ["ann", "snn"])
def test_every_profile_and_level_is_the_bill_of_the_counts(network: str) -> None:
    """Each entry against `bill` on the same counts, radios and all; low, nominal and high."""
    counts = account.work(NETWORKS[network], the_rounds(network)).training()
    sizes, bills = footprint(NETWORKS[network]), made(network).bill
    assert bills.keys() == profiles.shipped().keys()
    radios = profiles.radios()
    for name, profile in profiles.shipped().items():
        if profile.scope == "all-in":
            assert list(bills[name]) == ["study", "compute"]
            continue
        with_radio = [key("communication", radio) for radio in radios]
        assert list(bills[name]) == [*up_to("training"), *with_radio]
        for level, entry in bills[name].items():
            by = radios.get(level.partition(":")[2])
            expected = bill(counts, profile, level_of_key(level), footprint=sizes, radio=by)
            assert ends(entry.run) == pytest.approx(ends(expected), rel=1e-14)
            assert ends(entry) == pytest.approx([mj / 5 for mj in ends(expected)], rel=1e-14)
            assert sorted(entry.not_priced) == sorted(expected.not_priced)


def test_what_it_cost_to_reach_the_target() -> None:
    one, until = made("snn"), made("snn", rounds=the_rounds("snn")[:3])
    assert (one.target_accuracy, one.rounds_to_target) == (0.85, 3)
    for name, levels in one.bill.items():
        for level, entry in levels.items():
            assert entry.to_target is not None
            assert entry.to_target == until.bill[name][level].run
            assert entry.to_target.high_mj < entry.run.high_mj or not entry.high_mj
    assert made("snn", target=0.86).rounds_to_target == 3, "0.86 is reached by 0.86"
    never = made("snn", target=0.9)
    assert never.rounds_to_target is None
    assert never.bill["yan22"]["study"].to_target is None
    assert made("snn", target=0.0).rounds_to_target == 1


def test_communication_is_what_was_really_sent() -> None:
    """SCAFFOLD sends twice as much; the bytes of the record decide, and the server weighs both copies."""
    rounds = the_rounds("ann")
    once = made("ann")
    twice = made("ann", rounds=[replace(one, uplink_bytes=2 * BYTES) for one in rounds])
    bit = profiles.radios()["bluetooth-le"].uplink_bit.pj.nominal
    sent = []
    for one in (once, twice):
        levels = one.bill["horowitz45-int8"]
        with_radio = levels[key("communication", "bluetooth-le")].nominal_mj
        sent.append(with_radio - levels["training"].nominal_mj)
    assert sent[1] - sent[0] == pytest.approx(8 * BYTES * float(bit) * 1e-9, rel=1e-12)
    copies = [one.counts["aggregation"]["hidden"]["mac"] for one in (once, twice)]
    assert copies == [50 * 78_500, 100 * 78_500]


@pytest.mark.parametrize("network", ["ann", "snn"])
def test_phases_and_layers_are_parts_of_the_whole(network: str) -> None:
    one = made(network)
    for split in (one.bill_by.phase, one.bill_by.layer):
        for name, parts in split.items():
            levels = one.bill[name]
            whole = levels.get("training", levels["compute"]).nominal_mj
            assert sum(parts.values()) == pytest.approx(whole, rel=1e-12)
            assert not {"exchange", "radio"} & parts.keys()
    encoder = ["input"] if network == "snn" else []
    assert list(one.bill_by.layer["yan22"]) == [*encoder, "hidden", "output"]


def test_hardware_that_skips_zeros() -> None:
    dense, skipping = made("ann").bill, made("ann").bill_skip_zeros
    share = (392 * 100 + (41 + 2) * 10) / 79_400
    study = skipping["founding-study"]["study"].nominal_mj
    assert study == pytest.approx(4.9228 * share, rel=1e-12)
    for name, levels in dense.items():
        for level, entry in levels.items():
            assert skipping[name][level].high_mj <= entry.high_mj
    assert made("snn").bill_skip_zeros == {}


def test_the_server_tests_at_its_own_cost() -> None:
    """The test is in no level of the devices, and costs what an inference costs."""
    rounds = the_rounds("snn")
    once = made("snn")
    twice = made("snn", rounds=[replace(one, tested=one.tested + one.tested) for one in rounds])
    assert once.bill == twice.bill
    for name, entry in once.bill_evaluation.items():
        doubled = [2 * mj for mj in ends(entry)]
        assert ends(twice.bill_evaluation[name]) == pytest.approx(doubled, rel=1e-14)
    work, profile = account.work(NETWORKS["snn"], rounds), profiles.shipped()["horowitz45-int8"]
    by_hand = bill(work.evaluation(), profile, "memory", footprint=footprint(NETWORKS["snn"]))
    entry = once.bill_evaluation["horowitz45-int8"]
    assert entry.nominal_mj == pytest.approx(by_hand.nominal_mj / 5, rel=1e-14)
    assert entry.not_priced == by_hand.not_priced


def test_neurobench_is_of_the_last_test() -> None:
    neurobench = made("snn").neurobench
    assert neurobench is not None
    assert neurobench.footprint_bytes == 79_510 * 4
    assert neurobench.dense_operations == 50 * 79_400
    assert neurobench.effective_acs == 11_215 * 100 + (4_889 + 4) * 10
    assert neurobench.effective_macs == 0
    assert neurobench.activation_sparsity == pytest.approx(1 - (4_889 + 4 + 140) / (50 * 110))
