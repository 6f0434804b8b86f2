"""Pixels to spikes.

A code is a frozen description with one function, `spikes(pixels, address)`. Which spikes come out
depends on the pixels and on the address alone, so that every engine, every order of work and every
resumed run sees the same ones. docs/codes.md says which code is what, and when to use it.
"""

from fedspike.encoding.address import Address
from fedspike.encoding.burst import BurstCode
from fedspike.encoding.codes import BinaryCode, Code, entry
from fedspike.encoding.delta import DeltaCode
from fedspike.encoding.direct import DirectCode
from fedspike.encoding.latency import LatencyCode
from fedspike.encoding.phase import PhaseCode
from fedspike.encoding.raster import raster
from fedspike.encoding.rate import RateCode

__all__ = [
    "Address",
    "BinaryCode",
    "BurstCode",
    "Code",
    "DeltaCode",
    "DirectCode",
    "LatencyCode",
    "PhaseCode",
    "RateCode",
    "entry",
    "raster",
]
