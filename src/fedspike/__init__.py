"""Federated learning with spiking neural networks: simulated, priced, reported.

    import fedspike as fs

    fs.Plan, fs.SNN, fs.Burst, fs.Classes, fs.FedAvg, fs.rounds, fs.run, fs.load, ...

`dir(fs)` lists what one starts with, the names of FRONT. All other parts are names here, too: `fs.OTTT`. A
room is imported when a name of it is first asked for, so that `import fedspike` takes no time and brings no
torch.
"""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from fedspike import machine

# Before torch is loaded, and before anybody multiplies.
machine.brief_waits()
machine.steady_products()

# What one starts with: what it is for, and in which room the names are at home.
FRONT = {
    "an experiment": {
        "federation.plan": "Plan",
        "federation.rounds": "rounds",
        "experiment.run": "run",
        "runs": "load",
        "errors": "InputError",
    },
    "data": {"data": "Dataset FashionMNIST FashionMNISTSample NPZ Layout load_data"},
    "who holds what": {"data.partition": "IID Classes Dirichlet", "federation.devices": "Fleet"},
    "networks": {"networks": "SNN ANN ModuleNetwork FullyConnected Convolutional"},
    "what a spiking network is made of": {
        "parts.codes": "Rate Direct Burst Latency",
        "parts.neurons": "LIF",
        "parts.surrogates": "Atan",
        "parts.read_outs": "SpikeCount MeanMembrane",
        "parts.normalisations": "BNTT",
    },
    "how a device learns": {
        "learning": "Backpropagation STDP",
        "parts.losses": "SpikeCountMSE CrossEntropy",
        "parts.optimisers": "Adam SGD",
    },
    "how devices learn together": {
        "algorithms": "FedAvg FedProx Scaffold FedAdam LocalOnly Gossip",
        "remedies": "Clipping",
        "rules": "Median",
    },
}

# Where all other names are looked for, in this order: the rooms that need no torch first.
ROOMS = (
    *("errors", "part", "data", "data.partition"),
    *("parts.codes", "parts.neurons", "parts.surrogates", "parts.read_outs", "parts.losses"),
    *("parts.optimisers", "parts.schedules", "parts.plasticity", "parts.normalisations"),
    *("networks", "learning"),
    *("rules", "algorithms.graphs", "algorithms"),
    *("remedies", "federation.selections", "federation.availabilities", "federation.clocks"),
    *("federation.plan", "federation.devices", "federation.state", "federation.rounds"),
    *("federation.places.here", "federation.places.ranks.gloo", "experiment.run", "runs"),
)


def __getattr__(name: str) -> Any:
    """A room, or a public name of one."""
    if name == "__version__":
        return import_module("importlib.metadata").version("fedspike")
    if name.startswith("__"):
        raise AttributeError(name)
    # First of all, for `from fedspike import data` asks here too.
    if name.islower() and find_spec(f"fedspike.{name}"):
        return import_module(f"fedspike.{name}")
    for rooms in FRONT.values():
        for room, names in rooms.items():
            if name in names.split():
                return getattr(import_module(f"fedspike.{room}"), name)
    for room in ROOMS:
        module = import_module(f"fedspike.{room}")
        if name in _public(module):
            return getattr(module, name)
    raise AttributeError(f"module 'fedspike' has no attribute {name!r}; see dir(fedspike)")


def __dir__() -> list[str]:
    """What one starts with; nothing is imported to list it."""
    lists = [names.split() for rooms in FRONT.values() for names in rooms.values()]
    return ["__version__", *(name for names in lists for name in names)]


def _public(module: ModuleType) -> list[str]:
    """What a room's `__all__` says, else the classes and the lists of kinds that its `__init__` imports."""
    own = [n for n, v in vars(module).items() if n[0].isupper() and not isinstance(v, str | int)]
    return getattr(module, "__all__", own)
