"""Values of a TOML file -> a `Configuration`, or one error that names the key and the cure."""

import difflib
import functools
import math
import re
import types
import typing
from typing import Any

import msgspec

from fedspike.errors import InputError
from fedspike.experiment import config
from fedspike.experiment.config import Configuration
from fedspike.experiment.document import Document, Key

EXPERIMENT_KEYS = ("centralised_baseline", "sweep")  # of a whole file, not of one run
WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text in quotes",
    type(None): "nothing",
}


def configuration(document: Document, values: dict[str, Any]) -> Configuration:
    """The checked, resolved configuration of `values`, which `document` tells the origin of.

    Raises InputError, naming file, line and key, at the first key that cannot be used.
    """
    _known_keys(document, values, Configuration, ())
    # Both networks' tables are checked, also the ones that this run's network does not need.
    complete = {"snn": {}, "loss": {}, **values}
    try:
        settings = msgspec.convert(complete, Configuration)
    except msgspec.ValidationError as error:
        raise _wrong_value(document, values, str(error)) from error
    _possible(document, settings)
    return resolve(settings)


def numbers(document: Document, value: object, key: Key = ()) -> None:
    """Raise InputError at nan, inf and integers beyond 64 bits, which no key can hold.

    nan in particular would pass a comparison such as "not <= 0".
    """
    if isinstance(value, dict):
        for name, inner in value.items():
            numbers(document, inner, (*key, name))
    elif isinstance(value, list):
        for inner in value:
            numbers(document, inner, key)
    elif (isinstance(value, float) and not math.isfinite(value)) or (
        isinstance(value, int) and abs(value) >= 2**63
    ):
        shown = value if isinstance(value, float) else "a number of more than 64 bits"
        raise document.error(
            key, f"{'.'.join(key)} = {shown}", expected="a finite number", fix="write a number"
        )


def resolve(settings: Configuration) -> Configuration:
    """The same run written out: what it does not use is left out, "all" clients are counted."""
    fleet = settings.fleet
    if fleet.clients_per_round == "all":
        fleet = msgspec.structs.replace(fleet, clients_per_round=fleet.clients)
    if isinstance(settings.partition, config.Centralised):
        fleet = _one_client(fleet)
    spiking = settings.network == "snn"
    return msgspec.structs.replace(
        settings,
        fleet=fleet,
        snn=settings.snn if spiking else None,
        loss=settings.loss if spiking else None,
    )


def nearest(name: str, known: typing.Iterable[str]) -> str:
    """Advice for an unknown name: the most similar known ones, else all of them.

    >>> nearest("clases", ["classes", "kind"])
    'did you mean classes?'
    """
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=2, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"use one of: {', '.join(known)}" if known else "remove it"


def _one_client(fleet: config.Fleet) -> config.Fleet:
    """A single client that trains on as many samples in a round as the fleet would have."""
    samples, cohort = fleet.samples_per_round, fleet.clients_per_round
    if samples != "all":
        samples *= fleet.clients if cohort == "all" else cohort
    return config.Fleet(clients=1, clients_per_round=1, samples_per_round=samples)


def _known_keys(document: Document, values: dict[str, Any], table: Any, key: Key) -> None:
    """Raise at the first key that its table does not have."""
    kinds = _kinds(table)
    if kinds:
        kind = values.get("kind")
        if not isinstance(kind, str) or kind not in kinds:
            here = (*key, "kind") if "kind" in values else key
            known = ", ".join(f'"{name}"' for name in kinds)
            raise document.error(
                here,
                f"{'.'.join(key)} has kind = {_show(kind)}"
                if "kind" in values
                else f"{'.'.join(key)} has no kind",
                expected=f"kind = one of {known}",
                fix=nearest(str(kind or ""), kinds),
            )
    fields = _fields(kinds[values["kind"]] if kinds else _tables(table)[0])
    known_keys = [*fields, *(["kind"] if kinds else []), *(() if key else EXPERIMENT_KEYS)]
    for name, value in values.items():
        if name not in known_keys:
            place = f"[{'.'.join(key)}]" if key else "the top level"
            place += f" of kind {values['kind']!r}" if kinds else ""
            raise document.error(
                (*key, name),
                f"unknown key {'.'.join((*key, name))}",
                expected=f"in {place}: {', '.join(sorted(known_keys))}",
                fix=_elsewhere(name) or nearest(name, known_keys),
            )
        inner = fields.get(name)
        if inner is not None and _is_table(inner):
            if not isinstance(value, dict):
                raise document.error(
                    (*key, name),
                    f"{name} = {_show(value)}",
                    expected=f"a table [{name}]",
                    fix=f"write [{name}] on a line of its own and its keys below",
                )
            _known_keys(document, value, inner, (*key, name))


def _wrong_value(document: Document, values: dict[str, Any], message: str) -> InputError:
    """The error for a value of the wrong type or range; msgspec's message ends in its path."""
    path = message.rpartition("at `$")[2].rstrip("`")
    key = tuple(re.findall(r"\.(\w+)", path))
    if missing := re.match(r"Object missing required field `(\w+)`", message):
        name = ".".join((*key, missing[1]))
        return document.error(
            key,
            f"{name} is missing",
            expected=f"{name} = {_expected((*key, missing[1]), values)}",
            fix=f"add {name}",
        )
    value: Any = values
    for part in key:
        value = value.get(part) if isinstance(value, dict) else None
    return document.error(
        key,
        f"{'.'.join(key)} = {_show(value)}",
        expected=_expected(key, values),
        fix=_usual(key, values),
    )


