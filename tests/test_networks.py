import numpy as np
import pytest
import torch

from fedspike.engine.choice import engine_for
from fedspike.errors import InputError
from fedspike.networks import (
    QANN,
    SNN,
    Batch,
    ConventionalNetwork,
    DenseLayers,
    FullyConnected,
    Parameters,
    Quantiser,
    SpikingNetwork,
)
from fedspike.networks.sized_layers import InitialWeights
from fedspike.parts.codes import Address
from fedspike.randomness import stream

ARCHITECTURE = DenseLayers((6, 5, 4, 3))


def stacked(clients: int) -> Parameters:
    models = [ARCHITECTURE.init(stream(0, "init", client=k)) for k in range(clients)]
    return {name: torch.stack([model[name] for model in models]) for name in models[0]}


def test_the_study_network() -> None:
    architecture = DenseLayers((784, 100, 10))
    assert (architecture.synapses, architecture.parameters) == (79_400, 79_510)
    model = architecture.init(stream(0, "init"))
    assert {name: tuple(weight.shape) for name, weight in model.items()} == {
        "hidden.weight": (100, 784),
        "hidden.bias": (100,),
        "output.weight": (10, 100),
        "output.bias": (10,),
    }
    assert sum(weight.numel() for weight in model.values()) == architecture.parameters


def test_initial_values_are_uniform_within_the_bound() -> None:
    """The largest of 78,400 draws is within 0.1 % of the bound but once in 10^34; the mean is near 0."""
    weight = DenseLayers((784, 100, 10)).init(stream(0, "init"))["hidden.weight"]
    assert 0.999 / 28 < float(weight.abs().max()) <= 1 / 28
    assert abs(float(weight.mean())) < 5 / 28 / np.sqrt(3 * 78_400)


@pytest.mark.parametrize(("start", "share"), [("he", 1.0), ("torch", 1 / 6)])
def test_he_keeps_the_mean_square_of_what_passes_through_relus(
    start: InitialWeights, share: float
) -> None:
    """A layer of ReLUs passes on n/2 Var[w] of it; 1 % is what 2,000 neurons leave to chance, thrice over."""
    layers = FullyConnected((2000,), initial_weights=start).over((2000,), 2000)
    model = layers.init(stream(0, "init"))
    x = torch.relu(torch.randn(200, 2000, generator=torch.Generator().manual_seed(0)))
    after = torch.relu(x @ model["hidden.weight"].T) @ model["output.weight"].T
    kept = float(after.square().mean() / (2 * x.square().mean()))
    assert kept == pytest.approx(share**2, rel=0.03)
    assert bool(model["hidden.bias"].any()) == (start == "torch")
    assert layers.narrowed(0.5).initial_weights == start


def test_each_client_meets_its_own_weights() -> None:
    parameters = stacked(3)
    x = torch.rand(3, 7, 6)
    address = Address(0, "encode", 1, (0, 1, 2), (0, 0, 0))
    scores = ConventionalNetwork(ARCHITECTURE).run(parameters, Batch.of(x, address)).scores
    for k in range(3):
        flow = x[k]
        for name in ("hidden1", "hidden2"):
            flow = torch.relu(
                flow @ parameters[f"{name}.weight"][k].T + parameters[f"{name}.bias"][k]
            )
        expected = flow @ parameters["output.weight"][k].T + parameters["output.bias"][k]
        torch.testing.assert_close(scores[k], expected)


def test_spikes_are_counted_exactly_and_only_of_samples_that_are_there() -> None:
    parameters = {name: weight.abs() for name, weight in stacked(2).items()}  # so that all fire
    network = SpikingNetwork(ARCHITECTURE, SNN(8))
    x = torch.rand(2, 3, 6)
    spikes = network.code.spikes(x, Address(0, "encode", 1, (0, 1), (0, 0)), 8)
    present = torch.tensor([[True, True, True], [True, False, False]])
    both = network.forward(parameters, spikes, present)
    second = {name: weight[1:] for name, weight in parameters.items()}
    alone = network.forward(second, spikes[:, 1:, :1])
    entered = both.events_in["hidden1"].tolist()
    assert entered == [int(spikes[:, 0].sum()), int(spikes[:, 1, :1].sum())]
    assert {layer: counts[1] for layer, counts in both.events_in.items()} == {
        layer: counts[0] for layer, counts in alone.events_in.items()
    }
    assert both.events_out[1] == alone.events_out[0] == alone.scores.sum() > 0
    assert min(both.events_in["output"]) > 0, "no spike reached the output: nothing was compared"


@pytest.mark.parametrize("clients", [1, 3])
def test_values_that_are_not_zero_are_counted_exactly_and_only_of_samples_that_are_there(
    clients: int,
) -> None:
    parameters, network = stacked(clients), ConventionalNetwork(ARCHITECTURE)
    x = torch.rand(clients, 7, 6) * (torch.rand(clients, 7, 6) > 0.5)
    present = torch.rand(clients, 7) > 0.3
    address = Address(0, "encode", 1, tuple(range(clients)), (0,) * clients)
    counted = network.run(parameters, Batch.of(x, address, present=present))
    for k in range(clients):
        flow = x[k][present[k]]
        for name in ARCHITECTURE.names:
            assert int(counted.events_in[name][k]) == int(np.count_nonzero(flow))
            flow = torch.relu(
                flow @ parameters[f"{name}.weight"][k].T + parameters[f"{name}.bias"][k]
            )
    assert counted.events_out.tolist() == [0] * clients
    assert 0 < int(counted.events_in["hidden2"][0]) < 7 * 5, "all or nothing tells little"
    # In compiled kernels, where there are any.
    engine = engine_for("cpu", torch.float32)
    passed = engine.forward(network, parameters, Batch.of(x, address, present=present))
    torch.testing.assert_close(passed.events_in, counted.events_in, rtol=0, atol=0)
    assert torch.equal(passed.events_out, counted.events_out)


