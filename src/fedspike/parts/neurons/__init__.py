"""Spiking neurons: `lif.py` has the equation; see `Neuron` for what all of them can do."""

from fedspike.parts.neurons.adaptive import AdaptiveLIF
from fedspike.parts.neurons.constants import Learnable, Learned
from fedspike.parts.neurons.current_based import CurrentBasedLIF
from fedspike.parts.neurons.lif import LIF, integrate_and_fire, leak
from fedspike.parts.neurons.neuron import Neuron
from fedspike.parts.surrogates import Atan, FastSigmoid, Sigmoid, Surrogate, Triangular

__all__ = [
    "LIF",
    "AdaptiveLIF",
    "Atan",
    "CurrentBasedLIF",
    "FastSigmoid",
    "Learnable",
    "Learned",
    "Neuron",
    "Sigmoid",
    "Surrogate",
    "Triangular",
    "integrate_and_fire",
    "leak",
]