def _possible(document: Document, settings: Configuration) -> None:
    """Raise where keys that are each right cannot go together."""
    fleet, loss, snn = settings.fleet, settings.loss, settings.snn
    if fleet.clients_per_round != "all" and fleet.clients_per_round > fleet.clients:
        raise document.error(
            ("fleet", "clients_per_round"),
            f"fleet.clients_per_round = {fleet.clients_per_round}, fleet.clients = {fleet.clients}",
            expected=f"at most {fleet.clients} clients in a round",
            fix='set clients_per_round = "all", or raise fleet.clients',
        )
    if isinstance(settings.algorithm, config.Scaffold) and isinstance(
        settings.optimiser, config.Adam
    ):
        raise document.error(
            ("algorithm", "kind"),
            'algorithm.kind = "scaffold" with optimiser.kind = "adam"',
            expected="plain gradient descent on the clients, as SCAFFOLD's mathematics needs",
            fix='set optimiser.kind = "sgd" and optimiser.learning_rate = 0.1',
        )
    if loss is not None and snn is not None:
        targets = [int(snn.time_steps * r) for r in (loss.correct_rate, loss.incorrect_rate)]
        if targets[0] <= targets[1]:
            raise document.error(
                ("loss", "correct_rate"),
                f"{targets[0]} spikes asked for the right class and {targets[1]} for the wrong ones"
                f" (correct_rate = {loss.correct_rate}, incorrect_rate = {loss.incorrect_rate},"
                f" time_steps = {snn.time_steps})",
                expected="more spikes, in whole spikes, for the right class",
                fix="set correct_rate = 0.8, incorrect_rate = 0.2 and at least 2 time steps",
            )


def _expected(key: Key, values: dict[str, Any]) -> str:
    """What the key of a checked path may hold, in words, from its type."""
    return _describe(_fields(_table_of(key, values))[key[-1]])


def _usual(key: Key, values: dict[str, Any]) -> str:
    """The advice to use the default of a key, if it has one."""
    fields = {field.name: field for field in msgspec.structs.fields(_table_of(key, values))}
    default = fields[key[-1]].default
    if default is None or default is msgspec.NODEFAULT:
        return f"correct {'.'.join(key)}"
    default = list(default) if isinstance(default, tuple) else default
    return f"set {'.'.join(key)} = {_show(default)}, the default"


def _table_of(key: Key, values: dict[str, Any]) -> type[config.Table]:
    """The struct that has the last part of a checked key as its field."""
    table: type[config.Table] = Configuration
    for part in key[:-1]:
        kind, values = _fields(table)[part], values.get(part, {})
        table = _kinds(kind)[values["kind"]] if _kinds(kind) else _tables(kind)[0]
    return table


def _describe(kind: Any) -> str:
    """A type in words: `Count | Literal["all"]` is 'a whole number >= 1 or "all"'."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        limits = arguments[1]
        bounds = [
            f"{sign} {bound:g}" if bound < 1e6 else f"{sign} {bound}"
            for sign, bound in (
                (">", limits.gt),
                (">=", limits.ge),
                ("<", limits.lt),
                ("<=", limits.le),
            )
            if bound is not None and bound < 2**31
        ]
        words = _describe(arguments[0])
        if limits.pattern:
            return (
                "letters, digits, '.', '_' and '-', at most 100, beginning with a letter or digit"
            )
        if limits.min_length:
            words += ", not empty"
        return " ".join([words, " and ".join(bounds)]).strip()
    if origin is typing.Literal:
        return " or ".join(f'"{choice}"' for choice in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_describe(choice) for choice in arguments)
    if origin is tuple:
        return f"a list of which each is {_describe(arguments[0])}"
    return WORDS[kind]


@functools.cache
def _fields(table: type[config.Table]) -> dict[str, Any]:
    return typing.get_type_hints(table, include_extras=True)


def _elsewhere(name: str) -> str | None:
    """Advice for a key that was written in the wrong table."""
    for table_name, kind in _fields(Configuration).items():
        if any(name in _fields(table) for table in _tables(kind)):
            return f"write it in [{table_name}], as {table_name}.{name}"
    return None


def _tables(kind: Any) -> list[Any]:
    choices = typing.get_args(kind) or (kind,)
    return [c for c in choices if isinstance(c, type) and issubclass(c, config.Table)]


def _is_table(kind: Any) -> bool:
    return bool(_tables(kind))


def _kinds(kind: Any) -> dict[str, Any]:
    """The kinds of a table that has kinds, by name."""
    tables = [table for table in _tables(kind) if issubclass(table, config.KindTable)]
    return {table.__struct_config__.tag: table for table in tables}


def _show(value: object) -> str:
    text = f'"{value}"' if isinstance(value, str) else str(value)
    text = text.lower() if isinstance(value, bool) else text
    return text if len(text) <= 60 else f"{text[:57]}..."