def test_quantised_values_are_the_nearest_of_their_levels() -> None:
    quantised = Quantiser(bits=2, ceiling=3.0)
    values = torch.tensor([-5.0, -0.1, 0.0, 0.49, 0.51, 1.4, 1.6, 2.4, 2.6, 3.0, 9.0])
    assert quantised(values).tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 3]
    fine = Quantiser(bits=6, ceiling=4.0)(torch.linspace(-1, 5, 10_000))
    assert len(set(fine.tolist())) == 64
    pixels = Quantiser(bits=6)(torch.linspace(0, 1, 256), ceiling=1.0)
    assert (pixels * 63 - (pixels * 63).round()).abs().max() < 1e-5
    assert (pixels - torch.linspace(0, 1, 256)).abs().max() <= 0.5 / 63 + 1e-6


def on_its_way(
    network: ConventionalNetwork, parameters: Parameters, x: torch.Tensor
) -> list[torch.Tensor]:
    """Scores, and the gradient of a function of them for every parameter."""
    leaves = {name: weight.clone().requires_grad_() for name, weight in parameters.items()}
    address = Address(0, "encode", 1, tuple(range(len(x))), (0,) * len(x))
    scores = network.run(leaves, Batch.of(x, address)).scores
    gradients = torch.autograd.grad(scores.square().sum(), list(leaves.values()))
    return [scores.detach(), *gradients]


@pytest.mark.parametrize("bits", [1, 3, 6])
def test_the_gradient_goes_straight_through_the_rounding(bits: int) -> None:
    """Against clip(v) + (q(v) - clip(v)).detach(), in float64, with values on both sides of the ceiling."""
    network = ConventionalNetwork(ARCHITECTURE, Quantiser(bits, ceiling=0.3))
    x = torch.rand(2, 7, 6).double()
    parameters = {name: 2 * weight.double() for name, weight in stacked(2).items()}
    leaves = {name: weight.clone().requires_grad_() for name, weight in parameters.items()}
    n, clipped = 2**bits - 1, []

    def straight(values: torch.Tensor, ceiling: float) -> torch.Tensor:
        clip = values.clamp(0, ceiling)
        clipped.append(int((values > ceiling).sum()))
        step = ceiling / n
        rounding = ((clip / step).round() * step - clip).detach()
        return torch.add(clip, rounding)

    flow = straight(x, 1.0)
    for name in ARCHITECTURE.names:
        flow = flow if name == "hidden1" else straight(flow, 0.3)
        flow = flow @ leaves[f"{name}.weight"].mT + leaves[f"{name}.bias"].unsqueeze(1)
    expected = torch.autograd.grad(flow.square().sum(), list(leaves.values()))
    scores, *gradients = on_its_way(network, parameters, x)
    assert sum(clipped) > 0, "nothing was clipped, so half of the rule was not asked for"
    torch.testing.assert_close(scores, flow.detach(), rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(gradients, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("clients", [1, 3])
def test_with_many_bits_it_is_the_ann(clients: int) -> None:
    parameters, x = stacked(clients), torch.rand(clients, 7, 6)
    largest = max(float(w.abs().sum()) for w in parameters.values())
    fine, coarse, ann = (
        on_its_way(ConventionalNetwork(ARCHITECTURE, quantiser), parameters, x)
        for quantiser in (Quantiser(16, largest), Quantiser(1, largest), None)
    )
    for found, expected in zip(fine, ann, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=2e-3)
    assert (coarse[0] - fine[0]).abs().max() > 0.01, "bits make no difference"


def test_what_is_rounded_to_zero_is_no_event() -> None:
    quantised, parameters = Quantiser(bits=2, ceiling=1.0), stacked(2)
    network = ConventionalNetwork(ARCHITECTURE, quantised)
    x = torch.rand(2, 7, 6)
    present = torch.rand(2, 7) > 0.3
    address = Address(0, "encode", 1, (0, 1), (0, 0))
    seen = network.run(parameters, Batch.of(x, address, present=present))
    kept = ((x > 1 / 6) & present.unsqueeze(2)).sum((1, 2))
    assert seen.events_in["hidden1"].tolist() == kept.tolist()
    assert 0 < int(kept[0]) < 42
    for k in range(2):
        flow = quantised(x[k], ceiling=1.0)[present[k]]
        for name, following in (("hidden1", "hidden2"), ("hidden2", "output")):
            flow = flow @ parameters[f"{name}.weight"][k].T + parameters[f"{name}.bias"][k]
            flow = quantised(flow)
            assert int(seen.events_in[following][k]) == int((flow != 0).sum())


@pytest.mark.parametrize(("bits", "ceiling"), [(0, 4.0), (17, 4.0), (6, 0.0), (6, float("inf"))])
def test_impossible_quantisers(bits: int, ceiling: float) -> None:
    with pytest.raises(InputError, match=r"bits = |ceiling = "):
        QANN(bits=bits, ceiling=ceiling)


@pytest.mark.parametrize("layers", [(784,), (784, 0, 10), ()])
def test_impossible_architectures(layers: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="layers"):
        DenseLayers(layers)
