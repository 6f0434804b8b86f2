"""Remedies: an algorithm to an algorithm, against one ill; a file for each."""

from fedspike import part
from fedspike.remedies.clipping import Clipping as Clipping
from fedspike.remedies.compression import Compression as Compression
from fedspike.remedies.ef_sign import EFSign as EFSign
from fedspike.remedies.fedrolex import FedRolex as FedRolex
from fedspike.remedies.fewer_steps import FewerSteps as FewerSteps
from fedspike.remedies.heterofl import HeteroFL as HeteroFL
from fedspike.remedies.lossless import Lossless as Lossless
from fedspike.remedies.low_rank import LowRank as LowRank
from fedspike.remedies.mixed_learners import MixedLearners as MixedLearners
from fedspike.remedies.qsgd import QSGD as QSGD
from fedspike.remedies.remedy import Remedy as Remedy
from fedspike.remedies.smaller_parts import SmallerParts as SmallerParts
from fedspike.remedies.top_k import TopK as TopK

REMEDIES = part.kinds(Remedy, vars(), usual=Clipping)
