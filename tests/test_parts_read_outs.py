"""Read-outs against snnTorch; the gradient of the first spike against adding and removing each spike."""

import pytest
import snntorch.functional
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import parts_example
from fedspike.parts.losses import CrossEntropy
from fedspike.parts.read_outs import FirstSpike, MeanMembrane, ReadOut, SpikeCount

PRESENT = torch.ones(2, 3, dtype=torch.bool)


def drawn(seed: int, steps: int, rate: float) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(steps, 2, 3, 5, generator=generator) < rate).double()


cases = given(seed=st.integers(0, 2**31), steps=st.integers(1, 12), rate=st.floats(0, 1))


@cases
def test_the_first_spike_is_at_the_first_step_that_fires(
    seed: int, steps: int, rate: float
) -> None:
    spikes = drawn(seed, steps, rate)
    scores = FirstSpike().scores(spikes)
    for place in torch.cartesian_prod(*map(torch.arange, spikes.shape[1:])).tolist():
        train = spikes[:, *place].tolist()
        assert scores[*place] == -([*train, 1.0].index(1.0))


@cases
def test_the_gradient_of_the_first_spike_is_what_one_spike_more_or_less_changes(
    seed: int, steps: int, rate: float
) -> None:
    spikes = drawn(seed, steps, rate).requires_grad_()
    (gradient,) = torch.autograd.grad(FirstSpike().scores(spikes).sum(), spikes)
    with torch.no_grad():
        for t in range(steps):
            with_it, without_it = spikes.clone(), spikes.clone()
            with_it[t], without_it[t] = 1, 0
            change = FirstSpike().scores(with_it) - FirstSpike().scores(without_it)
            assert torch.equal(gradient[t], change)
    assert (gradient >= 0).all(), "no spike more could make the first one later"


@cases
def test_the_first_spike_is_snntorchs_where_there_is_one(
    seed: int, steps: int, rate: float
) -> None:
    """Theirs fires at the last step where there is no spike, and has the derivative 1 at the first only."""
    spikes = drawn(seed, steps, rate).float()
    theirs = snntorch.functional.SpikeTime().first_spike_fn(spikes[:, 0].clone())
    ours = -FirstSpike().scores(spikes)[0]
    assert torch.equal(ours.clamp(max=steps - 1), theirs)
    leaf = spikes[:, :1].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(FirstSpike().scores(leaf).sum(), leaf)
    at_first = gradient.gather(0, theirs.long()[None, None])
    assert (at_first >= 1).all(), "it points the same way, and at least as far"


def test_more_spikes_never_score_less_and_later_ones_less() -> None:
    spikes = drawn(seed=1, steps=9, rate=0.3)
    more = spikes.maximum(drawn(seed=2, steps=9, rate=0.2))
    for read_out in (SpikeCount(), FirstSpike()):
        assert (read_out.scores(more) >= read_out.scores(spikes)).all()
        assert (read_out.scores(more) > read_out.scores(spikes)).any()
    a_step_later = torch.cat([torch.zeros_like(spikes[:1]), spikes[:-1]])
    expected = (FirstSpike().scores(spikes) - 1).clamp(min=-9)
    assert torch.equal(FirstSpike().scores(a_step_later), expected)


@cases
def test_cross_entropy_of_the_counts_is_snntorchs(seed: int, steps: int, rate: float) -> None:
    spikes = drawn(seed, steps, rate).float()
    labels = torch.arange(6).reshape(2, 3) % 5
    ours = CrossEntropy()(SpikeCount().scores(spikes), labels, PRESENT, 8)
    for k in range(2):
        theirs = snntorch.functional.ce_count_loss()(spikes[:, k], labels[k])
        torch.testing.assert_close(ours[k], theirs)


@given(seed=st.integers(0, 2**31))
def test_cross_entropy_of_first_spikes_is_snntorchs_where_all_fire(seed: int) -> None:
    spikes = drawn(seed, steps=8, rate=0.3).float()
    spikes[-1] = 1  # the last step: what they assume of the silent
    labels = torch.arange(6).reshape(2, 3) % 5
    ours = CrossEntropy()(FirstSpike().scores(spikes), labels, PRESENT, 8)
    for k in range(2):
        theirs = snntorch.functional.ce_temporal_loss()(spikes[:, k].clone(), labels[k])
        torch.testing.assert_close(ours[k], theirs)


def test_the_mean_membrane_is_the_mean_of_the_steps() -> None:
    membranes = torch.randn(7, 2, 3, 5, dtype=torch.float64)
    scores = MeanMembrane().scores(membranes)
    by_hand = torch.zeros(2, 3, 5, dtype=torch.float64)
    for t in range(7):
        by_hand += membranes[t] / 7
    torch.testing.assert_close(scores, by_hand, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("read_out", parts_example.READ_OUTS, ids=parts_example.name)
def test_a_sample_is_read_out_alone(read_out: ReadOut) -> None:
    spikes = drawn(seed=3, steps=6, rate=0.4)
    alone = read_out.scores(spikes[:, 1:, 2:])
    assert torch.equal(read_out.scores(spikes)[1:, 2:], alone)


def test_only_membranes_are_read_without_firing_and_only_counts_are_counts() -> None:
    assert [kind.spiking for kind in (SpikeCount, MeanMembrane, FirstSpike)] == [True, False, True]
    assert [kind.counts for kind in (SpikeCount, MeanMembrane, FirstSpike)] == [True, False, False]
