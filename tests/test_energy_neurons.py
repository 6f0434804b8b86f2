"""What codes, neurons and read-outs cost: by hand, and the laws that the counts keep."""

import typing
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from fedspike.energy.network import Code, ReadOut
from hypothesis import given
from hypothesis import strategies as st

from fedspike import networks
from fedspike.energy import break_even
from fedspike.energy.bill import LEVELS, bill, footprint
from fedspike.energy.counts import (
    ARITHMETIC,
    MEMORY,
    Activity,
    Counts,
    Dense,
    Network,
    Neurons,
    aggregation,
    count,
    entries,
    exchange,
    merge,
)
from fedspike.energy.profiles import profile, shipped
from fedspike.energy.recorded import Spiking, recorded, standings
from fedspike.errors import InputError
from fedspike.parts import codes as encoding
from fedspike.parts import neurons
from fedspike.parts import read_outs as readouts

STEPS = 5
LAYERS = {"hidden": Dense(4, 3), "output": Dense(3, 2)}
SNN = Network(LAYERS, time_steps=STEPS)
# 1 sample over 5 steps: 7 spikes in, 6 from the hidden layer, 2 out; 3 steps of Adam.
SEEN = Activity(samples=1, steps=3, events_in={"hidden": 7, "output": 6}, events_out=2)
HIDDEN, OUTPUT = 15, 10  # neurons x steps
CODES: tuple[Code, ...] = typing.get_args(Code)
KINDS: tuple[dict[str, Any], ...] = (
    {},
    {"reset": "zero"},
    {"reset": "none", "surrogate": "sigmoid", "learn_threshold": "per-layer"},
    {"surrogate": "fast-sigmoid", "learn_beta": "per-neuron", "learn_threshold": "per-neuron"},
    {"kind": "current-based", "surrogate": "triangular", "learn_beta": "per-layer"},
    {"kind": "adaptive", "learn_threshold": "per-neuron"},
)
NETWORKS = [
    Network(LAYERS, STEPS, code=code, readout=readout, neurons=Neurons(**kind))
    for code, (readout, kind) in zip(
        (*CODES, *CODES), product(("spikes", "membrane"), KINDS), strict=True
    )
]


def whole(found: Counts) -> dict[tuple[str, str, str], int]:
    """All counts that are not 0."""
    return {(p, layer, op): number for p, layer, op, number in entries(found) if number}


def beside(network: Network, other: Network, seen: Activity = SEEN) -> dict[str, int]:
    """What the first does more than the second."""
    more, less = whole(count(network, seen)), whole(count(other, seen))
    found = {key: more.get(key, 0) - less.get(key, 0) for key in {**more, **less}}
    return {".".join(key): number for key, number in found.items() if number}


@pytest.mark.parametrize(
    ("code", "done"),
    [
        ("rate", {"draw": 20, "compare": 20}),
        ("latency", {"compare": 20}),
        ("phase", {"compare": 20}),
        ("burst", {"compare": 20}),
        ("delta", {"compare": 20, "add": 20}),
    ],
)
def test_a_codes_own_work_by_hand(code: Code, done: dict[str, int]) -> None:
    """4 pixels are read once and looked at in each of 5 steps; 7 spikes come out."""
    found = count(replace(SNN, code=code), SEEN)["encode"]
    assert found == {"input": {**done, "read_input": 4, "write_output": 7}}


def test_but_for_the_encoder_codes_without_weights_cost_their_spikes_alone() -> None:
    rate = count(SNN, SEEN)
    for code in ("latency", "burst", "delta"):
        found = count(replace(SNN, code=code), SEEN)
        assert {**found, "encode": {}} == {**rate, "encode": {}}


