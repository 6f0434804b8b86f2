"""Federated learning with spiking neural networks: simulated, priced, reported.

    import fedspike as fs

    fs.Plan, fs.SNN, fs.Burst, fs.Classes, fs.FedAvg, fs.rounds, fs.run, ...

All public names of the rooms below are names here too. A room is imported when a name is first looked for in
it, so that `import fedspike` takes no time and brings no torch.
"""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from fedspike import machine

# Before torch is loaded, and before anybody multiplies.
machine.brief_waits()
machine.steady_products()

# Where a name is looked for, in this order: the rooms that need no torch first.
ROOMS = (
    *("errors", "part", "data", "data.partition"),
    *("parts.codes", "parts.neurons", "parts.surrogates", "parts.read_outs", "parts.losses"),
    *("parts.optimisers", "parts.schedules", "parts.plasticity", "parts.normalisations"),
    *("networks", "learning"),
    *("rules", "algorithms.graphs", "algorithms"),
    *("remedies", "federation.selections", "federation.availabilities", "federation.clocks"),
    *("federation.plan", "federation.devices", "federation.state", "federation.rounds"),
    *("federation.places.here", "federation.places.ranks.gloo", "experiment.run"),
)


def __getattr__(name: str) -> Any:
    """A room, or a public name of one."""
    if name.startswith("__"):
        raise AttributeError(name)
    # First of all, for `from fedspike import data` asks here too.
    if name.islower() and find_spec(f"fedspike.{name}"):
        return import_module(f"fedspike.{name}")
    for room in ROOMS:
        module = import_module(f"fedspike.{room}")
        if name in _public(module):
            return getattr(module, name)
    raise AttributeError(f"module 'fedspike' has no attribute {name!r}")


def __dir__() -> list[str]:
    """All public names; to list them, all rooms are imported."""
    modules = [import_module(f"fedspike.{room}") for room in ROOMS]
    return sorted({name for module in modules for name in _public(module)})


def _public(module: ModuleType) -> list[str]:
    """What a room's `__all__` says, else all that its `__init__` imports, but no modules."""
    own = [
        n for n, v in vars(module).items() if not (n.startswith("_") or isinstance(v, ModuleType))
    ]
    return getattr(module, "__all__", own)
