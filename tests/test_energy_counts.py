"""Operation counts: hand-computed examples, and the laws that they keep."""

from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedspike.energy import counts
from fedspike.energy.counts import Activity, Counts, Dense, Network, count, entries, merge
from fedspike.errors import InputError

LAYERS = {"hidden": Dense(4, 3), "output": Dense(3, 2)}
STEPS = 5
ANN, SNN = Network(LAYERS), Network(LAYERS, time_steps=STEPS)
NETWORKS = [
    ANN,
    SNN,
    Network(LAYERS, time_steps=STEPS, code="direct", optimiser="sgd"),
    Network(LAYERS, time_steps=STEPS, code="direct", current_cached=True),
]


@st.composite
def activities(draw: st.DrawFn, most: int = 50, silent: bool = False) -> Activity:
    """What any of NETWORKS can show: within the bounds of the ANN, which are the narrowest."""
    samples = draw(st.integers(0, most))
    hidden, output, out = (
        0 if silent else draw(st.integers(0, samples * size)) for size in (4, 3, 2)
    )
    return Activity(samples, draw(st.integers(0, most)), {"hidden": hidden, "output": output}, out)


def whole(found: Counts) -> dict[tuple[str, str, str], int]:
    """All counts that are not 0."""
    return {(p, layer, op): number for p, layer, op, number in entries(found) if number}


def test_the_ann_by_hand() -> None:
    """2 samples of 4-3-2, 5 of the 8 inputs and 4 of the 6 hidden values not 0, 1 step of Adam."""
    seen = Activity(samples=2, steps=1, events_in={"hidden": 5, "output": 4})
    assert count(ANN, seen) == {
        "encode": {},
        "forward": {
            "hidden": {"mac": 24, "read_input": 8, "read_weight": 24},
            "output": {"mac": 12, "read_input": 6, "read_weight": 12},
        },
        "neuron": {
            "hidden": {"compare": 6, "read_bias": 6, "write_output": 6},
            "output": {"compare": 4, "read_bias": 4, "write_output": 4},
        },
        "backward_weights": {"hidden": {"mac": 24}, "output": {"mac": 12}},
        "backward_inputs": {"output": {"mac": 12}},
        "surrogate": {"hidden": {"multiply": 6}, "output": {"multiply": 4}},
        "optimiser": {  # 15 and 8 parameters
            "hidden": {"multiply": 165, "add": 60, "sqrt": 15},
            "output": {"multiply": 88, "add": 32, "sqrt": 8},
        },
    }
    skipping = count(ANN, seen, skip_zeros=True)
    assert skipping["forward"]["hidden"] == {"mac": 15, "read_input": 8, "read_weight": 15}
    assert skipping["forward"]["output"] == {"mac": 8, "read_input": 6, "read_weight": 8}
    assert skipping["backward_weights"] == {"hidden": {"mac": 15}, "output": {"mac": 8}}
    assert skipping["backward_inputs"] == {"output": {"mac": 12}}


def test_the_snn_by_hand() -> None:
    """1 sample of 4-3-2 over 5 steps: 7 spikes in, 6 from the hidden layer, 2 out; 2 steps of SGD."""
    network = Network(LAYERS, time_steps=STEPS, optimiser="sgd")
    seen = Activity(samples=1, steps=2, events_in={"hidden": 7, "output": 6}, events_out=2)
    assert count(network, seen) == {
        "encode": {"input": {"draw": 20, "compare": 20, "read_input": 4, "write_output": 7}},
        "forward": {
            "hidden": {
                **{"ac": 21, "address": 21, "read_input": 7, "read_weight": 21},
                **{"read_potential": 21, "write_potential": 21},
            },
            "output": {
                **{"ac": 12, "address": 12, "read_input": 6, "read_weight": 12},
                **{"read_potential": 12, "write_potential": 12},
            },
        },
        "neuron": {
            "hidden": {
                **{"multiply": 15, "add": 21, "compare": 15, "write_output": 6},
                **{"read_bias": 15, "read_potential": 15, "write_potential": 15},
            },
            "output": {
                **{"multiply": 10, "add": 12, "compare": 10, "write_output": 2},
                **{"read_bias": 10, "read_potential": 10, "write_potential": 10},
            },
        },
        "backward_weights": {"hidden": {"ac": 21}, "output": {"ac": 12}},
        "backward_inputs": {"output": {"mac": 30}},
        "surrogate": {
            "hidden": {"multiply": 60, "add": 30, "compare": 15},
            "output": {"multiply": 40, "add": 20, "compare": 10},
        },
        "optimiser": {
            "hidden": {"multiply": 30, "add": 30},
            "output": {"multiply": 16, "add": 16},
        },
    }


