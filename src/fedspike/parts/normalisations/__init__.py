"""Normalisations: a file for each."""

from fedspike.parts.normalisations.bntt import BNTT, STATISTICS
from fedspike.parts.normalisations.normalisation import Normalisation
from fedspike.parts.normalisations.unnormalised import Unnormalised

NORMALISATIONS: tuple[type[Normalisation], ...] = (Unnormalised, BNTT)

__all__ = ["BNTT", "NORMALISATIONS", "STATISTICS", "Normalisation", "Unnormalised"]
