"""All families of parts: the kinds that ship, and those of files that were named with --use."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from msgspec import Struct

from fedspike import own_files
from fedspike.algorithms import ALGORITHMS, Algorithm
from fedspike.algorithms.graphs import GRAPHS, Graph
from fedspike.data import SOURCES, Cameras, Source
from fedspike.data.partition import PARTITIONS, Partition
from fedspike.errors import InputError
from fedspike.federation.availabilities import AVAILABILITIES, Availability
from fedspike.federation.clocks import CLOCKS, Clock
from fedspike.federation.devices import Fleet
from fedspike.federation.selections import SELECTIONS, Selection
from fedspike.learning import LEARNERS, Learner
from fedspike.networks import ARCHITECTURES, NETWORKS, Architecture, Network, own_network
from fedspike.part import Part, fields_of, part_types, tag
from fedspike.parts.codes import CODES, Code
from fedspike.parts.losses import LOSSES, Loss
from fedspike.parts.neurons import NEURONS, Neuron
from fedspike.parts.normalisations import NORMALISATIONS, Normalisation
from fedspike.parts.optimisers import OPTIMISERS, Optimiser
from fedspike.parts.plasticity import PLASTICITIES, Plasticity
from fedspike.parts.read_outs import READ_OUTS, ReadOut
from fedspike.parts.schedules import SCHEDULES, Schedule
from fedspike.parts.surrogates import SURROGATES, Surrogate
from fedspike.remedies import REMEDIES, Remedy
from fedspike.rules import RULES, Rule

FAMILIES: dict[type[Part], tuple[type[Part], ...]] = {
    Source: SOURCES,
    Partition: PARTITIONS,
    Network: NETWORKS,
    Architecture: ARCHITECTURES,
    Code: CODES,
    Neuron: NEURONS,
    Surrogate: SURROGATES,
    ReadOut: READ_OUTS,
    Normalisation: NORMALISATIONS,
    Learner: LEARNERS,
    Loss: LOSSES,
    Optimiser: OPTIMISERS,
    Schedule: SCHEDULES,
    Plasticity: PLASTICITIES,
    Algorithm: ALGORITHMS,
    Graph: GRAPHS,
    Rule: RULES,
    Remedy: REMEDIES,
    Selection: SELECTIONS,
    Clock: CLOCKS,
    Availability: AVAILABILITIES,
}
PLAIN = ("name", "seed", "partition_seed", "rounds", "target_accuracy", "test_noise", "test_blur")
# The tables of a file that have no kind.
RECORDS: dict[str, type[Struct]] = {"fleet": Fleet, "cameras": Cameras}
# The tables of a file that are no field of another part.
ROOTS: dict[str, type[Part]] = {
    "data": Source,
    "partition": Partition,
    "learner": Learner,
    "algorithm": Algorithm,
}


def family_of(annotation: Any) -> type[Part] | None:
    """The family of a field that holds a part; None of a plain field."""
    families = [family for family in part_types(annotation) if family in FAMILIES]
    return families[0] if families else None


@dataclass(frozen=True)
class Kinds:
    """The kinds that can be named; `own` are those of somebody's own files."""

    own: tuple[type[Part], ...] = ()

    @classmethod
    def used(cls, paths: Iterable[Path]) -> "Kinds":
        """With those of these files, which are run for it; InputError where one has none."""
        return cls(own_files.load(paths, own_network))

    def __post_init__(self) -> None:
        for kind in self.own:
            family = next((one for one in FAMILIES if issubclass(kind, one)), None)
            if family and any(tag(kind) == tag(other) for other in FAMILIES[family]):
                raise InputError(
                    f'{kind.__name__} with the kind "{tag(kind)}"',
                    expected=f"a name that no {family.__name__} has yet",
                    fix=f'class {kind.__name__}({kind.__mro__[1].__name__}, tag="my-{tag(kind)}")',
                )
            if any(tag(kind) == tag(one) for one in self.own if one is not kind):
                raise InputError(
                    f'two kinds "{tag(kind)}" in the files of --use',
                    expected="kinds with different names",
                    fix="rename one of them",
                )

    def of(self, family: type[Part]) -> dict[str, type[Part]]:
        """The kinds of a family by name, the usual one first."""
        mine = [kind for kind in self.own if issubclass(kind, family)]
        return {tag(kind): kind for kind in (*FAMILIES[family], *mine)}

    def network_called(self, name: str) -> str:
        """The kind that "mine.py:Net" is, of a file that was used; else the name itself."""
        file, _, kind = name.rpartition(":")
        path = own_files.file_of(self.networks[kind]) if kind in self.networks else None
        return kind if file and path and path.name == Path(file).name else name

    @cached_property
    def networks(self) -> dict[str, type[Network]]:
        """The kinds of networks by name."""
        return {name: kind for name, kind in self.of(Network).items() if issubclass(kind, Network)}

    @cached_property
    def tables(self) -> dict[str, type[Part]]:
        """The tables of a file that have a kind: a table for each part, and the family of each."""
        tables = dict(ROOTS) | dict(self.inside(Fleet))
        families: tuple[type[Part], ...] = (Network, *ROOTS.values())
        for family in families:
            for kind in self.of(family).values():
                tables |= dict(self.inside(kind))
        return tables

    @property
    def top(self) -> tuple[str, ...]:
        """All keys at the top of a file that describe a plan."""
        return (*PLAIN, "network", *RECORDS, "remedies", *self.of(Network), *self.tables)

    def inside(self, kind: type[Struct]) -> Iterator[tuple[str, type[Part]]]:
        """The tables of the parts in a kind, and in these, and the family of each."""
        for field in fields_of(kind):
            family = family_of(field.type)
            if family is not None:
                yield field.name, family
                for inner in self.of(family).values():
                    yield from self.inside(inner)
