"""Pixels to spikes: a file for each code; docs/codes.md says which is what, and when to use it."""

from fedspike import part
from fedspike.parts.codes.address import Address as Address
from fedspike.parts.codes.as_recorded import AsRecorded as AsRecorded
from fedspike.parts.codes.burst import Burst as Burst
from fedspike.parts.codes.code import Code as Code
from fedspike.parts.codes.contrast import Contrast as Contrast
from fedspike.parts.codes.delta import Delta as Delta
from fedspike.parts.codes.direct import Direct as Direct
from fedspike.parts.codes.latency import Latency as Latency
from fedspike.parts.codes.phase import Phase as Phase
from fedspike.parts.codes.raster import raster as raster
from fedspike.parts.codes.rate import Rate as Rate
from fedspike.parts.codes.receptive_field import ReceptiveField as ReceptiveField
from fedspike.parts.codes.tabulated import Tabulated as Tabulated

CODES = part.kinds(Code, vars(), usual=Rate)
