import numpy as np
import pytest
import torch

from fedspike.encoding import Address, RateCode
from fedspike.errors import InputError
from fedspike.networks import ANN, SNN, Architecture, Parameters
from fedspike.neurons import LIF
from fedspike.randomness import stream

ARCHITECTURE = Architecture((6, 5, 4, 3))


def stacked(clients: int) -> Parameters:
    models = [ARCHITECTURE.init(stream(0, "init", client=k)) for k in range(clients)]
    return {name: torch.stack([model[name] for model in models]) for name in models[0]}


def test_the_study_network() -> None:
    architecture = Architecture((784, 100, 10))
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
    weight = Architecture((784, 100, 10)).init(stream(0, "init"))["hidden.weight"]
    assert 0.999 / 28 < float(weight.abs().max()) <= 1 / 28
    assert abs(float(weight.mean())) < 5 / 28 / np.sqrt(3 * 78_400)


def test_each_client_meets_its_own_weights() -> None:
    parameters = stacked(3)
    x = torch.rand(3, 7, 6)
    address = Address(0, "encode", 1, (0, 1, 2), (0, 0, 0))
    scores = ANN(ARCHITECTURE).run(parameters, x, address).scores
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
    network = SNN(ARCHITECTURE, LIF(), RateCode(8))
    x = torch.rand(2, 3, 6)
    spikes = network.code.spikes(x, Address(0, "encode", 1, (0, 1), (0, 0)))
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
    parameters, network = stacked(clients), ANN(ARCHITECTURE)
    x = torch.rand(clients, 7, 6) * (torch.rand(clients, 7, 6) > 0.5)
    present = torch.rand(clients, 7) > 0.3
    address = Address(0, "encode", 1, tuple(range(clients)), (0,) * clients)
    counted = network.run(parameters, x, address, present)
    for k in range(clients):
        flow = x[k][present[k]]
        for name in ARCHITECTURE.names:
            assert int(counted.events_in[name][k]) == int(np.count_nonzero(flow))
            flow = torch.relu(
                flow @ parameters[f"{name}.weight"][k].T + parameters[f"{name}.bias"][k]
            )
    assert counted.events_out.tolist() == [0] * clients
    assert 0 < int(counted.events_in["hidden2"][0]) < 7 * 5, "all or nothing tells little"
    known = network.run(parameters, x, address, present, network.nonzero(x))
    torch.testing.assert_close(known.events_in, counted.events_in, rtol=0, atol=0)


@pytest.mark.parametrize("layers", [(784,), (784, 0, 10), ()])
def test_impossible_architectures(layers: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="layers"):
        Architecture(layers)
