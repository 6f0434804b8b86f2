"""Read-outs: a file for each."""

from fedspike.parts.read_outs.first_spike import FirstSpike
from fedspike.parts.read_outs.mean_membrane import MeanMembrane
from fedspike.parts.read_outs.read_out import ReadOut
from fedspike.parts.read_outs.spike_count import SpikeCount

READ_OUTS: tuple[type[ReadOut], ...] = (SpikeCount, MeanMembrane, FirstSpike)

__all__ = ["READ_OUTS", "FirstSpike", "MeanMembrane", "ReadOut", "SpikeCount"]