@pytest.mark.parametrize(("cached", "passes"), [(False, 5), (True, 1)])
def test_the_direct_code_by_hand(cached: bool, passes: int) -> None:
    """1 sample of 4-3-2 over 5 steps, 3 of 4 pixels not 0."""
    network = Network(LAYERS, time_steps=STEPS, code="direct", current_cached=cached)
    seen = Activity(samples=1, steps=0, events_in={"hidden": 3, "output": 6}, events_out=2)
    found, skipping = count(network, seen), count(network, seen, skip_zeros=True)
    assert found["encode"] == {}
    written = 3 if cached else 0
    assert found["forward"]["hidden"] == {
        **{"mac": 12 * passes, "read_input": 4 * passes, "read_weight": 12 * passes},
        "write_output": written,
    }
    assert skipping["forward"]["hidden"]["mac"] == 9 * passes
    assert found["backward_weights"]["hidden"] == {"mac": 12 * passes, "add": 15 if cached else 0}
    rate = count(SNN, seen)
    assert found["forward"]["output"] == rate["forward"]["output"]
    assert found["neuron"] == rate["neuron"]


def test_the_founding_study() -> None:
    """79,400 synapses, 1.17 million accumulates a sample, 50.9 Mbit a round."""
    layers = {"hidden": Dense(784, 100), "output": Dense(100, 10)}
    ann = count(Network(layers), Activity(20_000, 160, {"hidden": 0, "output": 0}))
    assert sum(ops["mac"] for ops in ann["forward"].values()) == 79_400 * 20_000
    seen = Activity(1, 0, {"hidden": 11_215, "output": 4_850})
    snn = count(Network(layers, time_steps=50), seen, training=False)
    assert sum(ops["ac"] for ops in snn["forward"].values()) == 1_170_000
    assert sum(ops["address"] for ops in snn["forward"].values()) == 1_170_000
    assert snn["encode"]["input"]["draw"] == 39_200
    exchanged = counts.exchange(Network(layers), clients=10)
    total = sum(number for *_, number in entries(exchanged))
    assert 8 * total == 50_886_400
    assert Network(layers).parameters == 79_510
    server = counts.aggregation(Network(layers), clients=10)
    assert sum(number for *_, number in entries(server)) == 795_100


def test_exchange_by_hand() -> None:
    """Two clients send 15 + 8 parameters once and receive them twice, as in SCAFFOLD's download."""
    found = counts.exchange(ANN, clients=2, copies_up=1, copies_down=2)
    assert found == {
        "exchange": {
            "hidden": {"uplink_bytes": 120, "downlink_bytes": 240},
            "output": {"uplink_bytes": 64, "downlink_bytes": 128},
        }
    }


@pytest.mark.parametrize("network", NETWORKS)
@given(a=activities(), b=activities(), skip_zeros=st.booleans(), training=st.booleans())
def test_counts_add_up(
    network: Network, a: Activity, b: Activity, skip_zeros: bool, training: bool
) -> None:
    """Over batches, clients and rounds: the counts of a sum are the sum of the counts."""
    how = {"skip_zeros": skip_zeros, "training": training}
    parts = merge([count(network, a, **how), count(network, b, **how)])
    assert whole(parts) == whole(count(network, a + b, **how))


@given(activities(silent=True))
def test_without_spikes_only_the_terms_of_time_are_left(silent: Activity) -> None:
    """No synaptic event, and what is left goes with samples x T, pixels read and optimiser steps alone."""
    found = whole(count(SNN, silent))
    assert not any(phase in ("forward", "backward_weights") for phase, *_ in found)
    assert not any(op == "write_output" for *_, op in found)
    longer = Network(LAYERS, time_steps=3 * STEPS)
    thrice = {
        key: number if key[0] == "optimiser" or key[2] == "read_input" else 3 * number
        for key, number in found.items()
    }
    assert whole(count(longer, silent)) == thrice


