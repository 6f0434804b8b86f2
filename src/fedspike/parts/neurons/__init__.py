"""Spiking neurons: a file for each; `lif.py` has the equation."""

from fedspike.parts.neurons.adaptive import AdaptiveLIF
from fedspike.parts.neurons.constants import Learned
from fedspike.parts.neurons.current_based import CurrentBasedLIF
from fedspike.parts.neurons.leaky import leak
from fedspike.parts.neurons.lif import LIF
from fedspike.parts.neurons.neuron import Neuron

NEURONS: tuple[type[Neuron], ...] = (LIF, CurrentBasedLIF, AdaptiveLIF)

__all__ = ["LIF", "NEURONS", "AdaptiveLIF", "CurrentBasedLIF", "Learned", "Neuron", "leak"]
