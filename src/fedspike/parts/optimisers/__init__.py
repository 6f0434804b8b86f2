"""Optimisers: a file for each."""

from fedspike.parts.optimisers.adam import Adam
from fedspike.parts.optimisers.optimiser import Optimiser
from fedspike.parts.optimisers.sgd import SGD

OPTIMISERS: tuple[type[Optimiser], ...] = (Adam, SGD)

__all__ = ["OPTIMISERS", "SGD", "Adam", "Optimiser"]
