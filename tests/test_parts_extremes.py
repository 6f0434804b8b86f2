"""Every number that a part accepts can be computed with, from its smallest to its largest."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np
import pytest

import fedspike as fs
from fedspike.data import Dataset, Owners, Source
from fedspike.errors import InputError
from fedspike.experiment.kinds import FAMILIES, family_of
from fedspike.federation.plan import Plan
from fedspike.part import Part

EXTREMES: tuple[float, ...] = (
    *(5e-324, 1e-300, 1e-38, 1e-15, 1e-7, 0.0, 0.5, 0.999999, 1 - 2**-53, 1.0),
    *(1e9, 1e20, 1e38, 1e39, 1e300, 1.7976931348623157e308, 10**18, 1, 2, 3, 2**31 - 1),
)
REQUIRED = {
    "alpha": 0.9,
    "classes": 2,
    "shards_per_client": 1,
    "adaptation": 1.0,
    "rho": 0.9,
    "candidates": 1,
    "degree": 1,
}
TOGETHER: dict[type[Part], dict[str, Any]] = {
    fs.Trace: {"client": (0,), "first": (1,), "last": (2,)},
    fs.Edges: {"client": (0,), "neighbour": (0,)},
    fs.Resampled: {"samples": 3},
}
RANDOM = np.random.default_rng(0)
X, Y = RANDOM.random((12, 4, 4), np.float32), np.arange(12) % 3
OWNERS = Owners.called("abcd" * 3)
DATA = Dataset("random", X, Y, X, Y, 3, "nowhere", {}, owners=OWNERS)
X43, Y43 = RANDOM.random((86, 4, 4), np.float32), np.arange(86) % 43
SIGNS = Dataset("random", X43, Y43, X43, Y43, 43, "nowhere", {})


def fields() -> Iterator[tuple[str, type[Part], str]]:
    """The family, the kind and the name of every field that holds a number."""
    for family, kinds in FAMILIES.items():
        # The numbers of sources are in test_data_layout.py, those of matrices in test_no_server.py.
        for kind in kinds if family is not Source else ():
            for field in msgspec.structs.fields(kind) if kind is not fs.Matrix else ():
                holds = str(field.type)
                if not family_of(field.type) and ("float" in holds or "int" in holds):
                    yield family.__name__, kind, field.name


def plan(family: str, part: Any) -> Plan:
    """A plan with a part, as small as can be."""
    learner = {"optimiser": fs.SGD()} if family == "Algorithm" else {}
    own = {"Optimiser": "optimiser", "Loss": "loss"}
    learner |= {own[family]: part} if family in own else {}
    network = {"neuron": fs.LIF(surrogate=part)} if family == "Surrogate" else {}
    local = family == "Plasticity" or isinstance(part, fs.STDP)
    network |= {"neuron": fs.Competitive(0.9, 1.0), "read_out": fs.MeanMembrane()} if local else {}
    network |= {family.lower(): part} if family in SPIKING else {}
    small = {"architecture": fs.FullyConnected((3,))} if family != "Architecture" else {}
    settings: dict[str, Any] = {
        "network": fs.SNN(time_steps=4, **small | network),
        "learner": fs.Backpropagation(batch_size=4, **learner),
        "remedies": (part,) if family == "Remedy" else (),
    }
    settings |= {family.lower(): part} if family in OF_PLAN else {}
    settings |= {"algorithm": fs.Gossip(graph=part)} if family == "Graph" else {}
    settings |= {"learner": fs.STDP(plasticity=part)} if family == "Plasticity" else {}
    data = SIGNS if isinstance(part, fs.Roads) else DATA  # which divides nothing else
    who = {family.lower(): part} if family in OF_FLEET else {}
    fleet = fs.Fleet(clients=2, clients_per_round=1, **who)
    return Plan(**settings, data=data, fleet=fleet if who else fs.Fleet(clients=2), rounds=2)


SPIKING = ("Architecture", "Code", "Neuron", "Normalisation")
OF_FLEET = ("Selection", "Availability", "Clock")
OF_PLAN = ("Network", "Partition", "Learner", "Algorithm")


@pytest.mark.parametrize(("family", "kind", "name"), list(fields()))
def test_a_number_is_refused_or_computed_with(family: str, kind: type[Part], name: str) -> None:
    needed = {
        f.name: REQUIRED[f.name]
        for f in msgspec.structs.fields(kind)
        if f.name in REQUIRED and f.required
    } | TOGETHER.get(kind, {})
    accepted = 0
    for number in EXTREMES:
        for value in (number, (number,)):
            with suppress(InputError):
                small = plan(family, kind(**needed | {name: value}))
                for round in fs.rounds(small):
                    model = round.state.model.values()
                    assert all(weight.isfinite().all() for weight in model), value
                    accepted += 1
    assert accepted
