"""What is written to a run's folder, as tables made from the records; docs/run-directory.md has them."""

import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import NODEFAULT, Struct, structs

from fedspike.experiment.explaining import markdown_table, text_of, with_block
from fedspike.records import schema

FILES = (
    ("rounds.jsonl", schema.RoundRecord),
    ("summary.json", schema.RunSummary),
    ("summary.json of an experiment", schema.ExperimentSummary),
    ("agenda.json", schema.Agenda),
    ("environment.json", schema.Environment),
    ("manifest.json of a checkpoint", schema.Manifest),
)
IN_JSON = {
    **{int: "whole number", float: "number", str: "text", bool: "true or false"},
    **{bytes: "Base64", types.NoneType: "null", Any: "anything"},
}


def filled(text: str) -> str:
    """A document whose block `<!-- records --> ... <!-- end -->` holds the tables."""
    return with_block(text, "records", "\n".join(_tables()))


def _tables() -> Iterator[str]:
    yield f"The schema has version {schema.VERSION}.\n"
    told = {record: file for file, record in FILES}
    left: list[type[Struct]] = [record for _, record in FILES]
    for record in left:  # grows meanwhile: each record that a field holds has a table too
        title = f"{record.__name__}: {told[record]}" if record in told else record.__name__
        yield f"### {title}\n"
        if words := text_of(record.__dict__.get("__doc__")):
            yield f"{words}\n"
        yield markdown_table(("field", "holds", ""), [_row(one) for one in structs.fields(record)])
        left += [
            one for own in structs.fields(record) for one in _records(own.type) if one not in left
        ]


def _row(one: structs.FieldInfo) -> Sequence[str]:
    there = one.default is NODEFAULT and one.default_factory is NODEFAULT
    return f"`{one.encode_name}`", _in_words(one.type), "" if there else "may be left out"


def _records(annotation: Any) -> Iterator[type[Struct]]:
    """Those that a value of this type may hold."""
    if isinstance(annotation, type) and issubclass(annotation, Struct):
        yield annotation
    for one in typing.get_args(annotation):
        yield from _records(one)


def _in_words(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _in_words(arguments[0])
    if origin is typing.Literal:
        return " or ".join(f"`{one!r}`".replace("'", '"') for one in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(_in_words, arguments)))
    if origin is dict:
        return f"object, by {_in_words(arguments[0])}: {_in_words(arguments[1])}"
    if origin in (list, tuple):
        return f"list of {_in_words(arguments[0])}"
    if origin is not None:
        return _in_words(origin)
    if isinstance(annotation, typing.NewType):
        return _in_words(annotation.__supertype__)
    return IN_JSON.get(annotation) or str(annotation.__name__)
