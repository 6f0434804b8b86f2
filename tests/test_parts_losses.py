"""Losses against snnTorch and torch, the laws of all, and which scores they take."""

import math
from dataclasses import replace

import pytest
import snntorch.functional
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import parts_example
from fedspike.engine.engines import losses_of
from fedspike.errors import InputError
from fedspike.networks import Batch
from fedspike.parts.codes import Address
from fedspike.parts.losses import (
    CalibratedCrossEntropy,
    CrossEntropy,
    Loss,
    MaskedCrossEntropy,
    RestrictedCrossEntropy,
    SpikeCountMSE,
    VacantClasses,
)
from fedspike.parts.read_outs import FirstSpike, MeanMembrane, ReadOut, SpikeCount

each_loss = pytest.mark.parametrize("loss", parts_example.LOSSES, ids=parts_example.name)
STEPS = 10


def all_present(labels: Tensor) -> Tensor:
    return torch.ones_like(labels, dtype=torch.bool)


@given(
    steps=st.integers(1, 60),
    correct=parts_example.shares,
    incorrect=parts_example.shares,
    seed=st.integers(0, 2**31),
)
def test_spike_count_mse_is_snntorchs(
    steps: int, correct: float, incorrect: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    spikes = torch.randint(0, 2, (steps, 5, 10), generator=generator).float()
    labels = torch.randint(0, 10, (1, 5), generator=generator)
    theirs = snntorch.functional.mse_count_loss(correct_rate=correct, incorrect_rate=incorrect)
    ours = SpikeCountMSE(correct, incorrect)(
        spikes.sum(0).unsqueeze(0), labels, all_present(labels), steps
    )
    torch.testing.assert_close(ours[0], theirs(spikes, labels[0]))


def test_cross_entropy_is_torchs() -> None:
    scores, labels = torch.randn(1, 6, 10), torch.randint(0, 10, (1, 6))
    ours = CrossEntropy()(scores, labels, all_present(labels), STEPS)
    torch.testing.assert_close(ours[0], torch.nn.functional.cross_entropy(scores[0], labels[0]))


@each_loss
def test_absent_samples_have_no_say(loss: Loss) -> None:
    scores = torch.rand(2, 4, 10, requires_grad=True)
    labels = torch.randint(0, 10, (2, 4))
    present = torch.tensor([[True] * 4, [True, True, False, False]])
    value = loss(scores, labels, present, STEPS)
    alone = loss(scores[1:, :2], labels[1:, :2], present[1:, :2], STEPS)
    torch.testing.assert_close(value[1], alone[0])
    (gradient,) = torch.autograd.grad(value.sum(), scores)
    assert gradient[1, 2:].abs().sum() == 0
    assert gradient[1, :2].abs().sum() > 0
    assert loss(scores, labels, torch.zeros_like(present), STEPS).tolist() == [0, 0]


@each_loss
def test_padding_changes_no_bit_of_a_loss(loss: Loss) -> None:
    scores, labels = torch.randn(2, 37, 10), torch.randint(0, 10, (2, 37))
    more = torch.nn.functional.pad
    padded = (
        more(scores, (0, 0, 0, 27), value=5.0),
        more(labels, (0, 27)),
        more(all_present(labels), (0, 27)),
    )
    assert torch.equal(loss(*padded, STEPS), loss(scores, labels, all_present(labels), STEPS))


@each_loss
def test_the_right_label_is_the_better_one(loss: Loss) -> None:
    """For scores of which one is much higher than the others."""
    scores = torch.tensor([0.0, 0.0, 10.0]).reshape(1, 1, 3)
    by_label = [
        float(loss(scores, torch.tensor([[label]]), torch.tensor([[True]]), STEPS))
        for label in range(3)
    ]
    assert by_label[2] < by_label[0] == by_label[1]


@pytest.mark.parametrize("read_out", [*parts_example.READ_OUTS, None], ids=parts_example.name)
def test_cross_entropy_takes_all_scores(read_out: ReadOut | None) -> None:
    CrossEntropy().demand_scores(read_out, STEPS)


def test_spike_count_mse_takes_only_spike_counts() -> None:
    SpikeCountMSE().demand_scores(SpikeCount(), STEPS)
    for read_out, name in (
        (MeanMembrane(), "MeanMembrane"),
        (FirstSpike(), "FirstSpike"),
        (None, "a network's values"),
    ):
        with pytest.raises(InputError, match=f"SpikeCountMSE of {name}\n"):
            SpikeCountMSE().demand_scores(read_out, STEPS)


def test_the_right_class_is_asked_for_more_whole_spikes() -> None:
    assert SpikeCountMSE().targets(10) == (8, 2)
    for loss, steps, asked in (
        (SpikeCountMSE(), 1, "0 spikes asked for the right class and 0 for the wrong"),
        (SpikeCountMSE(0.4, 0.5), 10, "4 spikes asked for the right class and 5 for the wrong"),
    ):
        with pytest.raises(InputError, match=asked):
            loss.demand_scores(SpikeCount(), steps)


def test_masked_cross_entropy_leaves_absent_classes_alone() -> None:
    """With all classes there it is the cross-entropy; else the scores of the others move nothing."""
    draw = torch.Generator().manual_seed(0)
    scores = torch.randn(1, 8, 4, generator=draw, dtype=torch.float64)
    labels = torch.tensor([[0, 1, 2, 3, 0, 1, 2, 3]])
    there = all_present(labels)
    assert torch.equal(
        MaskedCrossEntropy()(scores, labels, there, STEPS),
        CrossEntropy()(scores, labels, there, STEPS),
    )
    few = there & (labels < 2)  # padding has labels, and none of them counts
    free = scores.clone().requires_grad_()
    (loss,) = MaskedCrossEntropy()(free, labels, few, STEPS)
    loss.backward()
    assert free.grad is not None
    assert torch.equal(free.grad[..., 2:], torch.zeros_like(free.grad[..., 2:]))
    assert float(free.grad[..., :2].abs().sum()) > 0
    zeroed = scores * torch.tensor([1.0, 1.0, 0.0, 0.0])
    assert torch.equal(loss.detach(), CrossEntropy()(zeroed, labels, few, STEPS)[0])


HELD = torch.tensor([[6.0, 1.0, 0.0, 1.0], [0.0, 0.0, 16.0, 0.0]], dtype=torch.float64)
P = HELD / HELD.sum(1, keepdim=True)


@pytest.mark.parametrize(
    ("loss", "factor", "exponential"),
    [
        (CalibratedCrossEntropy(), torch.ones(2, 4), P.clamp(min=1e-9)),
        (CalibratedCrossEntropy(tau=0.5), torch.ones(2, 4), P.clamp(min=1e-9).sqrt()),
        (CalibratedCrossEntropy("margin", 2.0), torch.ones(2, 4), (-2 / HELD.sqrt().sqrt()).exp()),
        (RestrictedCrossEntropy(0.7), torch.where(HELD > 0, 1.0, 0.7), torch.ones(2, 4)),
        (RestrictedCrossEntropy(1.0), torch.ones(2, 4), torch.ones(2, 4)),
    ],
    ids=parts_example.name,
)
def test_losses_of_a_clients_classes_are_their_equations(
    loss: Loss, factor: Tensor, exponential: Tensor
) -> None:
    """-log of what the label's weighted exponential is of all; the gradient is that of differences."""
    draw = torch.Generator().manual_seed(0)
    z = torch.randn(2, 3, 4, generator=draw, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([[0, 3, 0], [2, 2, 0]])
    present = torch.tensor([[True, True, True], [True, True, False]])
    batch = Batch.of(torch.zeros(2, 3, 1), Address(0, "", 1, (0, 1), (0, 0)), labels, present)
    batch = replace(batch, held=HELD)
    weighed = exponential.unsqueeze(1) * (factor.unsqueeze(1) * z).exp()
    chance = weighed.gather(2, labels.unsqueeze(2)).squeeze(2) / weighed.sum(2)
    expected = torch.stack([-chance[0].log().mean(), -chance[1, :2].log().mean()])
    torch.testing.assert_close(losses_of(loss, z, batch, STEPS), expected)
    assert torch.autograd.gradcheck(lambda z: losses_of(loss, z, batch, STEPS), z)


def test_vacant_classes_are_kept_as_the_received_model_has_them() -> None:
    """By hand, of a client with classes 0 and 2 of four; of all classes, and of one, it is a number too."""
    draw = torch.Generator().manual_seed(0)
    z, q = torch.randn(2, 1, 3, 4, generator=draw, dtype=torch.float64)
    z.requires_grad_()
    labels = torch.tensor([[0, 2, 0]])
    batch = Batch.of(torch.zeros(1, 3, 1), Address(0, "", 1, (0,), (0,)), labels)
    batch = replace(batch, held=torch.tensor([[3.0, 0, 1, 0]], dtype=torch.float64), received=q)
    s = z[0] - torch.tensor([0.75, 1e-9, 0.25, 1e-9]).double().log() - math.log(4)
    suppressed = (
        0.75 * ((s[1, 0].exp() + 2) / 3).log()
        + 0.25 * ((s[0, 2].exp() + s[2, 2].exp() + 1) / 3).log()
    )
    kept, own = q[0][:, [1, 3]].softmax(1), z[0][:, [1, 3]].softmax(1)
    divergence = (kept * (kept / own).log()).sum() / 3
    calibrated = losses_of(CalibratedCrossEntropy(), z, batch, STEPS)
    expected = calibrated + 0.2 * suppressed + 0.3 * divergence
    loss = VacantClasses(distillation=0.3, suppression=0.2)
    torch.testing.assert_close(losses_of(loss, z, batch, STEPS), expected)
    assert torch.autograd.gradcheck(lambda z: losses_of(loss, z, batch, STEPS), z)
    for held in ([1.0, 1, 1, 1], [3.0, 0, 0, 0]):
        one = replace(batch, held=torch.tensor([held]).double(), labels=torch.zeros_like(labels))
        losses = losses_of(loss, z, one, STEPS)
        (slopes,) = torch.autograd.grad(losses.sum(), z)
        assert losses.isfinite().all()
        assert slopes.isfinite().all()


def test_a_batch_of_its_own_stands_for_all_that_its_client_has() -> None:
    z, labels = torch.randn(1, 4, 3, dtype=torch.float64), torch.tensor([[0, 1, 1, 2]])
    present = labels < 2
    address = Address(0, "", 1, (0,), (0,))
    batch = Batch.of(torch.zeros(1, 4, 1, dtype=torch.float64), address, labels, present)
    known = replace(batch, held=torch.tensor([[1.0, 2.0, 0.0]], dtype=torch.float64))
    loss = RestrictedCrossEntropy(0.0)
    assert torch.equal(losses_of(loss, z, batch, STEPS), losses_of(loss, z, known, STEPS))
    masked = MaskedCrossEntropy()(z, labels, present, STEPS)
    torch.testing.assert_close(losses_of(loss, z, batch, STEPS), masked)
