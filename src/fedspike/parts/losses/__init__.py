"""Losses: a file for each."""

from fedspike import part
from fedspike.parts.losses.calibrated_cross_entropy import (
    CalibratedCrossEntropy as CalibratedCrossEntropy,
)
from fedspike.parts.losses.cross_entropy import CrossEntropy as CrossEntropy
from fedspike.parts.losses.loss import Calibration as Calibration
from fedspike.parts.losses.loss import Loss as Loss
from fedspike.parts.losses.masked_cross_entropy import MaskedCrossEntropy as MaskedCrossEntropy
from fedspike.parts.losses.restricted_cross_entropy import (
    RestrictedCrossEntropy as RestrictedCrossEntropy,
)
from fedspike.parts.losses.spike_count_mse import SpikeCountMSE as SpikeCountMSE
from fedspike.parts.losses.vacant_classes import VacantClasses as VacantClasses

LOSSES = part.kinds(Loss, vars(), usual=SpikeCountMSE)