def test_the_phase_codes_weights_by_hand() -> None:
    """What each of 3 neurons of the first layer received in each of 5 steps is weighted, then added."""
    phase, latency = replace(SNN, code="phase"), replace(SNN, code="latency")
    assert beside(phase, latency) == {
        "neuron.hidden.multiply": HIDDEN,
        "neuron.hidden.add": HIDDEN,
        "neuron.hidden.read_potential": HIDDEN,
        "neuron.hidden.write_potential": HIDDEN,
        "surrogate.hidden.multiply": HIDDEN,
    }
    assert footprint(phase).potentials == footprint(latency).potentials + 4 * 3


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ({"reset": "zero"}, {"neuron.hidden.add": -6, "neuron.output.add": -2}),
        ({"reset": "none"}, {"neuron.hidden.add": -6, "neuron.output.add": -2}),
        ({"surrogate": "fast-sigmoid"}, {}),
        ({"surrogate": "triangular"}, {}),
        (
            {"surrogate": "sigmoid"},
            {
                "surrogate.hidden.multiply": 2 * HIDDEN,
                "surrogate.hidden.add": HIDDEN,
                "surrogate.hidden.exp": HIDDEN,
                "surrogate.output.multiply": 2 * OUTPUT,
                "surrogate.output.add": OUTPUT,
                "surrogate.output.exp": OUTPUT,
            },
        ),
        (
            {"kind": "current-based"},
            {
                f"{phase}.{layer}.{operation}": number
                for layer, number in (("hidden", HIDDEN), ("output", OUTPUT))
                for phase, operations in (
                    ("neuron", ("multiply", "add", "read_potential", "write_potential")),
                    ("surrogate", ("multiply", "add")),
                )
                for operation in operations
            },
        ),
        (
            {"kind": "adaptive"},
            {
                "neuron.hidden.multiply": HIDDEN,
                "neuron.hidden.add": HIDDEN + 6,
                "neuron.hidden.read_potential": HIDDEN,
                "neuron.hidden.write_potential": HIDDEN,
                "neuron.output.multiply": OUTPUT,
                "neuron.output.add": OUTPUT + 2,
                "neuron.output.read_potential": OUTPUT,
                "neuron.output.write_potential": OUTPUT,
                "surrogate.hidden.multiply": 2 * HIDDEN,
                "surrogate.hidden.add": 2 * HIDDEN,
                "surrogate.output.multiply": 2 * OUTPUT,
                "surrogate.output.add": 2 * OUTPUT,
            },
        ),
        (
            {"learn_beta": "per-layer"},  # 1 more parameter in each layer, 3 steps of Adam
            {
                **{"surrogate.hidden.mac": HIDDEN, "surrogate.output.mac": OUTPUT},
                **{f"optimiser.{x}.multiply": 33 for x in LAYERS},
                **{f"optimiser.{x}.add": 12 for x in LAYERS},
                **{f"optimiser.{x}.sqrt": 3 for x in LAYERS},
            },
        ),
        (
            {"learn_threshold": "per-neuron"},  # 3 and 2 more
            {
                "neuron.hidden.read_bias": HIDDEN,
                "neuron.output.read_bias": OUTPUT,
                "surrogate.hidden.add": HIDDEN + 6,  # the subtraction has a gradient, too
                "surrogate.output.add": OUTPUT + 2,
                "optimiser.hidden.multiply": 99,
                "optimiser.hidden.add": 36,
                "optimiser.hidden.sqrt": 9,
                "optimiser.output.multiply": 66,
                "optimiser.output.add": 24,
                "optimiser.output.sqrt": 6,
            },
        ),
    ],
)
def test_neurons_beside_lif_by_hand(kind: dict[str, Any], more: dict[str, int]) -> None:
    assert beside(replace(SNN, neurons=Neurons(**kind)), SNN) == more


def test_a_membrane_that_is_read_out_has_no_threshold_of_any_kind() -> None:
    """So neither an adaptive nor a learned one costs anything there; a synapses' current does."""
    silent = replace(SEEN, events_out=0)
    read = replace(SNN, readout="membrane")
    for kind in (
        Neurons(kind="adaptive"),
        Neurons(learn_threshold="per-neuron"),
        Neurons(surrogate="sigmoid"),
        Neurons(reset="zero"),
    ):
        more = beside(replace(read, neurons=kind), read, silent)
        assert more
        assert not any(".output." in key for key in more)
    more = beside(replace(read, neurons=Neurons(kind="current-based")), read, silent)
    assert more["neuron.output.multiply"] == more["surrogate.output.multiply"] == OUTPUT


