"""One architecture, two twins: the conventional (ANN) and the spiking (SNN) network, and a baseline.

Both have the same parameters: same names, shapes, initial values and bytes on the wire. What differs is
what flows: real numbers once, or spikes over T time steps. The baseline is the ANN whose values have as few
levels as the SNN's spike counts (QANN).

`ModuleNetwork` is a torch module of your own in their place.

Every tensor of a network carries the clients as an axis: client k's samples meet client k's weights.
"""

from fedspike.networks.architecture import Architecture, Parameters
from fedspike.networks.batch import Batch, Forward, Learned
from fedspike.networks.conventional import ANN, QANN
from fedspike.networks.convolutional import Conv, Convolutional, Dense, Pool, small_vgg
from fedspike.networks.module import ModuleNetwork
from fedspike.networks.spiking import SNN
from fedspike.parts.normalisations import BNTT

Network = ANN | QANN | SNN | ModuleNetwork

__all__ = [
    "ANN",
    "BNTT",
    "QANN",
    "SNN",
    "Architecture",
    "Batch",
    "Conv",
    "Convolutional",
    "Dense",
    "Forward",
    "Learned",
    "ModuleNetwork",
    "Network",
    "Parameters",
    "Pool",
    "small_vgg",
]
