"""Operation counts of dense networks: hand-computed examples, and the laws that they keep."""

from dataclasses import replace
from itertools import product
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from counted_example import EVERY_KIND, SMALL, STEPS, STUDY, counted, exchanged, profile_of, whole
from fedspike.energy import counts
from fedspike.energy.bill import NOT_COUNTED, bill, footprint
from fedspike.energy.counts import aggregation, count, entries, merge, words_sent
from fedspike.energy.levels import Level
from fedspike.errors import InputError
from fedspike.layers.activity import Activity
from fedspike.layers.operations import BETWEEN, PER, NetworkOperations
from fedspike.layers.shapes import Dense
from fedspike.networks import SNN, DenseLayers, SpikingNetwork
from fedspike.parts.codes import Burst, Contrast, Delta, Direct, Latency, Phase
from fedspike.parts.neurons import LIF, AdaptiveLIF, CurrentBasedLIF, Neuron
from fedspike.parts.optimisers import SGD
from fedspike.parts.read_outs import MeanMembrane, ReadOut
from fedspike.parts.surrogates import FastSigmoid, Sigmoid, Surrogate, Triangular
from parts_example import NEURONS, READ_OUTS, SURROGATES, name

CONVENTIONAL, SPIKING = counted(), counted(time_steps=STEPS)
DIRECT = counted(time_steps=STEPS, code=Direct())
# 1 sample over 5 steps: 7 spikes in, 6 from the hidden layer, 2 out; 3 steps of the optimiser.
SEEN = Activity(samples=1, steps=3, events_in={"hidden": 7, "output": 6}, events_out=2)
HIDDEN, OUTPUT = 15, 10  # neurons x steps
NETWORKS = [CONVENTIONAL, *EVERY_KIND]


@st.composite
def activities(draw: st.DrawFn, most: int = 50, silent: bool = False) -> Activity:
    """What any network of these layers can show: within the bounds of the conventional one."""
    samples = draw(st.integers(0, most))
    hidden, output = (0 if silent else draw(st.integers(0, samples * size)) for size in (4, 3))
    return Activity(samples, draw(st.integers(0, most)), {"hidden": hidden, "output": output}, 0)


def beside(
    one: NetworkOperations, other: NetworkOperations, seen: Activity = SEEN
) -> dict[str, int]:
    """What the first does more than the second."""
    more, less = whole(count(one, seen)), whole(count(other, seen))
    gained = {key: more.get(key, 0) - less.get(key, 0) for key in {**more, **less}}
    return {".".join(key): number for key, number in gained.items() if number}


