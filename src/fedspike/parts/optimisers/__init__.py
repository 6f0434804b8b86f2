"""Optimisers: a file for each."""

from fedspike import part
from fedspike.parts.optimisers.adam import Adam as Adam
from fedspike.parts.optimisers.optimiser import Optimiser as Optimiser
from fedspike.parts.optimisers.optimiser import Step as Step
from fedspike.parts.optimisers.optimiser import at_each_step as at_each_step
from fedspike.parts.optimisers.sgd import SGD as SGD

OPTIMISERS = part.kinds(Optimiser, vars(), usual=Adam)
