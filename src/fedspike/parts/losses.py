"""Scores and labels to one loss per client; each is a mean over the client's own samples."""

from dataclasses import dataclass

import torch
import torch.nn.functional
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from fedspike.engine.passes import Wanted
from fedspike.errors import InputError
from fedspike.parts.read_outs import ReadOut, SpikeCount


@dataclass(frozen=True)
class CrossEntropy:
    """Softmax cross-entropy: of an ANN's values, the founding study's loss for it, or of any read-out.

    Of counts: CE(sum_t S[t], y); of membranes: CE(mean_t U[t], y); of first spikes: CE(-time, y).

    >>> scores, labels = torch.tensor([[[0.0, 0.0, 0.0, 0.0]]]), torch.tensor([[1]])
    >>> present = torch.tensor([[True]])
    >>> CrossEntropy()(scores, labels, present).exp()
    tensor([4.])
    """

    def __call__(
        self,
        scores: Float[Tensor, "client batch class"],
        labels: Int64[Tensor, "client batch"],
        present: Bool[Tensor, "client batch"],
    ) -> Float[Tensor, " client"]:
        """Mean over the samples present: -log softmax(scores)[label]."""
        per_sample = torch.nn.functional.cross_entropy(
            scores.movedim(2, 1), labels, reduction="none"
        )
        return mean(per_sample, present)

    def wanted(self, labels: Int64[Tensor, "client batch"], classes: int) -> Wanted:
        """The same for compiled kernels."""
        del classes
        return Wanted("cross entropy", labels)


@dataclass(frozen=True)
class SpikeCountMSE:
    """Squared distance of the output spike counts from target counts, the study's loss for the SNN.

        L = (1/T) mean over batch and class of (sum_t S[t] - n)^2
        n = int(T * correct_rate) for the true class, int(T * incorrect_rate) for the others

    Source: snnTorch 1.0.0 `functional.mse_count_loss` (its truncation to whole spikes included).
    """

    time_steps: int
    correct_rate: float = 0.8
    incorrect_rate: float = 0.2

    def __post_init__(self) -> None:
        for name in ("correct_rate", "incorrect_rate"):
            rate = getattr(self, name)
            if not 0 <= rate <= 1:
                raise InputError(
                    f"{name} = {rate}",
                    expected="spikes per time step, in [0, 1]",
                    fix="the founding study's preset uses 0.8 and 0.2",
                )

    def __call__(
        self,
        scores: Float[Tensor, "client batch class"],
        labels: Int64[Tensor, "client batch"],
        present: Bool[Tensor, "client batch"],
    ) -> Float[Tensor, " client"]:
        """Mean over the samples present; `scores` are spike counts."""
        distances = scores - self.targets(labels, scores.shape[2], scores.dtype)
        return mean(distances.square().mean(2) / self.time_steps, present)

    def targets(
        self, labels: Int64[Tensor, "client batch"], classes: int, dtype: torch.dtype
    ) -> Float[Tensor, "client batch class"]:
        """The spike counts n that are wanted."""
        correct, incorrect = self._counts()
        targets = torch.full((*labels.shape, classes), incorrect, dtype=dtype, device=labels.device)
        return targets.scatter_(2, labels.unsqueeze(2), correct)

    def wanted(self, labels: Int64[Tensor, "client batch"], classes: int) -> Wanted:
        """The same for compiled kernels."""
        correct, incorrect = self._counts()
        factor = 1 / (classes * self.time_steps)
        return Wanted("squares", labels, float(correct), float(incorrect), factor)

    def _counts(self) -> tuple[int, int]:
        """n of the true class, and of the others."""
        return int(self.time_steps * self.correct_rate), int(self.time_steps * self.incorrect_rate)


Loss = CrossEntropy | SpikeCountMSE


def check_read_out(loss: Loss, read_out: ReadOut | None) -> None:
    """Raise InputError unless the loss is meant for these scores; without a read-out, an ANN's values.

    >>> from fedspike.parts.read_outs import FirstSpike
    >>> check_read_out(CrossEntropy(), FirstSpike())
    >>> check_read_out(SpikeCountMSE(time_steps=10), FirstSpike())
    Traceback (most recent call last):
    fedspike.errors.InputError: SpikeCountMSE of FirstSpike
      expected: spike counts, which are what it has targets for
      fix: take CrossEntropy as the loss, or SpikeCount as the read-out
    """
    if isinstance(loss, SpikeCountMSE) and not isinstance(read_out, SpikeCount):
        other = "the values of an ANN" if read_out is None else type(read_out).__name__
        network = "an SNN" if read_out is None else "SpikeCount as the read-out"
        raise InputError(
            f"{type(loss).__name__} of {other}",
            expected="spike counts, which are what it has targets for",
            fix=f"take CrossEntropy as the loss, or {network}",
        )


def mean(
    per_sample: Float[Tensor, "client batch"], present: Bool[Tensor, "client batch"]
) -> Float[Tensor, " client"]:
    """Of every client, over its samples present; 0 if there are none."""
    # A running sum adds in order, so that padding at the end of a batch changes no bit.
    return (per_sample * present).cumsum(1)[:, -1] / present.sum(1).clamp(min=1)
