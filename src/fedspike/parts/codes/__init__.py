"""Pixels to spikes: a file for each code; docs/codes.md says which is what, and when to use it."""

from fedspike.parts.codes.address import Address
from fedspike.parts.codes.burst import Burst
from fedspike.parts.codes.code import Code
from fedspike.parts.codes.delta import Delta
from fedspike.parts.codes.direct import Direct
from fedspike.parts.codes.latency import Latency
from fedspike.parts.codes.phase import Phase
from fedspike.parts.codes.raster import raster
from fedspike.parts.codes.rate import Rate
from fedspike.parts.codes.tabulated import Tabulated

CODES: tuple[type[Code], ...] = (Rate, Latency, Phase, Burst, Delta, Direct)

__all__ = [
    "CODES",
    "Address",
    "Burst",
    "Code",
    "Delta",
    "Direct",
    "Latency",
    "Phase",
    "Rate",
    "Tabulated",
    "raster",
]