@given(activities(), st.sampled_from(["hidden", "output"]))
def test_a_spike_costs_its_fan_out(seen: Activity, layer: Literal["hidden", "output"]) -> None:
    room = seen.samples * STEPS * LAYERS[layer].inputs - seen.events_in[layer]
    if room == 0:
        return
    more = Activity(
        seen.samples,
        seen.steps,
        {**seen.events_in, layer: seen.events_in[layer] + 1},
        seen.events_out,
    )
    before, after = whole(count(SNN, seen)), whole(count(SNN, more))
    gained = {k: after[k] - before.get(k, 0) for k in after if after[k] != before.get(k, 0)}
    fan_out = LAYERS[layer].outputs
    assert gained.pop(("forward", layer, "read_input")) == 1
    source = "encode" if layer == "hidden" else "neuron"
    assert gained.pop((source, "input" if layer == "hidden" else "hidden", "write_output")) == 1
    if layer == "output":
        assert gained.pop(("neuron", "hidden", "add")) == 1  # the reset of the neuron that fired
    synapses = ("ac", "address", "read_weight", "read_potential", "write_potential")
    assert gained == {
        **{("forward", layer, operation): fan_out for operation in synapses},
        ("backward_weights", layer, "ac"): fan_out,
    }


@given(activities())
def test_a_zero_skipping_ann_never_does_more(seen: Activity) -> None:
    dense, sparse = whole(count(ANN, seen)), whole(count(ANN, seen, skip_zeros=True))
    assert all(number <= dense[key] for key, number in sparse.items())
    full = Activity(
        seen.samples, seen.steps, {k: seen.samples * n for k, n in (("hidden", 4), ("output", 3))}
    )
    assert whole(count(ANN, full, skip_zeros=True)) == whole(count(ANN, full))


def test_every_operation_is_a_known_one() -> None:
    seen = Activity(2, 1, {"hidden": 3, "output": 3}, 1)
    known = {*counts.ARITHMETIC, *counts.MEMORY}
    for network in NETWORKS:
        found = count(network, seen)
        between = counts.BETWEEN.values()  # phases of layers that these networks do not have
        phases = [phase for phase in counts.PHASES if phase not in between]
        assert list(found) == phases[: phases.index("aggregation")]
        assert {op for _, _, op, _ in entries(found)} <= known


def test_evaluation_trains_nothing() -> None:
    seen = Activity(2, 0, {"hidden": 3, "output": 3}, 1)
    for network in NETWORKS:
        trained = count(network, seen)
        tested = count(network, seen, training=False)
        assert tested == {phase: trained[phase] for phase in ("encode", "forward", "neuron")}


def test_a_layer_without_a_rule_is_refused() -> None:
    layers: dict[str, Any] = {"hidden": Dense(4, 3), "pool": object()}
    with pytest.raises(InputError, match="layer pool is a object"):
        Network(layers)


@pytest.mark.parametrize(("layers", "steps"), [({}, None), (LAYERS, 0)])
def test_an_impossible_network_is_refused(layers: dict[str, Dense], steps: int | None) -> None:
    with pytest.raises(InputError, match="time_steps"):
        Network(layers, time_steps=steps)


@pytest.mark.parametrize(
    ("network", "seen"),
    [
        (
            SNN,
            Activity(1, 0, {"hidden": 21, "output": 0}),
        ),  # more than 4 inputs in 5 steps can fire
        (SNN, Activity(1, 0, {"hidden": 0, "output": 16})),
        (SNN, Activity(1, 0, {"hidden": 0, "output": 0}, 11)),
        (SNN, Activity(1, 0, {"hidden": -1, "output": 0})),
        (SNN, Activity(1, -1, {"hidden": 0, "output": 0})),
        (SNN, Activity(1, 0, {"hidden": 0})),
        (SNN, Activity(1, 0, {"hidden": 0, "output": 0, "third": 0})),
        (ANN, Activity(1, 0, {"hidden": 5, "output": 0})),
        (NETWORKS[2], Activity(1, 0, {"hidden": 5, "output": 0})),
    ],
)
def test_an_impossible_activity_is_refused(network: Network, seen: Activity) -> None:
    with pytest.raises(InputError, match="count the events"):
        count(network, seen)


def test_the_widest_activity_is_possible() -> None:
    """4-3-2 over 5 steps with every spike, and all non-zero: 20*3 + 15*2 AC, 4*3 + 3*2 MAC."""
    for network, seen, operation, most in (
        (SNN, Activity(1, 0, {"hidden": 20, "output": 15}, 10), "ac", {"hidden": 60, "output": 30}),
        (ANN, Activity(1, 0, {"hidden": 4, "output": 3}, 2), "mac", {"hidden": 12, "output": 6}),
    ):
        done = count(network, seen, skip_zeros=True)["forward"]
        assert {layer: operations[operation] for layer, operations in done.items()} == most
