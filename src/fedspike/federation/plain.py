"""Plain values, such as a message brings, to parts again."""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

import msgspec

from fedspike.errors import InputError
from fedspike.part import Part, part_types


def kinds(family: type[Part]) -> dict[str, type[Part]]:
    """kind -> class, of all kinds of a family that this process has imported, a user's own among them."""
    found: dict[str, type[Part]] = {}
    for kind in family.__subclasses__():
        if kind.__struct_config__.tag != kind.__name__:
            found[str(kind.__struct_config__.tag)] = kind
        found |= kinds(kind)
    return found


def read_plain(values: Any, kind: Any) -> Any:
    """What msgspec made plain, as the kind that it was. Raises InputError for a kind that nobody knows here.

    >>> from fedspike.parts.losses import Loss, SpikeCountMSE
    >>> read_plain(msgspec.to_builtins(SpikeCountMSE(0.7)), Loss)
    SpikeCountMSE(correct_rate=0.7, incorrect_rate=0.2)
    """
    if families := part_types(kind):
        if values is None:
            return None
        name, known = str(values.get("kind")), kinds(families[0])
        if name not in known:
            raise InputError(
                f"a {families[0].__name__} of kind {name}, which is not known here",
                expected=f"one of {', '.join(sorted(known))}",
                fix="install the same version of fedspike, or give this process the file with the kind",
            )
        fields = {field.name: field.type for field in msgspec.structs.fields(known[name])}
        return known[name](**_each(values, fields))
    if dataclasses.is_dataclass(kind):
        return kind(**_each(values, typing.get_type_hints(kind)))  # type: ignore[operator]
    return msgspec.convert(values, kind)


def _each(values: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: read_plain(values[name], kind) for name, kind in fields.items() if name in values}
