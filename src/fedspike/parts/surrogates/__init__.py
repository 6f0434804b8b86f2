"""Surrogate derivatives: a file for each."""

from fedspike import part
from fedspike.parts.surrogates.atan import Atan as Atan
from fedspike.parts.surrogates.fast_sigmoid import FastSigmoid as FastSigmoid
from fedspike.parts.surrogates.sigmoid import Sigmoid as Sigmoid
from fedspike.parts.surrogates.surrogate import Surrogate as Surrogate
from fedspike.parts.surrogates.surrogate import fire as fire
from fedspike.parts.surrogates.triangular import Triangular as Triangular

SURROGATES = part.kinds(Surrogate, vars(), usual=Atan)
