"""Federated algorithms: who sends what, and how answers become the next model; a file for each."""

from fedspike import part
from fedspike.algorithms.algorithm import Algorithm as Algorithm
from fedspike.algorithms.algorithm import Client as Client
from fedspike.algorithms.algorithm import LocalModel as LocalModel
from fedspike.algorithms.algorithm import Tree as Tree
from fedspike.algorithms.algorithm import added as added
from fedspike.algorithms.algorithm import difference as difference
from fedspike.algorithms.changed import Changed as Changed
from fedspike.algorithms.changed import layers as layers
from fedspike.algorithms.decentralised import MODELS as MODELS
from fedspike.algorithms.ditto import Ditto as Ditto
from fedspike.algorithms.fedadagrad import FedAdagrad as FedAdagrad
from fedspike.algorithms.fedadam import FedAdam as FedAdam
from fedspike.algorithms.fedasync import FedAsync as FedAsync
from fedspike.algorithms.fedavg import FedAvg as FedAvg
from fedspike.algorithms.fedavgm import FedAvgM as FedAvgM
from fedspike.algorithms.fedbn import FedBN as FedBN
from fedspike.algorithms.fedbuff import FedBuff as FedBuff
from fedspike.algorithms.feddyn import FedDyn as FedDyn
from fedspike.algorithms.fedexp import FedExP as FedExP
from fedspike.algorithms.fednova import FedNova as FedNova
from fedspike.algorithms.fedper import FedPer as FedPer
from fedspike.algorithms.fedprox import FedProx as FedProx
from fedspike.algorithms.fedrep import FedRep as FedRep
from fedspike.algorithms.fedyogi import FedYogi as FedYogi
from fedspike.algorithms.gossip import Gossip as Gossip
from fedspike.algorithms.labelled import LABELLED as LABELLED
from fedspike.algorithms.labelled import with_labels as with_labels
from fedspike.algorithms.local_only import LocalOnly as LocalOnly
from fedspike.algorithms.local_round import demand_learner as demand_learner
from fedspike.algorithms.local_round import engine_of as engine_of
from fedspike.algorithms.local_round import local_round as local_round
from fedspike.algorithms.local_round import packing_draws as packing_draws
from fedspike.algorithms.local_round import reply_form as reply_form
from fedspike.algorithms.mifa import MIFA as MIFA
from fedspike.algorithms.moon import MOON as MOON
from fedspike.algorithms.narrowed import Narrowed as Narrowed
from fedspike.algorithms.neuron_matching import NeuronMatching as NeuronMatching
from fedspike.algorithms.neuron_union import NeuronUnion as NeuronUnion
from fedspike.algorithms.relay_sum import RelaySum as RelaySum
from fedspike.algorithms.remembering import with_memory as with_memory
from fedspike.algorithms.scaffold import Scaffold as Scaffold
from fedspike.algorithms.statistics import with_statistics as with_statistics

ALGORITHMS = part.kinds(Algorithm, vars(), usual=FedAvg)
