"""Convolutional twins: their shapes, their counts, and each client meeting its own kernels.

That whole rounds equal one client after another is in test_engine_equals_reference.py, that counts equal
other people's in test_energy_referees.py.
"""

from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedspike.algorithms import FedAvg
from fedspike.engine.choice import engine_for
from fedspike.engine.engines import Learned
from fedspike.errors import InputError
from fedspike.layers.shapes import Convolution, Dense
from fedspike.layers.shapes import Pool as CountedPool
from fedspike.learning import Backpropagation
from fedspike.learning.activities import counted
from fedspike.networks import (
    SNN,
    Batch,
    Conv,
    ConventionalNetwork,
    Convolutional,
    ConvolutionalLayers,
    DenseLayers,
    Parameters,
    Pool,
    Quantiser,
    SizedNetwork,
    SpikingNetwork,
)
from fedspike.networks import Dense as Hidden
from fedspike.networks.operators import PLAIN
from fedspike.networks.synapses import pool
from fedspike.parts.codes import Address, Code, Direct, Rate
from fedspike.parts.losses import CrossEntropy, Loss, SpikeCountMSE
from fedspike.parts.neurons import LIF
from fedspike.parts.normalisations import BNTT, Normalisation, Unnormalised
from fedspike.parts.optimisers import Adam
from fedspike.parts.read_outs import MeanMembrane
from fedspike.randomness import stream
from running import devices, sample, simulate

SMALL = ConvolutionalLayers((2, 8, 6), (Conv(3), Pool("max"), Conv(4, 3, 2), Hidden(5)), classes=3)
AVERAGES = ConvolutionalLayers(
    (2, 8, 6), (Conv(3, 2, 2, 0), Conv(4), Pool("average", 1)), classes=3
)
GROUPS = ConvolutionalLayers(
    (2, 8, 6), (Conv(4, 3, 2, groups=2), Conv(8, groups=4), Pool(cuts=True), Conv(5, 1)), classes=3
)
EACH = {"maxima": SMALL, "averages": AVERAGES, "groups": GROUPS}
each = pytest.mark.parametrize("architecture", EACH.values(), ids=EACH)
ADDRESS = Address(0, "encode", 1, (0, 1, 2), (0, 0, 0))


def stacked(network: SizedNetwork, clients: int = 3, scale: float = 1.0) -> Parameters:
    models = [network.init(stream(0, "init", client=k)) for k in range(clients)]
    return {name: scale * torch.stack([m[name] for m in models]).double() for name in models[0]}


def learn(
    network: SizedNetwork,
    loss: Loss,
    parameters: Parameters,
    batch: Batch,
    running: Parameters | None = None,
) -> Learned:
    return engine_for("cpu", batch.pixels.dtype).learn(
        network, loss, parameters | (running or {}), batch
    )


def images(clients: int = 3, batch: int = 5) -> Tensor:
    return torch.rand(clients, batch, 96).double() * (torch.rand(clients, batch, 96) > 0.4)


def test_layers_follow_from_the_stages() -> None:
    assert SMALL.described == {
        "conv1": Convolution(2, 3, 3, 8, 6, padding=1),
        "pool1": CountedPool("max", 3, 8, 6),
        "conv2": Convolution(3, 4, 3, 4, 3, stride=2, padding=1),
        "hidden": Dense(16, 5),
        "output": Dense(5, 3),
    }
    assert SMALL.names == ("conv1", "conv2", "hidden", "output")
    assert SMALL.layers == (96, 144, 36, 16, 5, 3)
    two = ConvolutionalLayers((1, 4, 4), (Conv(2), Hidden(7), Hidden(6)), classes=3)
    assert two.names == ("conv1", "hidden1", "hidden2", "output")


