"""Losses: a file for each."""

from fedspike import part
from fedspike.parts.losses.cross_entropy import CrossEntropy as CrossEntropy
from fedspike.parts.losses.loss import Loss as Loss
from fedspike.parts.losses.masked_cross_entropy import MaskedCrossEntropy as MaskedCrossEntropy
from fedspike.parts.losses.spike_count_mse import SpikeCountMSE as SpikeCountMSE

LOSSES = part.kinds(Loss, vars(), usual=SpikeCountMSE)
