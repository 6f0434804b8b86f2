"""Squared distance of the output spike counts from target counts."""

from typing import Annotated, ClassVar

import torch
from msgspec import Meta

from fedspike.errors import InputError
from fedspike.parts.losses.loss import Loss, mean
from fedspike.parts.read_outs import ReadOut
from fedspike.parts.tensors import Labels, PerClient, Present, Scores

Share = Annotated[float, Meta(ge=0, le=1)]


class SpikeCountMSE(Loss, tag="spike-count"):
    """Squared distance of the output spike counts from target counts, the study's loss for the SNN.

        L = (1/T) mean over batch and class of (sum_t S[t] - n)^2
        n = int(T * correct_rate) for the true class, int(T * incorrect_rate) for the others

    Source: snnTorch 1.0.0 `functional.mse_count_loss` (its truncation to whole spikes included).
    """

    correct_rate: Share = 0.8
    incorrect_rate: Share = 0.2

    needs_spikes: ClassVar[bool] = True

    def __call__(
        self, scores: Scores, labels: Labels, present: Present, time_steps: int
    ) -> PerClient:
        """Mean over the samples present; `scores` are spike counts."""
        correct, incorrect = self.targets(time_steps)
        wanted = torch.full_like(scores, incorrect).scatter_(2, labels.unsqueeze(2), correct)
        return mean((scores - wanted).square().mean(2) / time_steps, present)

    def targets(self, time_steps: int) -> tuple[int, int]:
        """n of the true class, and of the others."""
        return int(time_steps * self.correct_rate), int(time_steps * self.incorrect_rate)

    def demand_scores(self, read_out: ReadOut | None, time_steps: int) -> None:
        """Raise InputError where there are no counts, or the right class is asked for too few.

        >>> from fedspike.parts.read_outs import FirstSpike
        >>> SpikeCountMSE().demand_scores(FirstSpike(), 10)
        Traceback (most recent call last):
        fedspike.errors.InputError: SpikeCountMSE of FirstSpike
          expected: spike counts, which are what it has targets for
          fix: take CrossEntropy as the loss, or SpikeCount as the read-out
        """
        if read_out is None or not read_out.counts:
            scores = "a network's values" if read_out is None else type(read_out).__name__
            network = "a spiking network" if read_out is None else "SpikeCount as the read-out"
            raise InputError(
                f"{type(self).__name__} of {scores}",
                expected="spike counts, which are what it has targets for",
                fix=f"take CrossEntropy as the loss, or {network}",
                keys=("loss", "read_out"),
            )
        correct, incorrect = self.targets(time_steps)
        if correct <= incorrect:
            raise InputError(
                f"{correct} spikes asked for the right class and {incorrect} for the wrong ones"
                f" (correct_rate = {self.correct_rate}, incorrect_rate = {self.incorrect_rate},"
                f" time_steps = {time_steps})",
                expected="more spikes, in whole spikes, for the right class",
                fix="set correct_rate = 0.8, incorrect_rate = 0.2 and at least 2 time steps",
                keys=("correct_rate", "incorrect_rate", "time_steps"),
            )