def test_parameters_are_named_shaped_and_drawn_as_torchs() -> None:
    model = SMALL.init(stream(0, "init"))
    torchs = nn.ModuleDict(
        {
            "conv1": nn.Conv2d(2, 3, 3),
            "conv2": nn.Conv2d(3, 4, 3),
            "hidden": nn.Linear(16, 5),
            "output": nn.Linear(5, 3),
        }
    ).state_dict()
    assert {n: w.shape for n, w in model.items()} == {n: w.shape for n, w in torchs.items()}
    assert list(model) == list(torchs)
    assert sum(w.numel() for w in model.values()) == SMALL.parameters
    large = Convolutional().over((3, 32, 32), classes=10).init(stream(0, "init"))
    for name, weight in large.items():
        fan_in = large[name.replace("bias", "weight")][0].numel()
        assert 0.7 < float(weight.abs().max()) * fan_in**0.5 <= 1
    kernels = large["conv2.weight"]
    assert float(kernels.abs().max()) * 12 > 0.999  # of 4,608 draws; once in 100 seeds it is less
    assert abs(float(kernels.mean())) * 12 < 5 / np.sqrt(3 * kernels.numel())


def test_without_convolutions_it_is_the_dense_one() -> None:
    dense, other = DenseLayers((96, 5, 3)), ConvolutionalLayers((2, 8, 6), (Hidden(5),), classes=3)
    assert (dense.described, dense.names) == (other.described, other.names)
    one, two = (shape.init(stream(0, "init")) for shape in (dense, other))
    assert all(torch.equal(one[name], two[name]) for name in one)


def module(architecture: ConvolutionalLayers, own: Parameters) -> nn.Sequential:
    """One client's conventional network in torch."""
    modules: list[nn.Module] = []
    for name, layer in architecture.described.items():
        if isinstance(layer, CountedPool):
            kind = nn.AvgPool2d if layer.kind == "average" else nn.MaxPool2d
            modules.append(kind(layer.size))
            continue
        made: nn.Module
        if isinstance(layer, Convolution):
            channels = (layer.in_channels, layer.out_channels)
            how = (layer.kernel, layer.stride, layer.padding)
            made = nn.Conv2d(*channels, *how, groups=layer.groups)
        else:
            modules.append(nn.Flatten())
            made = nn.Linear(layer.inputs, layer.outputs)
        made.double().load_state_dict({part: own[f"{name}.{part}"] for part in ("weight", "bias")})
        modules += [made, nn.ReLU()]
    return nn.Sequential(*modules[:-1])


