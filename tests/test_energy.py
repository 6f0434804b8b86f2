from hypothesis import given
from hypothesis import strategies as st

from fedspike.energy.bill import prices_pj, study_energy_mj
from fedspike.energy.counts import forward_operations

SIZES = {"hidden": (784, 100), "output": (100, 10)}
counts = st.integers(0, 10**9)
spikes = st.fixed_dictionaries({"hidden": counts, "output": counts})


def test_the_studys_ann_digit_for_digit() -> None:
    """Its Table 3: 4922.8 for 10 clients x 2,000 samples, in microjoule and at 3.1 pJ (see the profile)."""
    operations = forward_operations(SIZES, samples=20_000, spikes_in={})
    assert operations == {"mac": 79_400 * 20_000, "ac": 0}
    assert f"{study_energy_mj(operations) * 1000:.1f}" == "4922.8"
    assert study_energy_mj(operations) == 4.9228
    price_it_prints = prices_pj("founding-study")["mac"] + 0.1
    assert f"{operations['mac'] * price_it_prints * 1e-9:.4f}" == "5.0816"


def test_the_studys_snn_from_the_spikes_it_implies() -> None:
    """1.1702 million accumulates a sample, 47.55 % of the ANN: its Table 3, first row."""
    operations = forward_operations(SIZES, 20_000, {"hidden": 224_300_000, "output": 97_780_000})
    ratio = study_energy_mj(operations) / 4.9228
    assert f"{100 * ratio:.1f}" == "47.5"


@given(spikes, spikes, st.integers(0, 1000), st.integers(0, 1000))
def test_counts_add_up(a: dict[str, int], b: dict[str, int], m: int, n: int) -> None:
    both = {layer: a[layer] + b[layer] for layer in a}
    parts = [forward_operations(SIZES, m, a), forward_operations(SIZES, n, b)]
    whole = forward_operations(SIZES, m + n, both)
    assert whole == {kind: parts[0][kind] + parts[1][kind] for kind in whole}
    ann = [forward_operations(SIZES, samples, {}) for samples in (m, n, m + n)]
    assert ann[2]["mac"] == ann[0]["mac"] + ann[1]["mac"]


@given(spikes, st.sampled_from(["hidden", "output"]))
def test_no_spikes_cost_nothing_and_one_more_costs_its_fan_out(
    a: dict[str, int], layer: str
) -> None:
    assert study_energy_mj(forward_operations(SIZES, 5, {"hidden": 0, "output": 0})) == 0
    more = {**a, layer: a[layer] + 1}
    gained = forward_operations(SIZES, 5, more)["ac"] - forward_operations(SIZES, 5, a)["ac"]
    assert gained == SIZES[layer][1]
