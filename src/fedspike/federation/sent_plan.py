"""A plan as plain values: what a server sends its devices, and what they make of it."""

import dataclasses
import hashlib
import typing
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from typing import Any

import msgspec
from msgspec.structs import replace

from fedspike.algorithms import Algorithm
from fedspike.data import Cameras
from fedspike.errors import InputError
from fedspike.federation.availabilities import Always
from fedspike.federation.clocks import Untimed
from fedspike.federation.devices import Fleet
from fedspike.federation.plan import Plan
from fedspike.federation.selections import Uniform
from fedspike.learning import Learner
from fedspike.networks import Network
from fedspike.own_files import is_own, own_file, used
from fedspike.part import Part, fields_of, is_kind, part_types, tag
from fedspike.remedies import Remedy


def plain(plan: Plan) -> dict[str, Any]:
    """All of a plan but data and partition, as plain values: what devices receive.

    Who of them is asked when, and what a simulation's clock says, no device needs.

    Raises InputError where the network is no description but a module of one's own.
    """
    fleet = replace(
        plan.fleet, selection=Uniform(), availability=Always(), clock=Untimed(), deadline_s=0.0
    )
    sent = replace(plan, data=None, partition=None, fleet=fleet)
    try:
        values = msgspec.to_builtins(sent)
    except TypeError as error:
        raise InputError(
            f"a plan with {type(plan.network).__name__}, which cannot be sent to devices",
            expected="a network, learner and algorithm that are parts",
            fix="train it here, with rounds(plan)",
        ) from error
    values["own_files"] = {file.name: file.sha256 for file in used(sent)}
    return {key: value for key, value in values.items() if value is not None}


def from_plain(values: Mapping[str, Any], data: Any, partition: Any) -> Plan:
    """The plan of plain values, on a device's own data.

    Raises InputError where the values are none of a plan, a kind is not known here, or is from another file
    than the server's.
    """
    try:
        fleet, own_files = values["fleet"], dict(values["own_files"])
        read = partial(read_plain, files=own_files.values())
        plan = Plan(
            network=read(values["network"], Network),
            data=data,
            partition=partition,
            fleet=Fleet(clients=fleet["clients"], samples_per_round=fleet["samples_per_round"]),
            cameras=Cameras(**values["cameras"]) if "cameras" in values else None,
            learner=read(values["learner"], Learner),
            algorithm=read(values["algorithm"], Algorithm),
            remedies=tuple(read(remedy, Remedy) for remedy in values["remedies"]),
            rounds=values["rounds"],
            seed=values["seed"],
            partition_seed=values.get("partition_seed"),
            name=values["name"],
        )
    except InputError:
        raise
    except Exception as error:  # of whatever type: these values came over the network
        raise InputError(
            f"an order that is no plan: {type(error).__name__}: {error}",
            expected="what the server's fedspike makes of a plan",
            fix="install the same version of fedspike on the server and on all nodes",
        ) from error
    here = {file.name: file.sha256 for file in used(replace(plan, data=None, partition=None))}
    if here != own_files:
        raise InputError(
            f"parts from {here or 'no file'}, where the server's are from {own_files}",
            expected="the same files with parts on the server and on all devices",
            fix="copy the files that the server was given with --use to this device's folder own",
        )
    return plan


def _known(family: type[Part], name: str, files: Collection[str]) -> type[Part]:
    """The kind of that name, of all that this process has imported, a user's own among them.

    Of several that which ships (who gives its name to another is refused, but still there), else one of the
    `files` with these hashes, else the first. Raises InputError where there is none.
    """

    def order(kind: type[Part]) -> tuple[bool, bool]:
        file = own_file(kind)
        return is_own(kind), file is None or file.sha256 not in files

    kinds = [kind for kind in _below(family) if is_kind(kind)]
    if named := [kind for kind in kinds if tag(kind) == name]:
        return min(named, key=order)
    raise InputError(
        f"a {family.__name__} of kind {name}, which is not known here",
        expected=f"one of {', '.join(sorted({*map(tag, kinds)}))}",
        fix="install the same version of fedspike, or give this process the file with the kind",
    )


def _below(family: type[Part]) -> Iterator[type[Part]]:
    """The classes that derive from a class, and from these."""
    for kind in family.__subclasses__():
        yield kind
        yield from _below(kind)


def read_plain(values: Any, kind: Any, files: Collection[str] = ()) -> Any:
    """What msgspec made plain, as the kind that it was. Raises InputError for a kind that nobody knows here.

    `files` are the hashes of those with kinds of somebody's own.

    >>> from fedspike.parts.losses import Loss, SpikeCountMSE
    >>> read_plain(msgspec.to_builtins(SpikeCountMSE(0.7)), Loss)
    SpikeCountMSE(correct_rate=0.7)
    """

    def each(fields: Mapping[str, Any]) -> dict[str, Any]:
        there = {name: kind for name, kind in fields.items() if name in values}
        return {name: read_plain(values[name], kind, files) for name, kind in there.items()}

    if families := part_types(kind):
        if values is None:
            return None
        own = _known(families[0], str(values.get("kind")), files)
        return own(**each({field.name: field.type for field in fields_of(own)}))
    if dataclasses.is_dataclass(kind):
        return kind(**each(typing.get_type_hints(kind)))  # type: ignore[operator]
    return msgspec.convert(values, kind)


def print_of(values: Mapping[str, Any]) -> str:
    """A hash of a plan's plain form, the same in every process."""
    return hashlib.sha256(msgspec.json.encode(values, order="sorted")).hexdigest()
