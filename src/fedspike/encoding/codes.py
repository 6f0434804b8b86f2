"""All codes, for whoever takes any of them.

Each has `time_steps` and `spikes(pixels, address)`; `binary`, whether these are spikes or numbers; where they
are, `packed(pixels, address)`, the same spikes as bits; and `step_weights`, by which the first layer's
synaptic input is weighted at every step, or None.
"""

from fedspike.encoding.burst import BurstCode
from fedspike.encoding.delta import DeltaCode
from fedspike.encoding.direct import DirectCode
from fedspike.encoding.latency import LatencyCode
from fedspike.encoding.phase import PhaseCode
from fedspike.encoding.rate import RateCode

BinaryCode = RateCode | LatencyCode | PhaseCode | BurstCode | DeltaCode
Code = BinaryCode | DirectCode
