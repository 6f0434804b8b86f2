"""BNTT against torch's, step by step; test_federation_normalisation.py has its running statistics."""

import pytest
import torch
from torch import Tensor, nn

import parts_example
from fedspike.layers.shapes import Convolution, Dense
from fedspike.parts.normalisations import BNTT, Normalisation, Unnormalised

Parameters = dict[str, Tensor]
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


@pytest.mark.parametrize("normalisation", parts_example.NORMALISATIONS, ids=parts_example.name)
def test_neither_company_nor_padding_changes_a_bit_of_a_client(
    normalisation: Normalisation,
) -> None:
    currents, gamma, running = drawn(3, 8)
    present = torch.ones(CLIENTS, BATCH, dtype=torch.bool)
    together, after = normalisation.normalised(currents, gamma, running, present)
    alone = {name: numbers[:1] for name, numbers in running.items()}
    padding = nn.functional.pad
    ours, own_after = normalisation.normalised(
        padding(currents[:, :1], (0, 0, 0, 4), value=7.0),
        gamma[:1],
        alone,
        padding(present[:1], (0, 4)),
    )
    assert torch.equal(ours[:, 0, :BATCH], together[:, 0])
    assert all(torch.equal(own_after[name][0], after[name][0]) for name in after)


def test_what_stands_behind_a_layer() -> None:
    dense, convolution = Dense(6, 5, bias=False), Convolution(1, 4, 3, 8, 8, bias=False)
    for layer, channels, places in ((dense, 5, 1), (convolution, 4, 36)):
        assert Unnormalised().behind(layer, STEPS) is None
        assert Unnormalised().behind(layer, STEPS) is None
        for statistics, pooled in (("pooled", True), ("local", False)):
            norm = BNTT(statistics).behind(layer, STEPS)  # type: ignore[arg-type]
            assert (norm.channels, norm.positions, norm.time_steps) == (channels, places, STEPS)
            assert (norm.shift, norm.pooled) == (False, pooled)
