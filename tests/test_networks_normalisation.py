"""BNTT against torch's batch normalisation, step by step, and its statistics in a federation."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from fedspike.algorithms import Algorithm, FedAdam, FedAvg, FedProx, Scaffold, with_statistics
from fedspike.data import load
from fedspike.data.partition import Classes
from fedspike.errors import InputError
from fedspike.federation.devices import Devices
from fedspike.federation.rounds import Round, State
from fedspike.learning import Backpropagation
from fedspike.networks import (
    SNN,
    Conv,
    ConventionalNetwork,
    ConvolutionalLayers,
    DenseLayers,
    Layers,
    Parameters,
    SpikingNetwork,
)
from fedspike.parts.codes import Code, Direct, Rate
from fedspike.parts.losses import CrossEntropy
from fedspike.parts.neurons import LIF
from fedspike.parts.normalisations import BNTT
from fedspike.parts.optimisers import SGD, Adam, Optimiser
from fedspike.parts.read_outs import MeanMembrane
from fedspike.randomness import stream
from fedspike.rules import Pooled
from running import devices, simulate

SAMPLE = load("fashion-mnist-sample")
DENSE = DenseLayers((784, 20, 10))
IMAGES = ConvolutionalLayers((1, 28, 28), (Conv(4, stride=2), Conv(8, stride=2)), 10)
ALGORITHMS: dict[str, Algorithm] = {
    "fedavg": FedAvg(),
    "fedprox": FedProx(mu=0.1),
    "scaffold": Scaffold(),
    "fedadam": FedAdam(),
}
STEPS, CLIENTS, BATCH = 3, 2, 6


def drawn(channels: int, places: int) -> tuple[Tensor, Tensor, Parameters]:
    """Currents, gammas and running statistics of 2 clients."""
    currents = 2 * torch.randn(STEPS, CLIENTS, BATCH, channels * places).double() + 1
    gamma = torch.rand(CLIENTS, STEPS, channels).double() + 0.5
    running = {"mean": torch.randn(CLIENTS, STEPS, channels).double()}
    running["variance"] = torch.rand(CLIENTS, STEPS, channels).double() + 0.5
    return currents, gamma, running


def torchs(
    currents: Tensor, gamma: Tensor, running: Parameters, client: int, samples: int
) -> tuple[Tensor, Tensor, Tensor]:
    """One client by torch: an own batch normalisation for each step, without its shift."""
    channels = gamma.shape[2]
    steps, means, variances = [], [], []
    for t in range(STEPS):
        mean, variance = (running[name][client, t].clone() for name in ("mean", "variance"))
        normalised = nn.functional.batch_norm(
            currents[t, client, :samples].reshape(samples, channels, -1),
            *(mean, variance, gamma[client, t]),
            training=True,
            momentum=0.1,
            eps=1e-4,
        )
        steps.append(normalised.flatten(1))
        means.append(mean)
        variances.append(variance)
    return torch.stack(steps), torch.stack(means), torch.stack(variances)


@pytest.mark.parametrize(("channels", "places"), [(5, 1), (3, 8)], ids=["dense", "convolution"])
def test_it_is_torchs_at_every_step_and_padding_is_not_there(channels: int, places: int) -> None:
    currents, gamma, running = drawn(channels, places)
    currents.requires_grad_()
    gamma.requires_grad_()
    present = torch.arange(BATCH) < torch.tensor([[6], [4]])
    ours, after = BNTT().normalised(currents, gamma, running, present)
    weights = torch.randn_like(ours)
    for client, samples in enumerate((6, 4)):
        theirs, mean, variance = torchs(currents, gamma, running, client, samples)
        kept = ours[:, client, :samples]
        torch.testing.assert_close(kept, theirs, rtol=0, atol=1e-12)
        torch.testing.assert_close(after["mean"][client], mean, rtol=0, atol=1e-12)
        # Torch follows n/(n-1) of the variance that it normalises by; we follow that variance.
        n, before = samples * places, 0.9 * running["variance"][client]
        expected = before + (variance - before) * (n - 1) / n
        torch.testing.assert_close(after["variance"][client], expected, rtol=0, atol=1e-12)
        loss = (weights[:, client, :samples] * kept).sum()
        found = torch.autograd.grad(loss, [currents, gamma], retain_graph=True)
        loss = (weights[:, client, :samples] * theirs).sum()
        for slope, other in zip(found, torch.autograd.grad(loss, [currents, gamma]), strict=True):
            torch.testing.assert_close(slope, other, rtol=0, atol=1e-11)
        assert not found[0][:, client, samples:].any(), "a padded sample has a gradient"


def test_a_test_takes_the_running_statistics_and_leaves_them() -> None:
    currents, gamma, running = drawn(3, 8)
    with torch.no_grad():
        ours, after = BNTT().normalised(currents, gamma, running)
        half, _ = BNTT().normalised(currents[:, :, :2], gamma, running)
    for t in range(STEPS):
        for client in range(CLIENTS):
            mean, variance = (running[name][client, t] for name in ("mean", "variance"))
            images = currents[t, client].reshape(BATCH, 3, 8)
            wanted = (images - mean[:, None]) / (variance[:, None] + 1e-4).sqrt()
            wanted = gamma[client, t][:, None] * wanted
            torch.testing.assert_close(ours[t, client], wanted.flatten(1), rtol=0, atol=1e-12)
    assert torch.equal(ours[:, :, :2], half)
    assert all(torch.equal(after[name], numbers) for name, numbers in running.items())


def test_a_test_without_running_statistics_takes_those_of_its_images() -> None:
    currents, gamma, _ = drawn(3, 8)
    with torch.no_grad():
        ours, after = BNTT().normalised(currents, gamma, {})
    each = ours.reshape(STEPS, CLIENTS, BATCH, 3, 8)
    torch.testing.assert_close(each.mean((2, 4)), torch.zeros(STEPS, CLIENTS, 3).double())
    spread = each.square().mean((2, 4)).sqrt()
    torch.testing.assert_close(spread, gamma.movedim(1, 0), rtol=1e-3, atol=0)
    assert after == {}


def test_a_batch_of_one_takes_the_running_statistics_and_leaves_them() -> None:
    currents, gamma, running = drawn(5, 1)
    present = torch.arange(BATCH) < torch.tensor([[1], [6]])
    ours, after = BNTT().normalised(currents.requires_grad_(), gamma, running, present)
    with torch.no_grad():
        tested, _ = BNTT().normalised(currents, gamma, running)
    torch.testing.assert_close(ours[:, 0, 0], tested[:, 0, 0], rtol=0, atol=1e-12)
    assert all(torch.equal(after[name][0], running[name][0]) for name in after)
    assert all((after[name][1] != running[name][1]).all() for name in after)
    (slope,) = torch.autograd.grad(ours[:, 0].sum(), currents)
    assert (slope[:, 0, 0] != 0).all(), "a client of one sample could not learn"


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    spread=st.floats(0, 100),
    seed=st.integers(0, 2**16),
)
def test_pooled_statistics_are_those_of_the_pooled_data(
    sizes: list[int], spread: float, seed: int
) -> None:
    generator = stream(seed, "test")
    data = [generator.normal(spread * generator.normal(), 1, (n, 3)) for n in sizes]
    statistics = [
        {"hidden.mean": torch.tensor(own.mean(0)), "hidden.variance": torch.tensor(own.var(0))}
        for own in data
    ]
    pooled = Pooled().join(statistics, torch.tensor(sizes), torch.ones(len(sizes)).long())
    whole = np.concatenate(data)
    np.testing.assert_allclose(pooled["hidden.mean"], whole.mean(0), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(pooled["hidden.variance"], whole.var(0), rtol=1e-6, atol=1e-9)


def play(
    normalisation: BNTT,
    algorithm: Algorithm | None = None,
    architecture: Layers = DENSE,
    *,
    fleet: Devices | None = None,
    rounds: int = 2,
    state: State | None = None,
    optimiser: Optimiser | None = None,
    batch_size: int = 32,
    code: Code = Rate(),  # noqa: B008
    dtype: torch.dtype = torch.float32,
) -> list[Round]:
    snn = SNN(5, neuron=LIF(0.8), code=code, read_out=MeanMembrane(), normalisation=normalisation)
    shards = Classes(5)(SAMPLE.y_train, clients=5, seed=0)
    return list(
        simulate(
            network=SpikingNetwork(architecture, snn),
            algorithm=algorithm or FedAvg(),
            devices=fleet or devices(tuple(shards), clients_per_round=3, samples_per_round=70),
            training=Backpropagation(CrossEntropy(), optimiser or SGD(0.1), batch_size=batch_size),
            dataset=SAMPLE,
            seed=0,
            rounds=rounds,
            state=state,
            dtype=dtype,
        )
    )


@pytest.mark.parametrize("architecture", [DENSE, IMAGES], ids=["dense", "convolution"])
def test_after_one_batch_the_server_has_the_statistics_of_all_data(
    architecture: Layers,
) -> None:
    """With momentum 1 a client's statistics are its batch's, at the weights that all received."""
    cuts = np.cumsum([30, 7, 1, 22])
    shards = np.split(np.arange(60), cuts[:-1])
    setting = {
        "architecture": architecture,
        "rounds": 1,
        "batch_size": 60,
        "code": Direct(),
        "dtype": torch.float64,
    }
    first = architecture.names[0]
    norm = BNTT(momentum=1.0)
    (many,) = play(norm, fleet=devices(tuple(shards[:2] + shards[3:])), **setting)  # type: ignore[arg-type]
    together = np.concatenate(shards[:2] + shards[3:])
    (one,) = play(norm, fleet=devices((together,)), **setting)  # type: ignore[arg-type]
    for name in (f"{first}.mean", f"{first}.variance"):
        ours, whole = many.state.server["statistics"][name], one.state.server["statistics"][name]
        torch.testing.assert_close(ours, whole, rtol=1e-6, atol=1e-9)
        assert ours.std() > 0
    assert torch.equal(ours[0], ours[2]), "a constant current has the same statistics at each step"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("statistics", ["pooled", "local"])
def test_it_resumes_bit_for_bit_with_its_statistics(algorithm: str, statistics: str) -> None:
    norm = BNTT(statistics)  # type: ignore[arg-type]
    whole = play(norm, ALGORITHMS[algorithm], rounds=3)
    copied = {path: tensor.clone() for path, tensor in whole[0].state.tensors().items()}
    later = play(norm, ALGORITHMS[algorithm], rounds=3, state=State.from_tensors(1, copied))
    assert [round.accuracy for round in whole[1:]] == [round.accuracy for round in later]
    one, other = whole[-1].state.tensors(), later[-1].state.tensors()
    assert one.keys() == other.keys()
    assert all(torch.equal(one[path], other[path]) for path in one)
    kept = {path.rsplit("/", 1)[0] for path in one if "statistics" in path}
    if statistics == "pooled":
        assert kept == {"server/statistics"}
    else:
        took_part = {client for round in whole for client in round.clients}
        assert kept == {f"client/{client}/statistics" for client in took_part}


@pytest.mark.parametrize("algorithm", sorted(set(ALGORITHMS) - {"fedavg"}))
def test_no_algorithm_does_to_statistics_what_it_does_to_updates(algorithm: str) -> None:
    """After a round that began alike they are FedAvg's, to the bit; fedprox moves weights in between."""
    (ours,) = play(BNTT(), ALGORITHMS[algorithm], rounds=1, batch_size=70)
    (plain,) = play(BNTT(), rounds=1, batch_size=70)
    for name, numbers in plain.state.server["statistics"].items():
        assert torch.equal(ours.state.server["statistics"][name], numbers)
    for name in ours.state.server:
        if name != "statistics":
            assert not any("mean" in n or "variance" in n for n in ours.state.server[name])


