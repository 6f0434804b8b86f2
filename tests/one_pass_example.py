"""A batch of images for the compiled passes, and what they are held against."""

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fedspike import engine
from fedspike.engine.cpu import CompiledEngine
from fedspike.engine.plain_torch import PlainEngine
from fedspike.networks import Batch, ConventionalNetwork, Forward, Layers, SpikingNetwork
from fedspike.parts.codes import Address
from fedspike.parts.losses import Loss
from fedspike.randomness import stream

ENGINE, PLAIN = CompiledEngine(), PlainEngine(torch.device("cpu"))


def drawn(size: dict[str, int]) -> tuple[torch.Tensor, Address, torch.Generator]:
    """Pixels with zeros and ones among them."""
    generator = torch.Generator().manual_seed(size["seed"])
    shape = (size["clients"], size["batch"], size["inputs"])
    pixels = (1.5 * torch.rand(shape, generator=generator) - 0.25).clamp(0, 1)
    clients = tuple(range(4, 4 + size["clients"]))
    first = tuple(int(x) for x in torch.randint(0, 100, (size["clients"],), generator=generator))
    return pixels, Address(size["seed"], "encode", 2, clients, first), generator


def batch_of(size: dict[str, int]) -> tuple[Batch, torch.Generator]:
    """Some of its images are absent, those there come in any order."""
    pixels, address, generator = drawn(size)
    shape = pixels.shape[:2]
    positions = torch.randperm(shape[0] * shape[1], generator=generator).view(shape)
    positions[torch.rand(shape, generator=generator) < 0.2] = -1
    positions[:, 0] = positions[:, 0].clamp(min=0)  # a client without any has no mean
    labels = torch.randint(0, size["outputs"], shape, generator=generator)
    return Batch(pixels.flatten(0, 1), positions, labels, address), generator


def stacked(layers: Layers, clients: tuple[int, ...], scale: float) -> dict[str, Tensor]:
    models = [layers.init(stream(0, "init", client=k)) for k in clients]
    return {name: torch.stack([m[name] for m in models]) * scale for name in models[0]}


def assert_one_pass_is_plain_torch(
    network: SpikingNetwork | ConventionalNetwork, loss: Loss, batch: Batch
) -> Forward:
    """Weights are multiples of a power of 2, so that no sum is rounded: all is equal but the gradients."""
    clients = batch.address.clients
    drawn = stacked(network.architecture, clients, scale=4)
    parameters = {name: (weight * 32).round() / 32 for name, weight in drawn.items()}
    for name, constant in network.init(stream(0, "init")).items():
        if name not in parameters:  # what neurons learn; some of it beyond its end
            generator = torch.Generator().manual_seed(len(name))
            eighths = torch.randint(1, 11, (len(clients), *constant.shape), generator=generator)
            parameters[name] = eighths / 8
    forward, losses, gradients = ENGINE.learn(network, loss, parameters, batch)
    plain, expected, slopes = PLAIN.learn(network, loss, parameters, batch)
    there = batch.present
    torch.testing.assert_close(forward.scores[there], plain.scores[there].detach())
    assert losses.dtype == torch.float64, "it did not go through in one pass"
    assert torch.equal(forward.events_out, plain.events_out)
    for found, counted in (
        (forward.events_in, plain.events_in),
        (forward.synapses_met, plain.synapses_met),
    ):
        assert found.keys() == counted.keys()
        assert all(torch.equal(found[name], number) for name, number in counted.items())
    torch.testing.assert_close(losses.float(), expected, rtol=1e-5, atol=1e-6)
    for name, slope in slopes.items():
        scale = max(float(slope.abs().max()), 1e-3)
        torch.testing.assert_close(gradients[name], slope, rtol=0, atol=1e-5 * scale)
    return forward


def assert_same_bits(bits: Callable[[int], list[Tensor]], patch: pytest.MonkeyPatch) -> None:
    """Of 1 and 3 clients, with each instruction set and 1 to 4 threads."""
    before, results = torch.get_num_threads(), {}
    for kernels, threads in itertools.product(engine.compiled.instruction_sets, (1, 2, 4)):
        patch.setattr(engine, "kernels", kernels)
        torch.set_num_threads(threads)
        for clients in (1, 3):
            results[kernels.name, threads, clients] = bits(clients)
            assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    best = engine.compiled.instruction_sets[0].name
    for (name, threads, clients), numbers in results.items():
        for a, b in zip(numbers, results[best, 2, clients], strict=True):
            assert torch.equal(a, b), (clients, name, threads)
