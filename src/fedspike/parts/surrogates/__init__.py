"""Surrogate derivatives: a file for each."""

from fedspike.parts.surrogates.atan import Atan
from fedspike.parts.surrogates.fast_sigmoid import FastSigmoid
from fedspike.parts.surrogates.sigmoid import Sigmoid
from fedspike.parts.surrogates.surrogate import Surrogate, fire
from fedspike.parts.surrogates.triangular import Triangular

SURROGATES: tuple[type[Surrogate], ...] = (Atan, FastSigmoid, Sigmoid, Triangular)

__all__ = ["SURROGATES", "Atan", "FastSigmoid", "Sigmoid", "Surrogate", "Triangular", "fire"]
