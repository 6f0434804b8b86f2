"""Your own torch module as a network: `module_network.py` has it.

`adopt.py` makes a copy that many clients can share, `counting.py` counts what enters its layers, `call.py`
runs it, for all clients at once or in turn, and `trial.py` finds out whether all that can be done.
"""

from fedspike.networks.module.module_network import ModuleArchitecture, ModuleNetwork

__all__ = ["ModuleArchitecture", "ModuleNetwork"]
