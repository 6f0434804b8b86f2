"""The fields of a record out of a document's table: each as its type has it, or an error with its place.

An experiment's tables are read with it (plans.py), and the files of a fleet.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec.structs import FieldInfo

from fedspike.errors import InputError
from fedspike.experiment.document import Document, Key, dotted
from fedspike.part import fields_of, fitting
from fedspike.reading import limits_in_words, nearest, written

R = TypeVar("R", bound=msgspec.Struct)


def record(document: Document, kind: type[R], key: Key = ()) -> R:
    """The record of a whole document, or of the table `key` in it; records inside it are tables of their own.

    Raises InputError, naming file, line and key, at the first key that cannot be used.
    """
    values: Any = document.values
    for part in key:
        values = values[part]
    table, own = table_of(document, values, key), {f.name: f for f in fields_of(kind)}
    demand_known(document, table, own, key)
    demand_whole(document, table, own.values(), key)
    made = {
        name: record(document, field.type, (*key, name))
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct)
        else value_of(document, table[name], field, (*key, name))
        for name, field in own.items()
        if name in table
    }
    try:
        return kind(**made)
    except InputError as error:
        tables = {key[-1]: own} if key else {}
        raise document.placed(error, tables, (*key, next(iter(own)))) from error


def value_of(document: Document, value: object, field: FieldInfo, place: Key) -> Any:
    """The value of a plain field, in its own type. Raises InputError where it cannot hold it."""
    try:
        return fitting(value, field.type)
    except msgspec.ValidationError:
        default = None if field.default is msgspec.NODEFAULT else field.default
        name = dotted(place)
        if isinstance(default, tuple):  # an empty one says that there is none
            default = list(default) or None
        raise document.error(
            place,
            f"{name} = {written(value)}",
            expected=limits_in_words(field.type, value).replace(" or nothing", ""),
            fix=f"correct {name}{'' if field.required else ', or leave it out'}"
            if default is None
            else f"set {name} = {written(default)}, the default",
        ) from None


def demand_known(
    document: Document,
    table: Mapping[str, Any],
    allowed: Collection[str],
    key: Key,
    of_kind: str = "",
    advice: Callable[[str], str] | None = None,
) -> None:
    """Raise InputError at the first key that its table, `of_kind`, does not have; `advice` is the fix."""
    for name in table:
        if name not in allowed:
            place = f"[{dotted(key)}]" if key else "the top level"
            raise document.error(
                (*key, name),
                f"unknown key {dotted((*key, name))}",
                expected=f"in {place}{of_kind}: {', '.join(sorted(allowed))}",
                fix=advice(name) if advice else nearest(name, allowed),
            )


def demand_whole(
    document: Document, table: Mapping[str, Any], fields: Iterable[FieldInfo], key: Key
) -> None:
    """Raise InputError where a table lacks a field that has no default."""
    for field in fields:
        if field.required and field.name not in table:
            name = dotted((*key, field.name))
            raise document.error(
                (*key, "kind"),
                f"{name} is missing",
                expected=limits_in_words(field.type),
                fix=f"add {name}",
            )


def table_of(document: Document, value: Any, key: Key, fix: str = "") -> dict[str, Any]:
    """The value as a table. Raises InputError where it is none."""
    if not isinstance(value, dict):
        raise document.error(
            key,
            f"{key[-1]} = {written(value)}",
            expected=f"a table [{key[-1]}]",
            fix=fix or f"write [{key[-1]}] on a line of its own and its keys below",
        )
    return value