def test_bytes_of_statistics_are_on_the_wire_if_they_are_pooled() -> None:
    model = 4 * (784 * 20 + 20 * 10 + 5 * 20)  # no biases, a gamma per step and neuron
    statistics = 4 * 2 * 5 * 20
    (sent,) = play(BNTT(), rounds=1)
    assert (sent.uplink_bytes, sent.downlink_bytes) == (3 * (model + statistics),) * 2
    (kept,) = play(BNTT("local"), rounds=1)
    assert (kept.uplink_bytes, kept.downlink_bytes) == (3 * model,) * 2
    assert "statistics" not in kept.state.server


def test_local_statistics_change_the_test_and_nothing_that_is_learned() -> None:
    """In training a batch is normalised by itself, so where its running statistics are does not matter."""
    one, other = play(BNTT()), play(BNTT("local"))
    for a, b in zip(one, other, strict=True):
        assert all(torch.equal(w, b.state.model[name]) for name, w in a.state.model.items())
        assert a.training_loss == b.training_loss
    assert one[-1].tested.events_in["output"] != other[-1].tested.events_in["output"]


def test_clients_of_one_sample_learn() -> None:
    fleet = devices(tuple(np.array([k]) for k in range(3)))
    first, last = play(BNTT(), fleet=fleet, rounds=2)
    start = SpikingNetwork(DENSE, SNN(5, read_out=MeanMembrane(), normalisation=BNTT())).init(
        stream(0, "init")
    )
    assert not torch.equal(first.state.model["hidden.weight"], start["hidden.weight"])
    for name, numbers in last.state.server["statistics"].items():
        assert torch.equal(numbers, torch.full_like(numbers, name.endswith("variance")))


