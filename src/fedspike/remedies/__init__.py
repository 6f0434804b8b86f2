"""Remedies: an algorithm to an algorithm, against one ill; a file for each."""

from fedspike import part
from fedspike.remedies.clipping import Clipping as Clipping
from fedspike.remedies.fedrolex import FedRolex as FedRolex
from fedspike.remedies.fewer_steps import FewerSteps as FewerSteps
from fedspike.remedies.heterofl import HeteroFL as HeteroFL
from fedspike.remedies.mixed_learners import MixedLearners as MixedLearners
from fedspike.remedies.remedy import Remedy as Remedy
from fedspike.remedies.smaller_parts import SmallerParts as SmallerParts

REMEDIES = part.kinds(Remedy, vars(), usual=Clipping)
