"""Recordings of events: bits in, spikes through every engine as recorded, counts for other networks."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from dataset_example import refusal
from fedspike import engine
from fedspike.data import Dataset
from fedspike.data.recordings import packed, shares, unpacked
from fedspike.federation.devices import Fleet
from fedspike.federation.plan import Plan
from fedspike.federation.rounds import rounds
from fedspike.learning import Backpropagation
from fedspike.networks import (
    ANN,
    SNN,
    Batch,
    Conv,
    ConvolutionalLayers,
    DenseLayers,
    FullyConnected,
    Layers,
    Network,
    Pool,
    SpikingNetwork,
)
from fedspike.parts.codes import AsRecorded, Rate
from fedspike.parts.losses import CrossEntropy
from fedspike.parts.neurons import LIF
from fedspike.parts.optimisers import Adam
from fedspike.parts.read_outs import MeanMembrane, ReadOut, SpikeCount
from fedspike.remedies import FewerSteps
from one_pass_example import (
    ENGINE,
    PLAIN,
    assert_one_pass_is_plain_torch,
    assert_same_bits,
    batch_of,
    stacked,
)

STEPS = (1, 10, 63, 64, 65, 130)
COMPILED = pytest.mark.skipif(not engine.ACTIVE, reason=engine.WHY_NOT)
DENSE = DenseLayers((12, 9, 4))
PLANES = ConvolutionalLayers((2, 6, 6), (Conv(5), Pool("max"), Conv(18), Pool("average", 3)), 4)


def spikes(samples: int, steps: int, *shape: int, seed: int = 0) -> np.ndarray:
    drawn: np.ndarray = np.random.default_rng(seed).random((samples, steps, *shape)) < 0.3
    return drawn


def recorded_batch(layers: Layers, steps: int) -> Batch:
    size = {
        "clients": 3,
        "batch": 7,
        "inputs": layers.layers[0],
        "outputs": 4,
        "time": 1,
        "seed": 3,
    }
    batch, _ = batch_of(size)
    trains = packed(spikes(len(batch.pixels), steps, layers.layers[0]))
    return replace(batch, pixels=torch.from_numpy(trains).flatten(1))


@pytest.mark.parametrize("steps", STEPS)
def test_what_is_packed_comes_out_again(steps: int) -> None:
    trains = spikes(5, steps, 2, 3, 4)
    words = packed(trains)
    assert words.shape == (5, 2, 3, 4, -(-steps // 64))
    assert np.array_equal(unpacked(words, steps), trains)
    windows = min(steps, 3)
    cuts = [steps * w // windows for w in range(windows + 1)]
    means = [trains[:, a:b].mean(1) for a, b in itertools.pairwise(cuts)]
    expected = np.concatenate(means, 1).astype(np.float32)
    assert np.allclose(shares(words, steps, windows), expected, atol=1e-7)


@COMPILED
@pytest.mark.parametrize("read_out", [SpikeCount(), MeanMembrane()], ids=["count", "membrane"])
@pytest.mark.parametrize("layers", [DENSE, PLANES], ids=["dense", "convolutional"])
@pytest.mark.parametrize("steps", [7, 64, 100])
def test_kernels_take_recordings_as_plain_torch_does(
    steps: int, layers: Layers, read_out: ReadOut
) -> None:
    snn = SNN(steps, neuron=LIF(0.5), code=AsRecorded(), read_out=read_out)
    network, batch = SpikingNetwork(layers, snn), recorded_batch(layers, steps)
    assert_one_pass_is_plain_torch(network, CrossEntropy(), batch)
    parameters = stacked(layers, batch.address.clients, scale=4)
    forward = PLAIN.forward(network, parameters, batch)
    trains = unpacked(batch.pixels.numpy().reshape(len(batch.pixels), -1, -(-steps // 64)), steps)
    shown = torch.from_numpy(trains)[batch.positions.clamp(min=0)].float().movedim(2, 0)
    shown = shown * batch.present.unsqueeze(2)
    plain = network.forward(parameters, shown, batch.present)
    assert torch.equal(forward.scores, plain.scores), "other spikes than were recorded"
    first = network.architecture.names[0]
    assert forward.events_in[first].tolist() == shown.sum((0, 2, 3)).long().tolist()


@COMPILED
def test_recordings_give_the_same_bits_on_all_instruction_sets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = SpikingNetwork(DENSE, SNN(100, code=AsRecorded()))
    whole = recorded_batch(DENSE, 100)

    def bits(clients: int) -> list[Tensor]:
        own = slice(None, clients)
        address = replace(
            whole.address,
            clients=whole.address.clients[own],
            first_samples=whole.address.first_samples[own],
        )
        batch = Batch(whole.pixels, whole.positions[own], whole.labels[own], address)
        learned = ENGINE.learn(network, CrossEntropy(), stacked(DENSE, address.clients, 4), batch)
        return [learned.forward.scores[0], *(g[0] for g in learned.gradients.values())]

    assert_same_bits(bits, monkeypatch)


def data_set(steps: int = 20, windows: int = 1) -> Dataset:
    """Two classes, of which the second one's last inputs fire in the second half of the time."""
    x = spikes(60, steps, 6, seed=1)
    y = np.arange(60) % 2
    x[y == 1, steps // 2 :, 3:] = True
    trains = packed(x)
    return Dataset(
        name="toy",
        x_train=trains[:40],
        y_train=y[:40],
        x_test=trains[40:],
        y_test=y[40:],
        classes=2,
        source="toy",
        sha256={},
        time_steps=steps,
        count_windows=windows,
    )


def plan(network: Network, data: Dataset, **more: object) -> Plan:
    learner = Backpropagation(batch_size=5, optimiser=Adam(0.03))
    fleet = Fleet(clients=4)
    return Plan(network=network, data=data, rounds=25, fleet=fleet, learner=learner, **more)  # type: ignore[arg-type]


def test_both_networks_learn_from_one_data_set() -> None:
    data, hidden = data_set(windows=2), FullyConnected(hidden=(8,))
    assert repr(data) == (
        "Dataset(toy: 40 training and 20 test samples of 6 in 20 time steps, 2 classes)"
    )
    assert data.counted.x_train.shape == (40, 12)
    assert data.counted.counted is data.counted
    for network in (
        SNN(20, hidden, AsRecorded()),
        ANN(hidden),
        SNN(20, hidden, Rate()),
    ):
        *_, last = rounds(plan(network, data))
        assert last.accuracy > 0.9, network


def test_what_does_not_go_with_recordings_is_said() -> None:
    data, snn = data_set(), SNN(20, FullyConnected(hidden=(8,)), AsRecorded())
    with refusal("as-recorded in 21 time steps over recordings in 20", "set time_steps = 20"):
        plan(SNN(21, code=AsRecorded()), data).sized_network()
    with refusal("as-recorded in 20 time steps over samples without time", 'code.kind = "rate"'):
        plan(snn, data.counted).sized_network()
    with refusal("test_noise over recordings", "leave test_noise out"):
        plan(snn, data, test_noise=(0.1,)).sized_network()
    with refusal("fewer time steps of a network with as-recorded"):
        plan(snn, data, remedies=(FewerSteps(steps=(10,)),)).site()


def test_recordings_that_are_none_are_refused() -> None:
    data = data_set()
    with refusal("x_train holds float32", "int64 [sample, input, 1]"):
        replace(data, x_train=data.x_train.astype(np.float32))
    with refusal("x_test holds int64 of shape (20, 6, 2)"):
        replace(data, x_test=np.repeat(data.x_test, 2, axis=-1))
    with refusal("x_train holds spikes behind time step 9"):
        replace(data, time_steps=10)
    with refusal("count_windows = 21", "20 at most"):
        replace(data, count_windows=21)
