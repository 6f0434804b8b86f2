"""What the types in `config.py` say, asked key by key and answered in words for error messages."""

import functools
import types
import typing
from typing import Any

import msgspec

from fedspike.experiment import config
from fedspike.experiment.config import Configuration
from fedspike.experiment.document import Key

WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text in quotes",
    type(None): "nothing",
}
BEYOND_SAYING = 2**31 - 1  # bounds from here on only keep out what no machine could do


@functools.cache
def fields(table: type[config.Table]) -> dict[str, Any]:
    """The keys of a table and their types."""
    return typing.get_type_hints(table, include_extras=True)


def tables(kind: Any) -> list[Any]:
    """The tables that a type allows: none for a plain value, several for a table with kinds."""
    choices = typing.get_args(kind) or (kind,)
    return [c for c in choices if isinstance(c, type) and issubclass(c, config.Table)]


def kinds(kind: Any) -> dict[str, Any]:
    """The kinds of a table that has kinds, by name."""
    found = [table for table in tables(kind) if issubclass(table, config.KindTable)]
    return {str(table.__struct_config__.tag): table for table in found}


def usual_kind(name: str) -> str | None:
    """The kind that a top-level table has unless it says so; None where it has no kinds."""
    return next(iter(kinds(fields(Configuration).get(name))), None)


def described(key: Key, values: dict[str, Any]) -> str:
    """What a known key may hold.

    >>> described(("fleet", "samples_per_round"), {})
    'a whole number >= 1 or "all"'
    """
    return _words(fields(_table_of(key, values))[key[-1]])


def default(key: Key, values: dict[str, Any]) -> str | None:
    """The default of a known key as TOML; None where there is none."""
    found = {field.name: field.default for field in msgspec.structs.fields(_table_of(key, values))}
    value = found[key[-1]]
    if value is None or value is msgspec.NODEFAULT:
        return None
    return written(list(value) if isinstance(value, tuple) else value)


def home_of(name: str, key: Key) -> str | None:
    """Advice for a key that another table has, or another kind of the table `key`."""
    owners = {
        table_name: [kind for kind in tables(type_of) if name in fields(kind)]
        for table_name, type_of in fields(Configuration).items()
    }
    if key and (here := owners.get(key[0])):
        names = " or ".join(written(str(kind.__struct_config__.tag)) for kind in here)
        return f"set {key[0]}.kind = {names}, which has it, or remove {name}"
    for table_name, found in owners.items():
        if found:
            return f"write it in [{table_name}], as {table_name}.{name}"
    return None


def written(value: object) -> str:
    """A value nearly as TOML would have it, cut where it is long."""
    text = f'"{value}"' if isinstance(value, str) else str(value)
    text = text.lower() if isinstance(value, bool) else text
    return text if len(text) <= 60 else f"{text[:57]}..."


def _table_of(key: Key, values: dict[str, Any]) -> type[config.Table]:
    """The struct that has the last part of a known key as its field."""
    table: type[config.Table] = Configuration
    for part in key[:-1]:
        kind, values = fields(table)[part], values.get(part, {})
        table = kinds(kind)[values["kind"]] if kinds(kind) else tables(kind)[0]
    return table


def _words(kind: Any) -> str:
    """A type in words."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _bounded(_words(arguments[0]), arguments[1])
    if origin is typing.Literal:
        return " or ".join(written(choice) for choice in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_words(choice) for choice in arguments)
    if origin is tuple:
        return f"a list of which each is {_words(arguments[0])}"
    return WORDS[kind]


def _bounded(words: str, limits: msgspec.Meta) -> str:
    if limits.pattern:
        return "letters, digits, '.', '_' and '-', at most 100, the first a letter or digit"
    if limits.min_length:
        words += ", not empty"
    bounds = ((">", limits.gt), (">=", limits.ge), ("<", limits.lt), ("<=", limits.le))
    said = [f"{sign} {b:g}" for sign, b in bounds if b is not None and b < BEYOND_SAYING]
    return " ".join([words, " and ".join(said)]).strip()
