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
    counted = network.forward(parameters, spikes, present).spikes_in
    alone = network.forward(
        {name: weight[1:] for name, weight in parameters.items()}, spikes[:, 1:, :1]
    ).spikes_in
    assert counted["hidden1"].tolist() == [int(spikes[:, 0].sum()), int(spikes[:, 1, :1].sum())]
    assert {layer: counts[1] for layer, counts in counted.items()} == {
        layer: counts[0] for layer, counts in alone.items()
    }
    assert min(counted["output"]) > 0, "no spike reached the output, so nothing was compared"


@pytest.mark.parametrize("layers", [(784,), (784, 0, 10), ()])
def test_impossible_architectures(layers: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="layers"):
        Architecture(layers)
