"""Losses: a file for each."""

from fedspike.parts.losses.cross_entropy import CrossEntropy
from fedspike.parts.losses.loss import Loss
from fedspike.parts.losses.spike_count_mse import SpikeCountMSE

LOSSES: tuple[type[Loss], ...] = (SpikeCountMSE, CrossEntropy)

__all__ = ["LOSSES", "CrossEntropy", "Loss", "SpikeCountMSE"]
