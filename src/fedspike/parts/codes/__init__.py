"""Pixels to spikes.

A code is a frozen description with one function, `spikes(pixels, address)`. Which spikes come out
depends on the pixels and on the address alone, so that every engine, every order of work and every
resumed run sees the same ones. docs/codes.md says which code is what, and when to use it.
"""

from fedspike.parts.codes.address import Address
from fedspike.parts.codes.burst import BurstCode
from fedspike.parts.codes.codes import BinaryCode, Code, entry
from fedspike.parts.codes.delta import DeltaCode
from fedspike.parts.codes.direct import DirectCode
from fedspike.parts.codes.latency import LatencyCode
from fedspike.parts.codes.phase import PhaseCode
from fedspike.parts.codes.raster import raster
from fedspike.parts.codes.rate import RateCode

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
