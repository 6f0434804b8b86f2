"""Networks, conventional and spiking, and a torch module of your own in their place.

A description (`SNN`, `ANN`, `QANN`) has all but the sizes; over the data's it becomes a network that runs.
The twins have the same parameters: same names, shapes, initial values and bytes on the wire. What differs is
what flows: real numbers once, or spikes over T time steps. QANN is the ANN whose values have as few levels as
the SNN's spike counts.

Every tensor of a network carries the clients as an axis: client k's samples meet client k's weights.
"""

from fedspike import part
from fedspike.networks.architecture import Architecture as Architecture
from fedspike.networks.architecture import Convolutional as Convolutional
from fedspike.networks.architecture import FullyConnected as FullyConnected
from fedspike.networks.batch import Batch as Batch
from fedspike.networks.batch import Forward as Forward
from fedspike.networks.batch import Term as Term
from fedspike.networks.conventional import ANN as ANN
from fedspike.networks.conventional import QANN as QANN
from fedspike.networks.conventional import ConventionalNetwork as ConventionalNetwork
from fedspike.networks.conventional import Quantiser as Quantiser
from fedspike.networks.convolutional_layers import Conv as Conv
from fedspike.networks.convolutional_layers import ConvolutionalLayers as ConvolutionalLayers
from fedspike.networks.convolutional_layers import Dense as Dense
from fedspike.networks.convolutional_layers import Pool as Pool
from fedspike.networks.dense_layers import DenseLayers as DenseLayers
from fedspike.networks.module import ModuleNetwork as ModuleNetwork
from fedspike.networks.module import OwnNetwork as OwnNetwork
from fedspike.networks.module import own_network as own_network
from fedspike.networks.network import Competition as Competition
from fedspike.networks.network import Network as Network
from fedspike.networks.network import SizedNetwork as SizedNetwork
from fedspike.networks.sized_layers import Layers as Layers
from fedspike.networks.sized_layers import Parameters as Parameters
from fedspike.networks.sized_layers import narrow as narrow
from fedspike.networks.spiking import SNN as SNN
from fedspike.networks.spiking import SpikingNetwork as SpikingNetwork
from fedspike.networks.steps import Step as Step

ARCHITECTURES = part.kinds(Architecture, vars(), usual=FullyConnected)
NETWORKS = part.kinds(Network, vars(), usual=ANN)
