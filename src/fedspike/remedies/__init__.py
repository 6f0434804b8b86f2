"""Remedies: an algorithm to an algorithm, against one ill; a file for each."""

from fedspike.remedies.clipping import Clipping
from fedspike.remedies.remedy import Remedy

REMEDIES: tuple[type[Remedy], ...] = (Clipping,)

__all__ = ["REMEDIES", "Clipping", "Remedy"]
