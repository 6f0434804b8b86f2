"""NeuroBench's metrics by hand; tests/test_energy_referees.py holds them against its package."""

from dataclasses import replace

import numpy as np
import pytest

from counted_example import SMALL, STEPS, counted
from fedspike.energy.neurobench import metrics
from fedspike.errors import InputError
from fedspike.layers.activity import Activity
from fedspike.layers.shapes import Convolution, Dense, Layer, Pool
from fedspike.parts.codes import Direct
from fedspike.parts.read_outs import MeanMembrane

ANN, SNN = counted(), counted(time_steps=STEPS)
MODEL: dict[str, np.ndarray] = {
    **{"hidden.weight": np.ones((3, 4), np.float32), "hidden.bias": np.zeros(3, np.float32)},
    **{"output.weight": np.ones((2, 3), np.float32), "output.bias": np.zeros(2, np.float32)},
}
SEEN = Activity(2, 0, {"hidden": 5, "output": 4}, 3)


def test_an_ann_by_hand() -> None:
    """5 and 4 values that are not 0 meet 3 and 2 synapses; the output layer has no neurons."""
    got = metrics(MODEL, SMALL, ANN, replace(SEEN, events_out=0))
    assert got.footprint_bytes == 4 * 23
    assert got.connection_sparsity == 0
    assert got.activation_sparsity == (6 - 4) / 6
    assert (got.effective_macs, got.effective_acs) == ((15 + 8) / 2, 0)
    assert got.dense_operations == 12 + 6


def test_an_snn_by_hand() -> None:
    got = metrics(MODEL, SMALL, SNN, SEEN)
    assert got.activation_sparsity == (2 * 5 * 5 - 4 - 3) / 50
    assert (got.effective_macs, got.effective_acs) == (0, (15 + 8) / 2)
    assert got.dense_operations == 5 * 18
    read = counted(time_steps=STEPS, read_out=MeanMembrane())
    silent_output = metrics(MODEL, SMALL, read, replace(SEEN, events_out=0))
    assert silent_output.activation_sparsity == (2 * 5 * 3 - 4) / 30


def test_the_direct_code_multiplies_once() -> None:
    got = metrics(MODEL, SMALL, counted(time_steps=STEPS, code=Direct()), SEEN)
    assert (got.effective_macs, got.effective_acs) == (15 / 2, 8 / 2)
    assert got.dense_operations == 12 + 5 * 6


def test_averages_of_spikes_are_no_spikes() -> None:
    layers: dict[str, Layer] = {
        "conv": Convolution(1, 1, 1, 2, 2),
        "pool": Pool("average", 1, 2, 2),
    }
    layers |= {"output": Dense(1, 2)}
    model = {"conv.weight": np.ones((1, 1, 1, 1)), "output.weight": np.ones((2, 1))}
    seen = Activity(1, 0, {"conv": 6, "pool": 7, "output": 3}, 2, {"conv": 6})
    got = metrics(model, layers, counted(layers, STEPS), seen)
    assert (got.effective_macs, got.effective_acs) == (6, 6)
    assert got.activation_sparsity == (5 * 6 - 7 - 2) / 30  # the pool has no neurons


def test_weights_of_0_have_no_effective_operations() -> None:
    weight = np.array([[1, 0, 0, 2], [0, 0, 3, 4], [0, 0, 5, 6]], np.int8)
    model: dict[str, np.ndarray] = {**MODEL, "hidden.weight": weight}
    unknown = metrics(model, SMALL, ANN, replace(SEEN, events_out=0))
    assert (unknown.effective_macs, unknown.effective_acs) == (None, 0)
    assert unknown.connection_sparsity == 6 / 18
    assert unknown.footprint_bytes == 12 + 4 * 11
    split = {"hidden": np.array([2, 1, 0, 2])}
    known = metrics(model, SMALL, ANN, replace(SEEN, events_out=0), split)
    assert known.effective_macs == (2 * 1 + 1 * 0 + 0 * 2 + 2 * 3 + 8) / 2
    for wrong in (np.array([2, 1, 0, 1]), np.array([5])):
        with pytest.raises(InputError, match="5 events of shape"):
            metrics(model, SMALL, ANN, replace(SEEN, events_out=0), {"hidden": wrong})


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(InputError, match="0 samples"):
        metrics(MODEL, SMALL, ANN, Activity(0, 0, {"hidden": 0, "output": 0}))
    with pytest.raises(InputError, match=r"output\.weight: shape"):
        metrics({**MODEL, "output.weight": np.ones((3, 2))}, SMALL, ANN, SEEN)
    with pytest.raises(InputError, match=r"output\.weight: missing"):
        metrics({"hidden.weight": MODEL["hidden.weight"]}, SMALL, ANN, SEEN)
    alone = {"output": Dense(3, 2)}
    got = metrics(MODEL, alone, counted(alone), Activity(1, 0, {"output": 1}))
    assert got.activation_sparsity is None
