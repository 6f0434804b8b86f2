"""Spiking neurons: `lif.py` has the equation; see `Neuron` for what all of them can do."""

from fedspike.neurons.adaptive import AdaptiveLIF
from fedspike.neurons.constants import Learnable, Learned
from fedspike.neurons.current_based import CurrentBasedLIF
from fedspike.neurons.lif import LIF, integrate_and_fire, leak
from fedspike.neurons.neuron import Neuron
from fedspike.neurons.surrogates import Atan, FastSigmoid, Sigmoid, Surrogate, Triangular

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
