"""Graphs over the clients of a fleet without a server: a file for each."""

from fedspike import part
from fedspike.algorithms.graphs.complete import Complete as Complete
from fedspike.algorithms.graphs.edges import Edges as Edges
from fedspike.algorithms.graphs.graph import FleetGraph as FleetGraph
from fedspike.algorithms.graphs.graph import Graph as Graph
from fedspike.algorithms.graphs.matrix import Matrix as Matrix
from fedspike.algorithms.graphs.random_regular import RandomRegular as RandomRegular
from fedspike.algorithms.graphs.ring import Ring as Ring
from fedspike.algorithms.graphs.torus import Torus as Torus
from fedspike.algorithms.graphs.tree import Tree as Tree

GRAPHS = part.kinds(Graph, vars(), usual=Ring)
