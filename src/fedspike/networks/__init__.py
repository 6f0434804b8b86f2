"""Networks, conventional and spiking, and a torch module of your own in their place.

A description (`SNN`, `ANN`, `QANN`) has all but the sizes; over the data's it becomes a network that runs.
The twins have the same parameters: same names, shapes, initial values and bytes on the wire. What differs is
what flows: real numbers once, or spikes over T time steps. QANN is the ANN whose values have as few levels as
the SNN's spike counts.

Every tensor of a network carries the clients as an axis: client k's samples meet client k's weights.
"""

from fedspike.networks.architecture import (
    ARCHITECTURES,
    Architecture,
    Convolutional,
    FullyConnected,
)
from fedspike.networks.batch import Batch, Forward
from fedspike.networks.conventional import ANN, QANN, ConventionalNetwork, Quantiser
from fedspike.networks.convolutional_layers import (
    Conv,
    ConvolutionalLayers,
    Dense,
    Pool,
)
from fedspike.networks.dense_layers import DenseLayers
from fedspike.networks.module import ModuleNetwork
from fedspike.networks.network import Network, SizedNetwork
from fedspike.networks.sized_layers import Layers, Parameters
from fedspike.networks.spiking import SNN, SpikingNetwork

NETWORKS: tuple[type[Network], ...] = (ANN, SNN, QANN)

__all__ = [
    "ANN",
    "ARCHITECTURES",
    "NETWORKS",
    "QANN",
    "SNN",
    "Architecture",
    "Batch",
    "Conv",
    "ConventionalNetwork",
    "Convolutional",
    "ConvolutionalLayers",
    "Dense",
    "DenseLayers",
    "Forward",
    "FullyConnected",
    "Layers",
    "ModuleNetwork",
    "Network",
    "Parameters",
    "Pool",
    "Quantiser",
    "SizedNetwork",
    "SpikingNetwork",
]
