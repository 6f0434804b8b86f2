"""From the configuration that a run's folder keeps to the plan that was trained."""

from collections.abc import Sequence
from dataclasses import replace as replaced
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from fedspike.errors import InputError
from fedspike.experiment import document, kept_files
from fedspike.experiment.kinds import Kinds
from fedspike.experiment.plans import plan_of
from fedspike.federation.plan import Plan
from fedspike.networks import Network
from fedspike.reading import written

CONFIGURATION = "config.toml"
GIVEN = ("data", "partition")  # of these a file has no kind where Python gave an object of its own


def rebuilt(home: Path, use: Sequence[str | Path], network: Any = None) -> Plan:
    """The plan of a run in its folder; `use` are files with parts of one's own, which are run.

    Data and partition are None where they were objects in Python. A `network` of one's own replaces the one
    that the file says. Raises InputError where the file names a kind that nobody gave.
    """
    kinds = Kinds.used(map(Path, use))
    source = document.read(home / CONFIGURATION)
    objects = [name for name in GIVEN if not _has_kind(source.values.get(name))]
    left_out = [*objects, *(["network"] if network is not None else [])]
    values = {name: value for name, value in source.values.items() if name not in left_out}
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
    changed: dict[str, Any] = dict.fromkeys(objects)
    return replace(plan, **changed | ({} if network is None else {"network": network}))


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