def test_the_conventional_network_by_hand() -> None:
    """2 samples of 4-3-2, 5 of the 8 inputs and 4 of the 6 hidden values not 0, 1 step of Adam."""
    seen = Activity(samples=2, steps=1, events_in={"hidden": 5, "output": 4})
    assert count(CONVENTIONAL, seen) == {
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
    skipping = count(CONVENTIONAL, seen, skip_zeros=True)
    assert skipping["forward"]["hidden"] == {"mac": 15, "read_input": 8, "read_weight": 15}
    assert skipping["forward"]["output"] == {"mac": 8, "read_input": 6, "read_weight": 8}
    assert skipping["backward_weights"] == {"hidden": {"mac": 15}, "output": {"mac": 8}}
    assert skipping["backward_inputs"] == {"output": {"mac": 12}}


def test_the_spiking_network_by_hand() -> None:
    """1 sample of 4-3-2 over 5 steps: 7 spikes in, 6 from the hidden layer, 2 out; 2 steps of SGD."""
    seen = Activity(samples=1, steps=2, events_in={"hidden": 7, "output": 6}, events_out=2)
    assert count(counted(time_steps=STEPS, optimiser=SGD()), seen) == {
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


def test_the_direct_code_by_hand() -> None:
    """1 sample of 4-3-2 over 5 steps, 3 of 4 pixels not 0; the product serves all steps."""
    seen = Activity(samples=1, steps=0, events_in={"hidden": 3, "output": 6}, events_out=2)
    dense, skipping = count(DIRECT, seen), count(DIRECT, seen, skip_zeros=True)
    assert dense["encode"] == {}
    assert dense["forward"]["hidden"] == {
        **{"mac": 12, "read_input": 4, "read_weight": 12, "write_output": 3}
    }
    assert skipping["forward"]["hidden"]["mac"] == 9
    assert dense["backward_weights"]["hidden"] == {"mac": 12, "add": 15}
    assert skipping["backward_weights"]["hidden"] == {"mac": 9, "add": 15}
    rate = count(SPIKING, seen)
    assert dense["forward"]["output"] == rate["forward"]["output"]
    assert dense["neuron"] == rate["neuron"]


@pytest.mark.parametrize(
    ("code", "looked"),
    [
        (Latency(), {"compare": 20}),
        (Phase(), {"compare": 20}),
        (Burst(), {"compare": 20}),
        (Delta(), {"compare": 20, "add": 20}),
        (Contrast(), {"compare": 20, "add": 4}),
    ],
)
def test_a_codes_own_work_by_hand(code: Any, looked: dict[str, int]) -> None:
    """4 pixels are read once and looked at in each of 5 steps; 7 spikes come out.

    But for that, a code without weights costs its spikes alone.
    """
    made = count(counted(time_steps=STEPS, code=code), SEEN)
    assert made["encode"] == {"input": {**looked, "read_input": 4, "write_output": 7}}
    same = {**made, "encode": {}} == {**count(SPIKING, SEEN), "encode": {}}
    assert same == (code.step_weights(STEPS) is None)


def test_the_phase_codes_weights_by_hand() -> None:
    """What each of 3 neurons of the first layer received in each of 5 steps is weighted, then added."""
    phase, latency = (counted(time_steps=STEPS, code=code) for code in (Phase(), Latency()))
    assert beside(phase, latency) == {
        "neuron.hidden.multiply": HIDDEN,
        "neuron.hidden.add": HIDDEN,
        "neuron.hidden.read_potential": HIDDEN,
        "neuron.hidden.write_potential": HIDDEN,
        "surrogate.hidden.multiply": HIDDEN,
    }
    assert footprint(phase).potentials == footprint(latency).potentials + 4 * 3


def in_both(**operations: int) -> dict[str, int]:
    """So many of each operation, `phase__operation`, for each neuron and step."""
    return {
        f"{name.split('__')[0]}.{layer}.{name.split('__')[1]}": number * times
        for layer, times in (("hidden", HIDDEN), ("output", OUTPUT))
        for name, number in operations.items()
    }


def of_adam(hidden: int, output: int) -> dict[str, int]:
    """3 steps for so many more parameters."""
    return {
        f"optimiser.{layer}.{operation}": 3 * parameters * number
        for layer, parameters in (("hidden", hidden), ("output", output))
        for operation, number in (("multiply", 11), ("add", 4), ("sqrt", 1))
    }


CURRENT = {"neuron__multiply": 1, "neuron__add": 1, "surrogate__multiply": 1, "surrogate__add": 1}
STATE = {"neuron__read_potential": 1, "neuron__write_potential": 1}
RISE = {"neuron__multiply": 1, "neuron__add": 1, "surrogate__multiply": 2, "surrogate__add": 2}


@pytest.mark.parametrize(
    ("neuron", "more"),
    [
        (LIF(reset="zero"), {"neuron.hidden.add": -6, "neuron.output.add": -2}),
        (LIF(reset="none"), {"neuron.hidden.add": -6, "neuron.output.add": -2}),
        (LIF(surrogate=FastSigmoid()), {}),
        (LIF(surrogate=Triangular()), {}),
        (
            LIF(surrogate=Sigmoid()),
            in_both(surrogate__multiply=2, surrogate__add=1, surrogate__exp=1),
        ),
        (CurrentBasedLIF(alpha=0.5), in_both(**CURRENT, **STATE)),
        (
            AdaptiveLIF(adaptation=1.0, rho=0.9),
            in_both(**RISE, **STATE)
            | {"neuron.hidden.add": HIDDEN + 6, "neuron.output.add": OUTPUT + 2},
        ),
        (LIF(learn_beta="per-layer"), in_both(surrogate__mac=1) | of_adam(1, 1)),
        (
            LIF(learn_threshold="per-neuron"),  # the subtraction has a gradient, too
            in_both(neuron__read_bias=1)
            | {"surrogate.hidden.add": HIDDEN + 6, "surrogate.output.add": OUTPUT + 2}
            | of_adam(3, 2),
        ),
        (
            CurrentBasedLIF(alpha=0.5, learn_alpha="per-neuron"),
            in_both(**CURRENT, **STATE, neuron__read_bias=1, surrogate__mac=1) | of_adam(3, 2),
        ),
    ],
)
def test_neurons_beside_lif_by_hand(neuron: Neuron, more: dict[str, int]) -> None:
    assert beside(counted(time_steps=STEPS, neuron=neuron), SPIKING) == more


def test_a_membrane_that_is_read_out_has_no_threshold_of_any_kind() -> None:
    """So neither an adaptive nor a learned one costs anything there; a synapses' current does."""
    silent = replace(SEEN, events_out=0)
    read = counted(time_steps=STEPS, read_out=MeanMembrane())

    def more(neuron: Neuron) -> dict[str, int]:
        other = counted(time_steps=STEPS, read_out=MeanMembrane(), neuron=neuron)
        return beside(other, read, silent)

    for neuron in (
        AdaptiveLIF(adaptation=1.0, rho=0.9, learn_rho="per-layer"),
        LIF(learn_threshold="per-neuron"),
        LIF(surrogate=Sigmoid()),
        LIF(reset="zero"),
    ):
        assert more(neuron)
        assert not any(".output." in key for key in more(neuron))
    current = more(CurrentBasedLIF(alpha=0.5))
    assert current["neuron.output.multiply"] == current["surrogate.output.multiply"] == OUTPUT


def test_the_founding_study() -> None:
    """79,400 synapses, 1.17 million accumulates a sample, 50.9 Mbit a round."""
    ann = count(counted(STUDY), Activity(20_000, 160, {"hidden": 0, "output": 0}))
    assert sum(ops["mac"] for ops in ann["forward"].values()) == 79_400 * 20_000
    seen = Activity(1, 0, {"hidden": 11_215, "output": 4_850})
    snn = count(counted(STUDY, 50), seen, training=False)
    assert sum(ops["ac"] for ops in snn["forward"].values()) == 1_170_000
    assert sum(ops["address"] for ops in snn["forward"].values()) == 1_170_000
    assert snn["encode"]["input"]["draw"] == 39_200
    assert counts.synaptic(counted(STUDY, 50), seen) == {"mac": 0, "ac": 1_170_000}
    total = sum(number for *_, number in entries(exchanged(counted(STUDY), clients=10)))
    assert 8 * total == 50_886_400
    assert counted(STUDY).parameters == 79_510
    server = aggregation(counted(STUDY), clients=10)
    assert sum(number for *_, number in entries(server)) == 795_100


@pytest.mark.parametrize(("read_out", "neuron"), list(product(READ_OUTS, NEURONS)), ids=name)
def test_parameters_are_those_of_the_model(read_out: ReadOut, neuron: Neuron) -> None:
    """The engine's own model: as many numbers learned, weighed by the server and sent."""
    description = SNN(time_steps=STEPS, neuron=neuron, read_out=read_out)
    snn = SpikingNetwork(DenseLayers((4, 3, 2)), description)
    made = snn.operations()
    sizes = dict.fromkeys(made.layers, 0)
    for parameter, weight in snn.init(np.random.default_rng(0)).items():
        sizes[parameter.partition(".")[0]] += weight.numel()
    assert {layer: made.layers[layer].parameters for layer in sizes} == sizes
    assert made.parameters == words_sent(made) == sum(sizes.values())
    weighed = aggregation(made, clients=7)["aggregation"]
    assert weighed == {layer: {"mac": 7 * size} for layer, size in sizes.items()}
    assert footprint(made).parameters == 4 * made.parameters


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
    """Over batches, clients and rounds: the counts of a sum are the sum of the counts."""
    how = {"skip_zeros": skip_zeros, "training": training}
    parts = merge([count(made, a, **how), count(made, b, **how)])
    assert whole(parts) == whole(count(made, a + b, **how))


@given(activities(silent=True))
def test_without_spikes_only_the_terms_of_time_are_left(silent: Activity) -> None:
    """No synaptic event, and what is left goes with samples x T, pixels read and optimiser steps alone."""
    done = whole(count(SPIKING, silent))
    assert not any(phase in ("forward", "backward_weights") for phase, *_ in done)
    assert not any(op == "write_output" for *_, op in done)
    thrice = {
        key: number if key[0] == "optimiser" or key[2] == "read_input" else 3 * number
        for key, number in done.items()
    }
    assert whole(count(counted(time_steps=3 * STEPS), silent)) == thrice


@given(activities(), st.sampled_from(["hidden", "output"]))
def test_a_spike_costs_its_fan_out(seen: Activity, layer: str) -> None:
    room = seen.samples * STEPS * SMALL[layer].inputs - seen.events_in[layer]
    if room == 0:
        return
    more = replace(seen, events_in={**seen.events_in, layer: seen.events_in[layer] + 1})
    before, after = whole(count(SPIKING, seen)), whole(count(SPIKING, more))
    gained = {k: after[k] - before.get(k, 0) for k in after if after[k] != before.get(k, 0)}
    fan_out = SMALL[layer].outputs
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
def test_hardware_that_skips_zeros_never_does_more(seen: Activity) -> None:
    dense, sparse = (whole(count(CONVENTIONAL, seen, skip_zeros=skip)) for skip in (False, True))
    assert all(number <= dense[key] for key, number in sparse.items())
    full = replace(seen, events_in={"hidden": 4 * seen.samples, "output": 3 * seen.samples})
    skipping = whole(count(CONVENTIONAL, full, skip_zeros=True))
    assert skipping == whole(count(CONVENTIONAL, full))


@pytest.mark.parametrize("made", NETWORKS)
def test_every_operation_has_a_name_and_a_test_trains_nothing(made: NetworkOperations) -> None:
    seen = Activity(2, 1, {"hidden": 3, "output": 3})
    trained, tested = count(made, seen), count(made, seen, training=False)
    phases = [phase for phase in counts.PHASES if phase not in BETWEEN]
    assert list(trained) == phases[: phases.index("aggregation")]
    assert {op for _, _, op, _ in entries(trained)} <= {*counts.ARITHMETIC, *counts.MEMORY}
    assert tested == {phase: trained[phase] for phase in ("encode", "forward", "neuron")}
    assert made.not_counted == ()


class Bare(Surrogate, tag="bare"):
    """A surrogate of a user's own, of which nobody has counted what it does."""

    def derivative(self, x: Tensor) -> Tensor:
        """1 everywhere."""
        return torch.ones_like(x)


class Wrong(Bare, tag="wrong"):
    """One with operations of something that there is not."""

    table: Literal["phase", "per", "number"] = "phase"

    def operations(self) -> Any:
        """The wrong table."""
        tables: dict[str, Any] = {
            "phase": {"backwards": {"output": {"add": 1}}},
            "per": {"surrogate": {"pixel": {"add": 1}}},
            "number": {"surrogate": {"output": {"add": "many"}}},
        }
        return tables[self.table]


def test_a_part_that_nobody_has_counted_is_said_on_the_bill() -> None:
    made = counted(time_steps=STEPS, neuron=LIF(surrogate=Bare()))
    assert made.not_counted == ("surrogate",)
    prices = profile_of(dict.fromkeys(counts.ARITHMETIC, 1.0), word_pj=1.0)

    def missing(level: Level) -> set[str]:
        sizes, names = footprint(made), (*made.not_counted, "code")
        return {
            *bill(count(made, SEEN), prices, level, footprint=sizes, not_counted=names).not_priced
        }

    assert missing("study") == set()
    assert missing("memory") == {"code (not counted)"}
    assert missing("training") == {NOT_COUNTED, "code (not counted)", "surrogate (not counted)"}


@pytest.mark.parametrize("table", ["phase", "per", "number"])
def test_a_table_that_is_none_is_refused_with_its_part(table: Any) -> None:
    with pytest.raises(InputError, match=r"Wrong: operations\(\) says .*add"):
        counted(time_steps=STEPS, neuron=LIF(surrogate=Wrong(table)))


def test_what_operations_are_counted_by_has_a_number() -> None:
    assert counts.quantities(SPIKING, SEEN, "hidden").keys() == PER.keys()


@pytest.mark.parametrize("surrogate", SURROGATES)
def test_a_surrogate_is_work_of_the_backward_pass_alone(surrogate: Any) -> None:
    made = counted(time_steps=STEPS, neuron=LIF(surrogate=surrogate))
    bare = {k: v for k, v in count(made, SEEN).items() if k != "surrogate"}
    assert bare == {k: v for k, v in count(SPIKING, SEEN).items() if k != "surrogate"}
    done = surrogate.operations()
    assert done.keys() == {"surrogate"}
    assert sum(number for row in done["surrogate"].values() for number in row.values()) >= 5


@pytest.mark.parametrize(
    ("layers", "words"),
    [({"hidden": Dense(4, 3), "pool": object()}, "layer pool is a object"), ({}, "layers none")],
)
def test_a_network_without_a_table_is_refused(layers: dict[str, Any], words: str) -> None:
    for steps in (None, STEPS):
        with pytest.raises(InputError, match=words):
            counted(layers, steps)


@pytest.mark.parametrize(
    ("made", "seen"),
    [
        # more than 4 inputs in 5 steps can fire
        (SPIKING, Activity(1, 0, {"hidden": 21, "output": 0})),
        (SPIKING, Activity(1, 0, {"hidden": 0, "output": 16})),
        (SPIKING, Activity(1, 0, {"hidden": 0, "output": 0}, 11)),
        (SPIKING, Activity(1, 0, {"hidden": -1, "output": 0})),
        (SPIKING, Activity(1, -1, {"hidden": 0, "output": 0})),
        (SPIKING, Activity(1, 0, {"hidden": 0})),
        (SPIKING, Activity(1, 0, {"hidden": 0, "output": 0, "third": 0})),
        (CONVENTIONAL, Activity(1, 0, {"hidden": 5, "output": 0})),
        (DIRECT, Activity(1, 0, {"hidden": 5, "output": 0})),
    ],
)
def test_an_impossible_activity_is_refused(made: NetworkOperations, seen: Activity) -> None:
    with pytest.raises(InputError, match="count the events"):
        count(made, seen)


def test_the_widest_activity_is_possible() -> None:
    """4-3-2 over 5 steps with every spike, and all non-zero: 20*3 + 15*2 AC, 4*3 + 3*2 MAC."""
    spikes = Activity(1, 0, {"hidden": 20, "output": 15}, 10)
    values = Activity(1, 0, {"hidden": 4, "output": 3}, 2)
    for made, seen, operation, most in (
        (SPIKING, spikes, "ac", {"hidden": 60, "output": 30}),
        (CONVENTIONAL, values, "mac", {"hidden": 12, "output": 6}),
    ):
        done = count(made, seen, skip_zeros=True)["forward"]
        assert {layer: operations[operation] for layer, operations in done.items()} == most