@each
def test_each_client_meets_its_own_kernels_and_gets_its_own_gradients(
    architecture: ConvolutionalLayers,
) -> None:
    network = ConventionalNetwork(architecture)
    parameters, x, labels = stacked(network), images(), torch.randint(3, (3, 5))
    present = torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [True] + [False] * 4])
    batch = Batch.of(x, ADDRESS, labels, present)
    forward, losses, gradients = learn(network, CrossEntropy(), parameters, batch)
    for k, count in enumerate((5, 3, 1)):
        theirs = module(architecture, {name: w[k] for name, w in parameters.items()})
        scores = theirs(x[k, :count].reshape(count, 2, 8, 6))
        torch.testing.assert_close(forward.scores[k, :count], scores, rtol=0, atol=1e-12)
        loss = nn.functional.cross_entropy(scores, labels[k, :count])
        slopes = torch.autograd.grad(loss, list(theirs.parameters()))
        torch.testing.assert_close(losses[k], loss.detach(), rtol=0, atol=1e-12)
        for ours, slope in zip(gradients.values(), slopes, strict=True):
            torch.testing.assert_close(ours[k], slope, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "network",
    [
        ConventionalNetwork(SMALL),
        SpikingNetwork(AVERAGES, SNN(4, neuron=LIF(threshold=0.3), read_out=MeanMembrane())),
    ],
    ids=["ann", "snn"],
)
def test_samples_in_lots_learn_what_all_at_once_do(
    network: SizedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses, gradients, counts; a client may have nothing in a lot."""
    parameters, x, labels = stacked(network, scale=2.0), images(), torch.randint(3, (3, 5))
    present = torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [True] + [False] * 4])
    batch = Batch.of(x, ADDRESS, labels, present)
    whole = learn(network, CrossEntropy(), parameters, batch)
    assert network.samples_in_cache is not None
    assert network.samples_in_cache > 5
    monkeypatch.setattr("fedspike.networks.sized_layers._CACHED", 1)
    assert network.samples_in_cache == 1
    alone = learn(network, CrossEntropy(), parameters, batch)
    one, all_of = counted(alone[0]), counted(whole[0])
    assert all(torch.equal(one[place], all_of[place]) for place in all_of)
    torch.testing.assert_close(alone[0].scores, whole[0].scores, rtol=0, atol=1e-12)
    torch.testing.assert_close(alone[1], whole[1], rtol=0, atol=1e-12)
    for name, slope in whole[2].items():
        assert slope.abs().sum() > 0
        torch.testing.assert_close(alone[2][name], slope, rtol=0, atol=1e-12)


def test_a_quantised_network_with_many_bits_is_the_conventional_one() -> None:
    parameters, batch = stacked(ConventionalNetwork(SMALL)), Batch.of(images(), ADDRESS)
    exact, fine, coarse = (
        ConventionalNetwork(SMALL, quantiser).run(parameters, batch).scores
        for quantiser in (None, Quantiser(bits=16, ceiling=8.0), Quantiser(bits=1))
    )
    torch.testing.assert_close(fine, exact, rtol=0, atol=1e-3)
    assert (coarse - exact).abs().max() > 0.01


@each
def test_events_and_the_synapses_they_meet_are_counted_one_by_one(
    architecture: ConvolutionalLayers,
) -> None:
    """Against a loop over events that asks which outputs change."""
    network = SpikingNetwork(architecture, SNN(4))
    parameters = {n: w.abs() for n, w in stacked(network, 2).items()}  # so that all layers fire
    spikes = network.code.spikes(images(2, 2), Address(0, "encode", 1, (0, 1), (0, 0)), 4)
    forward = network.forward(parameters, spikes, torch.tensor([[True, True], [True, False]]))
    layer = architecture.described["conv1"]
    assert isinstance(layer, Convolution)
    for k, samples in enumerate((2, 1)):
        entered = spikes[:, k, :samples].sum((0, 1))
        met = 0
        for at in range(96):
            single = torch.zeros(1, 96, dtype=torch.double)
            single[0, at] = 1
            reached = nn.functional.conv2d(
                single.view(1, 2, 8, 6),
                torch.ones_like(parameters["conv1.weight"][k]),
                stride=layer.stride,
                padding=layer.padding,
                groups=layer.groups,
            )
            met += int(entered[at]) * int(reached.sum())
        assert int(forward.events_in["conv1"][k]) == int(entered.sum()) > 0
        assert int(forward.synapses_met["conv1"][k]) == met
    assert forward.synapses_met.keys() == {"conv1", "conv2", "conv3"} & architecture.weighted.keys()
    assert forward.events_in.keys() == architecture.described.keys()
    assert forward.events_out[1] == forward.scores[1, 0].sum() > 0


def test_of_a_maximum_of_spikes_come_spikes_and_of_an_average_shares() -> None:
    windows = ConvolutionalLayers((1, 2, 2), (Conv(1, 1, 1, 0), Pool("max")), classes=2)
    averaged = ConvolutionalLayers((1, 2, 2), (Conv(1, 1, 1, 0), Pool("average")), classes=2)
    always = {"conv1.weight": torch.full((1, 1, 1, 1, 1), 9.0), "conv1.bias": torch.zeros(1, 1)}
    always |= {"output.weight": torch.tensor([[[1.0], [2.0]]]), "output.bias": torch.zeros(1, 2)}
    patterns = torch.tensor([[0.0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1]])
    spikes = patterns.view(1, 1, 4, 4)
    neuron = LIF(beta=0.0, reset="zero")
    for shape, shares in ((windows, [0, 1, 1, 1]), (averaged, [0, 0.25, 0.5, 1])):
        network = SpikingNetwork(shape, SNN(1, neuron=neuron, read_out=MeanMembrane()))
        forward = network.forward(always, spikes)
        assert forward.scores[0].tolist() == [[share, 2 * share] for share in shares]
        assert {name: int(count) for name, count in forward.events_in.items()} == {
            "conv1": 7,
            "pool1": 7,
            "output": 3,
        }


def test_a_constant_input_is_convolved_once_and_is_the_same_as_at_every_step() -> None:
    network = SpikingNetwork(SMALL, SNN(5, code=Direct()))
    parameters, x = stacked(network), images()
    spikes = network.code.spikes(x, ADDRESS, 5)
    once = network.forward(parameters, spikes)
    at_every_step = SpikingNetwork(SMALL, SNN(5)).forward(parameters, spikes.clone())
    torch.testing.assert_close(once.scores, at_every_step.scores, rtol=0, atol=0)
    assert (5 * once.events_in["conv1"]).tolist() == at_every_step.events_in["conv1"].tolist()
    assert once.events_in["conv1"].tolist() == [int(own.count_nonzero()) for own in x]


@pytest.mark.parametrize("normalisation", [Unnormalised(), BNTT()], ids=["plain", "normalised"])
@pytest.mark.parametrize("code", [Rate(), Direct()], ids=["rate", "direct"])
@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
@each
def test_in_float32_compiled_neurons_are_the_plain_ones(
    architecture: ConvolutionalLayers,
    reset: Literal["subtract", "zero", "none"],
    code: Code,
    normalisation: Normalisation,
) -> None:
    """A spike at the very threshold may flip between float32 and float64; none does here."""
    network = SpikingNetwork(
        architecture,
        SNN(6, neuron=LIF(0.8, 0.5, reset), code=code, normalisation=normalisation),
    )
    parameters = stacked(network, scale=2.0)
    running = {name: s.double().expand(3, *s.shape) for name, s in network.statistics().items()}
    batch = Batch.of(images(), ADDRESS, torch.randint(3, (3, 5)))
    exact = learn(network, SpikeCountMSE(), parameters, batch, running)
    single = {name: w.float() for name, w in parameters.items()}
    running = {name: s.float() for name, s in running.items()}
    pixels = Batch(batch.pixels.float(), batch.positions, batch.labels, batch.address)
    forward, losses, gradients = learn(network, SpikeCountMSE(), single, pixels, running)
    assert forward.events_in["output"].min() > 0
    assert torch.equal(forward.scores.double(), exact[0].scores)
    torch.testing.assert_close(losses.double(), exact[1], rtol=1e-5, atol=1e-6)
    for name, slope in exact[2].items():
        scale = float(slope.abs().max())
        torch.testing.assert_close(gradients[name].double(), slope, rtol=0, atol=1e-4 * scale)


def test_the_default_for_both_sizes_of_image() -> None:
    for image in ((1, 28, 28), (3, 32, 32)):
        for kind in ("average", "max"):
            architecture = Convolutional(pool=kind).over(image, classes=10)
            quarter = image[1] // 4
            assert architecture.described["hidden"] == Dense(32 * quarter * quarter, 128)
            assert architecture.described["pool2"].kind == kind  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("image", "stages", "message"),
    [
        ((1, 28, 28), (Pool(), Conv(4)), "first a Conv"),
        ((1, 28, 28), (Hidden(4), Conv(4)), "no Conv or Pool behind a Dense"),
        ((1, 28, 28), (Conv(4), Hidden(4), Pool()), "no Conv or Pool behind a Dense"),
        ((1, 28, 28), (Conv(4, kernel=40, padding=5),), "a kernel no larger than the padded image"),
        ((1, 7, 7), (Conv(4), Pool()), "the last of which fill no window"),
        ((0, 28, 28), (Conv(4),), "an image, neurons and classes of at least 1"),
        ((1, 28, 28), (Conv(4), Hidden(0)), "neurons and classes of at least 1"),
        ((1, 28, 28), (Conv(4), Conv(6, groups=4)), "of 4 to 6 channels in 4 groups"),
        ((3, 28, 28), (Conv(4, groups=2),), "of 3 to 4 channels in 2 groups"),
    ],
)
def test_impossible_architectures(
    image: tuple[int, int, int], stages: tuple[Conv | Pool | Hidden, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        ConvolutionalLayers(image, stages, classes=10)


@pytest.mark.parametrize(
    "given",
    [{"channels": "x"}, {"channels": 0}, {"kernel": 2.0}, {"groups": 0}, {"padding": "same"}],
    ids=str,
)
def test_impossible_convolutions(given: dict[str, Any]) -> None:
    (name,) = given
    with pytest.raises(InputError, match=f"Conv: {name} = "):
        Conv(**{"channels": 8} | given)


@pytest.mark.parametrize("normalisation", [Unnormalised(), BNTT()], ids=["plain", "normalised"])
@pytest.mark.parametrize("kind", ["ann", "snn"])
def test_neither_parts_of_clients_nor_threads_change_a_bit(
    kind: str, normalisation: Normalisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = ConvolutionalLayers((1, 28, 28), (Conv(2, stride=2), Pool(), Conv(3), Hidden(8)), 10)
    network: SizedNetwork = ConventionalNetwork(shape)
    if kind == "snn":
        network = SpikingNetwork(
            shape,
            SNN(4, read_out=MeanMembrane(), normalisation=normalisation),
        )
    fleet = devices(tuple(np.arange(n) + 40 * n for n in (33, 32, 31, 17, 2, 1)))
    models = []
    before = torch.get_num_threads()
    for block, threads in ((2**40, 1), (2**20, 2), (1, 3)):
        monkeypatch.setattr("fedspike.engine.engines.BLOCK_BYTES", block)
        torch.set_num_threads(threads)
        *_, last = simulate(
            network=network,
            algorithm=FedAvg(),
            devices=fleet,
            training=Backpropagation(CrossEntropy(), Adam(5e-3), batch_size=16),
            dataset=sample(tested=37),
            seed=0,
            rounds=2,
        )
        assert torch.get_num_threads() == threads
        models.append(last)
    torch.set_num_threads(before)
    first, *others = models
    for other in others:
        assert (first.training_loss, first.activity) == (other.training_loss, other.activity)
        one, two = first.state.tensors(), other.state.tensors()
        assert all(torch.equal(one[path], two[path]) for path in one)


@pytest.mark.parametrize("kind", ["average", "max"])
def test_a_pool_that_cuts_is_torch_s(kind: Literal["average", "max"]) -> None:
    layer = CountedPool(kind, 2, 7, 5)
    rows = torch.rand(1, 3, 70).requires_grad_()
    made = pool(layer, rows, PLAIN)
    torchs = {"average": nn.AvgPool2d(2), "max": nn.MaxPool2d(2)}
    images = rows.detach().reshape(3, 2, 7, 5).requires_grad_()
    theirs = torchs[kind](images)
    torch.testing.assert_close(made, theirs.reshape(1, 3, -1), rtol=0, atol=1e-7)
    weights = torch.rand_like(made)
    (ours,) = torch.autograd.grad((made * weights).sum(), rows)
    (expected,) = torch.autograd.grad((theirs.reshape(1, 3, -1) * weights).sum(), images)
    torch.testing.assert_close(ours.reshape(3, 2, 7, 5), expected, rtol=0, atol=1e-7)
    assert (layer.inputs, layer.outputs) == (70, made.shape[2])
    joined = {"average": "add", "max": "compare"}[kind]
    assert layer.operations(spiking=False)["pool"]["output"][joined] == 3
