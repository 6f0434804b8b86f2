"""Local learning rules: how a synapse changes by what its own two neurons do; a file for each."""

from fedspike import part
from fedspike.parts.plasticity.pair import PairRule as PairRule
from fedspike.parts.plasticity.plasticity import Competed as Competed
from fedspike.parts.plasticity.plasticity import Plasticity as Plasticity
from fedspike.parts.plasticity.plasticity import Presented as Presented
from fedspike.parts.plasticity.plasticity import Synapses as Synapses

PLASTICITIES = part.kinds(Plasticity, vars(), usual=PairRule)
