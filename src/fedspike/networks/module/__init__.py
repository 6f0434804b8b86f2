"""Your own torch module as a network: `module_network.py` has it.

`adopt.py` makes a copy that many clients can share, `counting.py` counts what enters its layers, `call.py`
runs it, for all clients at once or in turn, and `trial.py` finds out whether all that can be done.
`own_network.py` makes a kind of network of a class in somebody's file.
"""

from fedspike.networks.module.module_network import ModuleArchitecture, ModuleNetwork
from fedspike.networks.module.own_network import OwnNetwork, own_network

__all__ = ["ModuleArchitecture", "ModuleNetwork", "OwnNetwork", "own_network"]