@pytest.mark.parametrize("network", NETWORKS)
@given(data=st.data())
def test_counts_add_up(network: Network, data: st.DataObject) -> None:
    def activity() -> Activity:
        n = data.draw(st.integers(0, 20))
        sizes = (4, 3, 0 if network.readout == "membrane" else 2)
        hidden, output, out = (data.draw(st.integers(0, n * size)) for size in sizes)
        steps = data.draw(st.integers(0, 20))
        return Activity(n, steps, {"hidden": hidden, "output": output}, out)

    a, b = activity(), activity()
    parts = merge([count(network, a), count(network, b)])
    assert whole(parts) == whole(count(network, a + b))
    assert {op for _, _, op in whole(parts)} <= {*ARITHMETIC, *MEMORY}


@pytest.mark.parametrize("read_out", [readouts.SpikeCount(), readouts.MeanMembrane()])
@pytest.mark.parametrize("kind", ["lif", "current-based", "adaptive"])
@pytest.mark.parametrize("beta", ["no", "per-layer", "per-neuron"])
@pytest.mark.parametrize("threshold", ["no", "per-layer", "per-neuron"])
def test_parameters_are_those_of_the_model(
    read_out: readouts.ReadOut, kind: Any, beta: Any, threshold: Any
) -> None:
    """The engine's own model: as many numbers learned, weighed by the server and sent."""

    def constant(start: float, learned: str) -> float | neurons.Learnable:
        if learned == "no":
            return start
        return neurons.Learnable(start, "layer" if learned == "per-layer" else "neuron")

    lif = neurons.LIF(constant(0.9, beta), constant(1.0, threshold))
    made: dict[str, neurons.Neuron] = {
        "lif": lif,
        "current-based": neurons.CurrentBasedLIF(alpha=0.5, LIFCONST=lif),
        "adaptive": neurons.AdaptiveLIF(adaptation=1.0, rho=0.9, LIFCONST=lif),
    }
    snn = networks.SpikingNetwork(
        networks.DenseLayers((4, 3, 2)),
        networks.SNN(STEPS, neuron=made[kind], code=encoding.Rate(), read_out=read_out),
    )
    model = snn.init(np.random.default_rng(0))
    network = Network(
        LAYERS,
        STEPS,
        readout="spikes" if read_out.spiking else "membrane",
        neurons=Neurons(kind=kind, learn_beta=beta, learn_threshold=threshold),
    )
    sizes = {
        layer: sum(w.numel() for name, w in model.items() if name.startswith(f"{layer}."))
        for layer in LAYERS
    }
    assert {layer: network.parameters_of(layer) for layer in LAYERS} == sizes
    assert network.parameters == sum(sizes.values())
    weighed = aggregation(network, clients=7)["aggregation"]
    assert {layer: done["mac"] for layer, done in weighed.items()} == {
        layer: 7 * size for layer, size in sizes.items()
    }
    sent = exchange(network, clients=7)["exchange"]
    assert sum(done["uplink_bytes"] for done in sent.values()) == 7 * 4 * network.parameters
    assert footprint(network).parameters == 4 * network.parameters


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("code", "kind"),
        ("neuron", "kind"),
        *(("snn", key) for key in ("reset", "surrogate", "read_out")),
        *(("snn", key) for key in ("learn_beta", "learn_threshold")),
    ],
)
def test_what_has_no_rule_is_refused(table: str, key: str) -> None:
    """Also what a later version may have trained."""
    with pytest.raises(InputError, match=r'= "new"') as caught:
        Spiking.of({table: {key: "new"}})
    assert "one that there is a rule for: " in str(caught.value)