@pytest.mark.parametrize("statistics", ["pooled", "local"])
@pytest.mark.parametrize("architecture", [DENSE, IMAGES], ids=["dense", "convolution"])
def test_it_learns_real_images(architecture: Layers, statistics: str) -> None:
    """Chance is 10 %."""
    fleet = devices(tuple(Classes(5)(SAMPLE.y_train, clients=5, seed=0)))
    norm = BNTT(statistics)  # type: ignore[arg-type]
    rounds = play(norm, architecture=architecture, fleet=fleet, rounds=8, optimiser=Adam(5e-3))
    assert rounds[-1].accuracy > 0.5


def test_parameters_are_the_twins_weights_and_gammas() -> None:
    network = SpikingNetwork(IMAGES, SNN(5, normalisation=BNTT()))
    model, twin = (
        network.init(stream(0, "init")),
        ConventionalNetwork(IMAGES).init(stream(0, "init")),
    )
    assert model.keys() == {f"{n}.weight" for n in IMAGES.names} | {"conv1.gamma", "conv2.gamma"}
    assert all(torch.equal(w, twin[name]) for name, w in model.items() if "weight" in name)
    assert torch.equal(model["conv2.gamma"], torch.ones(5, 8))
    assert {name: tuple(s.shape) for name, s in network.statistics().items()} == {
        f"{layer}.{of}": (5, channels)
        for layer, channels in (("conv1", 4), ("conv2", 8))
        for of in ("mean", "variance")
    }
    parameters = sum(layer.parameters for layer in network.described.values())
    assert parameters == sum(w.numel() for w in model.values())


def test_an_algorithm_without_statistics_to_carry_is_itself() -> None:
    algorithm = FedAvg()
    assert with_statistics(algorithm, SpikingNetwork(DENSE, SNN(5))) is algorithm


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"momentum": 0.0}, "momentum = 0.0"),
        ({"epsilon": 0.0}, "epsilon = 0.0"),
    ],
)
def test_impossible_normalisations(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        BNTT(**wrong)  # type: ignore[arg-type]
