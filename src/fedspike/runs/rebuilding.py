"""From the configuration that a run's folder keeps to the plan that was trained."""

from collections.abc import Mapping, Sequence
from dataclasses import replace as replaced
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from fedspike.errors import InputError
from fedspike.experiment import document, kept_files
from fedspike.experiment.document import Document
from fedspike.experiment.kinds import Kinds
from fedspike.experiment.plans import plan_of, toml_of
from fedspike.federation.plan import Plan
from fedspike.networks import ANN, SNN, Network
from fedspike.own_files import used
from fedspike.part import tag
from fedspike.reading import digested, written

CONFIGURATION = "config.toml"
FIRST_WEIGHTS = "first_weights_sha256"
LONGEST_SHOWN = 60  # characters of a value in an error
GIVEN = ("data", "partition")  # of these a file has no kind where Python gave an object of its own


def rebuilt(home: Path, use: Sequence[str | Path], network: Any = None) -> Plan:
    """The plan of a run in its folder; `use` are files with parts of one's own, which are run.

    Data and partition are None where they were objects in Python. A `network` of one's own replaces the one
    that the file says. Raises InputError where the file names a kind that nobody gave.
    """
    kinds = Kinds.used(map(Path, use))
    source = document.read(home / CONFIGURATION)
    objects = [name for name in GIVEN if not _has_kind(source.values.get(name))]
    described = ["network", str(source.values.get("network"))]
    left_out = [*objects, *(described if network is not None else [])]
    values = {name: value for name, value in source.values.items() if name not in left_out}
    values |= {} if network is None else _in_its_place(network)
    if network is None and values.get("network") not in kinds.of(Network):
        raise _without_network(home, values.get("network"), use)
    try:
        plan = plan_of(replaced(source, values=values), values, kinds)
    except InputError as error:
        if (kept := kept_files.kept(home)) and not use:
            raise InputError(
                error.passed,
                expected="the run's own parts, from files",
                fix=_with_files(home, kept),
            ) from error
        raise
    plan = plan if network is None else replace(plan, network=network)
    kept_files.demand_same(used(plan), home)
    _demand_same(plan, source, objects, given=network is not None)
    return replace(plan, **dict.fromkeys(objects))


def _in_its_place(network: Any) -> dict[str, Any]:
    """Of a file a network that all else in it suits, as it suits this one."""
    if network.code is None:
        return {"network": tag(ANN)}
    return {"network": tag(SNN), tag(SNN): {"time_steps": network.time_steps}}


def _demand_same(plan: Plan, source: Document, objects: Sequence[str], *, given: bool) -> None:
    """Raise InputError where the plan is not the one that the file says, but for the objects in it.

    A network that was `given` has no more than the file says; else a newer fedspike may have more keys.
    """
    here, there = document.leaves(toml_of(plan)), document.leaves(source.values)
    for key in sorted(there.keys() | (here.keys() if given else ())):
        first = key.endswith(f".{FIRST_WEIGHTS}")  # of a module that was trained since
        if key.split(".")[0] not in objects and not first and here.get(key) != there.get(key):
            raise InputError(
                f"{key} = {_shown(here, key)}, and {source.file} has {_shown(there, key)}",
                expected="the plan that was trained",
                fix="make the network as it was made for the training",
            )


def _shown(leaves: Mapping[str, object], key: str) -> str:
    return digested(str(leaves.get(key, "nothing")), LONGEST_SHOWN)


def _has_kind(table: object) -> bool:
    return isinstance(table, dict) and "kind" in table


def _without_network(home: Path, network: object, use: Sequence[str | Path]) -> InputError:
    kept = kept_files.kept(home)
    return InputError(
        f"{home}: its network is {written(network)}, which is not among those that ship",
        expected="the network again: a configuration has no code",
        fix=_with_files(home, kept)
        if kept and not use
        else f'load("{home}", network=ModuleNetwork(module, shape, classes, ...)), made as for the training',
    )


def _with_files(home: Path, kept: Sequence[Path]) -> str:
    return f'load("{home}", use={[*map(str, kept)]}), which runs the files that the run kept'
