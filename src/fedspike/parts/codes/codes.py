"""All codes, for whoever takes any of them.

Each has `time_steps` and `spikes(pixels, address)`; `binary`, whether these are spikes or numbers; where they
are, `packed(pixels, address)`, the same spikes as bits; `step_weights`, by which the first layer's
synaptic input is weighted at every step, or None; and `moving`, whether it takes T frames for a sample, too.
"""

from fedspike.engine import passes
from fedspike.parts.codes import table
from fedspike.parts.codes.address import Address
from fedspike.parts.codes.burst import BurstCode
from fedspike.parts.codes.delta import DeltaCode
from fedspike.parts.codes.direct import DirectCode
from fedspike.parts.codes.latency import LatencyCode
from fedspike.parts.codes.phase import PhaseCode
from fedspike.parts.codes.rate import RateCode
from fedspike.randomness import key

BinaryCode = RateCode | LatencyCode | PhaseCode | BurstCode | DeltaCode
Code = BinaryCode | DirectCode


def entry(code: Code, address: Address) -> passes.Code:
    """The code as the compiled passes take it."""
    at = (code.time_steps, address.round, address.clients, address.first_samples)
    if isinstance(code, RateCode):
        return passes.Code("rate", *at, key=key(address.seed, address.purpose))
    if isinstance(code, DirectCode):
        return passes.Code("direct", *at)
    return passes.Code("table", *at, table=table.bits(code), step_weights=code.step_weights)
