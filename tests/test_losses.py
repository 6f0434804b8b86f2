import pytest
import snntorch.functional
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedspike.errors import InputError
from fedspike.parts.losses import CrossEntropy, SpikeCountMSE, check_read_out
from fedspike.parts.read_outs import FirstSpike, MeanMembrane, ReadOut, SpikeCount


@given(
    steps=st.integers(1, 60),
    correct=st.floats(0, 1),
    incorrect=st.floats(0, 1),
    seed=st.integers(0, 2**31),
)
def test_spike_count_mse_is_snntorchs(
    steps: int, correct: float, incorrect: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    spikes = torch.randint(0, 2, (steps, 5, 10), generator=generator).float()
    labels = torch.randint(0, 10, (5,), generator=generator)
    theirs = snntorch.functional.mse_count_loss(correct_rate=correct, incorrect_rate=incorrect)
    ours = SpikeCountMSE(correct_rate=correct, incorrect_rate=incorrect)(
        spikes.sum(0).unsqueeze(0), labels.unsqueeze(0), torch.ones(1, 5, dtype=torch.bool)
    )
    torch.testing.assert_close(ours[0], theirs(spikes, labels))


@pytest.mark.parametrize("loss", [CrossEntropy(), SpikeCountMSE()])
def test_absent_samples_have_no_say(loss: CrossEntropy | SpikeCountMSE) -> None:
    scores = torch.rand(2, 4, 10, requires_grad=True)
    labels = torch.randint(0, 10, (2, 4))
    present = torch.tensor([[True] * 4, [True, True, False, False]])
    value = loss(scores, labels, present)
    alone = loss(scores[1:, :2], labels[1:, :2], torch.ones(1, 2, dtype=torch.bool))
    torch.testing.assert_close(value[1], alone[0])
    value.sum().backward()  # type: ignore[no-untyped-call]
    assert scores.grad is not None
    assert scores.grad[1, 2:].abs().sum() == 0
    assert scores.grad[1, :2].abs().sum() > 0


def test_cross_entropy_is_torchs() -> None:
    scores, labels = torch.randn(1, 6, 10), torch.randint(0, 10, (1, 6))
    ours = CrossEntropy()(scores, labels, torch.ones(1, 6, dtype=torch.bool))
    torch.testing.assert_close(ours[0], torch.nn.functional.cross_entropy(scores[0], labels[0]))


@pytest.mark.parametrize("loss", [CrossEntropy(), SpikeCountMSE()])
def test_padding_changes_no_bit_of_a_loss(loss: CrossEntropy | SpikeCountMSE) -> None:
    scores, labels = torch.randn(2, 37, 10), torch.randint(0, 10, (2, 37))
    present = torch.ones(2, 37, dtype=torch.bool)
    more = torch.nn.functional.pad
    padded = (
        more(scores, (0, 0, 0, 27), value=5.0),
        more(labels, (0, 27)),
        more(present, (0, 27)),
    )
    assert torch.equal(loss(*padded), loss(scores, labels, present))


READ_OUTS = [SpikeCount(), MeanMembrane(), FirstSpike(), None]


@pytest.mark.parametrize("read_out", READ_OUTS)
def test_cross_entropy_takes_all_scores(read_out: ReadOut | None) -> None:
    check_read_out(CrossEntropy(), read_out)


def test_spike_count_mse_takes_only_spike_counts() -> None:
    check_read_out(SpikeCountMSE(), SpikeCount())
    for read_out, name in (
        (MeanMembrane(), "MeanMembrane"),
        (FirstSpike(), "FirstSpike"),
        (None, "the values of an ANN"),
    ):
        with pytest.raises(InputError, match=f"SpikeCountMSE of {name}\n"):
            check_read_out(SpikeCountMSE(), read_out)


@pytest.mark.parametrize("rates", [{"correct_rate": 1.2}, {"incorrect_rate": -0.1}])
def test_impossible_targets(rates: dict[str, float]) -> None:
    with pytest.raises(InputError, match="rate = "):
        SpikeCountMSE(**rates)
