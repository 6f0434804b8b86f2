"""Read-outs: a file for each."""

from fedspike import part
from fedspike.parts.read_outs.first_spike import FirstSpike as FirstSpike
from fedspike.parts.read_outs.mean_membrane import MeanMembrane as MeanMembrane
from fedspike.parts.read_outs.membrane_sum import MembraneSum as MembraneSum
from fedspike.parts.read_outs.read_out import ReadOut as ReadOut
from fedspike.parts.read_outs.spike_count import SpikeCount as SpikeCount

READ_OUTS = part.kinds(ReadOut, vars(), usual=SpikeCount)