def test_a_runs_configuration_says_what_is_counted() -> None:
    assert Spiking.of({}) == Spiking("rate", Neurons(), "spikes")
    read_outs: dict[str, ReadOut] = {
        "count": "spikes",
        "membrane": "membrane",
        "first-spike": "spikes",
    }
    for name, readout in read_outs.items():
        assert Spiking.of({"snn": {"read_out": name, "time_steps": 9}}).readout == readout
    config = {
        "code": {"kind": "burst", "most_spikes": 3},
        "neuron": {"kind": "adaptive", "rho": 0.9, "adaptation": 1.0},
        "snn": {"reset": "none", "learn_beta": "per-layer", "surrogate": "triangular"},
    }
    expected = Neurons("adaptive", "none", "triangular", learn_beta="per-layer")
    assert Spiking.of(config) == Spiking("burst", expected)


def test_under_the_direct_code_only_the_later_layers_have_spikes() -> None:
    """400 of 784 pixels are not 0: no spikes, and no break-even in spikes of that layer."""
    sizes, events = [784, 100, 10], {"hidden": 400, "output": 300}
    direct = recorded(sizes, Activity(1, 0, events), time_steps=5, spiking=Spiking("direct"))
    assert direct.events_per_synapse == 300 / 100
    done = direct.counts["forward"]
    assert (done["hidden"]["mac"], done["output"]["ac"]) == (78_400, 3_000)  # once for all steps
    assert "ac" not in done["hidden"]
    ann = recorded(sizes, Activity(1, 0, {"hidden": 400, "output": 40}))
    assert ann.events_per_synapse == (400 * 100 + 40 * 10) / 79_400
    one = shipped()["horowitz45-int8"]
    assert [standing.layer for standing in standings(ann, direct, one)] == ["output"]
    rate = recorded(sizes, Activity(1, 0, events), time_steps=5)
    assert [standing.layer for standing in standings(ann, rate, one)] == ["hidden", "output"]


every_price = st.fixed_dictionaries(
    {name: st.integers(1, 500).map(lambda n: n / 100) for name in (*ARITHMETIC, *MEMORY)}
)


@given(
    every_price,
    st.sampled_from(NETWORKS),
    st.sampled_from(LEVELS[:3]),
    st.sampled_from(["hidden", "output"]),
    st.integers(0, 15),
)
def test_the_break_even_is_the_crossing_of_the_two_bills(
    prices: dict[str, float], network: Network, level: Any, layer: str, fired: int
) -> None:
    """For all codes, neurons and read-outs: where the straight line of the SNN's bills meets the ANN's."""
    if not network.spikes_enter(layer):
        return
    text = (
        'name = "p"\ntitle = "p"\nunit = "pJ"\n[every_price]\nsource = "s"\nnode_nm = 1\n'
        'voltage_v = 1\ndata_type = "d"\nevidence = "assumed"\n'
        + "".join(f'[price."{name}"]\nvalue_pj = {pj}\n' for name, pj in prices.items())
    )
    one = profile(text, "p.toml")
    place, dense = network.place(layer), LAYERS[layer]
    fired = min(fired, STEPS * dense.outputs) * place.fires

    def cost(side: Network, events: int, out: int) -> float:
        seen = {"hidden": 0, "output": out} if layer == "hidden" else {"hidden": 0, "output": 0}
        seen[layer] = events
        last = out if layer == "output" else 0
        found = count(side, Activity(1, 0, seen, last), training=False)
        own = {phase: {layer: layers.get(layer, {})} for phase, layers in found.items()}
        own["encode"] = {}
        return bill(own, one, level, footprint=footprint(side)).nominal_mj

    even = break_even.balance(
        dense,
        one,
        level,
        ann=footprint(Network(LAYERS)),
        snn=footprint(network),
        neurons=network.neurons,
        place=place,
    )
    phi = even.spikes(STEPS, spikes_out=fired / dense.outputs)
    ann = cost(Network(LAYERS), 0, 0)
    none, full = cost(network, 0, fired), cost(network, STEPS * dense.inputs, fired)
    crossing = STEPS * (ann - none) / (full - none)
    assert phi == pytest.approx(crossing, abs=1e-9 * max(abs(crossing), STEPS))
