"""Spiking neurons: a file for each; `lif.py` has the equation."""

from fedspike import part
from fedspike.parts.neurons.adaptive import AdaptiveLIF as AdaptiveLIF
from fedspike.parts.neurons.competitive import Competitive as Competitive
from fedspike.parts.neurons.constants import Learned as Learned
from fedspike.parts.neurons.current_based import CurrentBasedLIF as CurrentBasedLIF
from fedspike.parts.neurons.leaky import leak as leak
from fedspike.parts.neurons.lif import LIF as LIF
from fedspike.parts.neurons.neuron import Kept as Kept
from fedspike.parts.neurons.neuron import Neuron as Neuron

NEURONS = part.kinds(Neuron, vars(), usual=LIF)
