"""Normalisations: a file for each."""

from fedspike import part
from fedspike.parts.normalisations.bntt import BNTT as BNTT
from fedspike.parts.normalisations.bntt import STATISTICS as STATISTICS
from fedspike.parts.normalisations.normalisation import Normalisation as Normalisation
from fedspike.parts.normalisations.unnormalised import Unnormalised as Unnormalised

NORMALISATIONS = part.kinds(Normalisation, vars(), usual=Unnormalised)
