"""Parts in words, from what they say of themselves: docstring, keys, limits, defaults.

`explained` answers `fedspike explain`, `filled` writes the tables of keys in docs/configuration.md.
"""

import inspect
import re
import sys
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct, structs

from fedspike.errors import InputError
from fedspike.experiment.kinds import PLAIN, RECORDS, Kinds, family_of
from fedspike.federation.plan import Plan
from fedspike.networks import Network, OwnNetwork
from fedspike.part import Part, fields_of, tag
from fedspike.reading import limits_in_words, nearest, written
from fedspike.remedies import Remedy

BLOCK = re.compile(r"(<!-- keys of (\S+) -->\n).*?(<!-- end -->\n)", re.DOTALL)
REQUIRED, NOTHING = "required", "-"


class Key(Struct, frozen=True):
    """A key of a table in an experiment's file."""

    name: str
    limits: str
    default: str
    meaning: str = ""


class ExplainedKind(Struct, frozen=True):
    """All about one kind; `tables` are those of the parts in it."""

    table: str
    kind: str
    name: str
    text: str
    keys: list[Key]
    tables: list[str]


class ExplainedFamily(Struct, frozen=True):
    """What a table of a file is for, and the kinds that it may have, the usual one first."""

    table: str
    name: str
    text: str
    kinds: dict[str, str]


Explained = ExplainedKind | ExplainedFamily


def families(kinds: Kinds) -> dict[str, type[Part]]:
    """All tables that have kinds, and the family of each; `network` and `remedies` among them."""
    return {"network": Network, **kinds.tables, "remedies": Remedy}


def overview(kinds: Kinds) -> list[ExplainedFamily]:
    """All families."""
    return [of_family(table, family, kinds) for table, family in families(kinds).items()]


def explained(name: str, kinds: Kinds) -> list[Explained]:
    """All families and kinds of that name: a table of a file, a kind in it, or a class.

    Raises InputError where there is none.
    """
    answers: list[Explained] = []
    names: set[str] = set()
    for table, family in families(kinds).items():
        names |= {table, family.__name__}
        if name in (table, family.__name__):
            answers.append(of_family(table, family, kinds))
        for kind, part in kinds.of(family).items():
            names |= {kind, part.__name__}
            if name in (kind, part.__name__):
                answers.append(of_kind(table, part))
    if not answers:
        raise InputError(
            f"{name}: no kind of part and no table of an experiment's file",
            expected="a kind such as burst, or a table such as code",
            fix=f"{nearest(name, names, otherwise='correct the name;')} `fedspike explain` alone lists the "
            "tables; a kind of your own needs its file, --use FILE",
        )
    return answers


def of_family(table: str, family: type[Part], kinds: Kinds) -> ExplainedFamily:
    """A family, and the first line of each of its kinds."""
    summaries = {kind: _summary(part) for kind, part in kinds.of(family).items()}
    return ExplainedFamily(table, family.__name__, text_of(family.__doc__), summaries)


def of_kind(table: str, kind: type[Part]) -> ExplainedKind:
    """A kind: its docstring, and that of its file where the file has no other kind."""
    text = text_of(kind.__doc__)
    module = sys.modules[kind.__module__]
    kinds = {one for one in vars(module).values() if _is_kind_of(one, module.__name__)}
    if kinds == {kind} and module.__doc__ and "\n" in module.__doc__.strip():
        text += "\n\n" + text_of(module.__doc__)
    inner = [one.name for one in fields_of(kind) if family_of(one.type)]
    name = tag(kind) if issubclass(kind, Network) else table
    return ExplainedKind(name, tag(kind), kind.__name__, text, keys(kind), inner)


def keys(kind: Any) -> list[Key]:
    """The keys of a table: the plain fields of its record."""
    plain = [one for one in fields_of(kind) if not family_of(one.type)]
    return [Key(one.name, _limits(one.type), _default(one), _meaning(one.type)) for one in plain]


def filled(text: str, kinds: Kinds) -> str:
    """A document whose blocks `<!-- keys of TABLE --> ... <!-- end -->` hold the tables of keys.

    Raises InputError where a table has no block, or a block no table.
    """
    tables = dict(reference(kinds))
    blocks = [block[2] for block in BLOCK.finditer(text)]
    if sorted(blocks) != sorted(tables):
        raise InputError(
            f"blocks for {', '.join(sorted(blocks))}",
            expected=f"one each for {', '.join(sorted(tables))}",
            fix="write <!-- keys of TABLE --> and <!-- end -->, each on a line of its own",
        )
    return BLOCK.sub(lambda block: f"{block[1]}{tables[block[2]]}{block[3]}", text)


def with_block(text: str, name: str, content: str) -> str:
    """A document whose block `<!-- NAME --> ... <!-- end -->` holds this."""
    marks = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->\n)", re.DOTALL)
    return marks.sub(lambda block: f"{block[1]}{content}{block[2]}", text)


def reference(kinds: Kinds) -> Iterator[tuple[str, str]]:
    """Each table of a file, and its keys as tables of Markdown."""
    top = {key.name: key for key in keys(Plan)}
    yield "top", _keys_table([top[name] for name in PLAIN])
    for table, record in RECORDS.items():
        yield table, _keys_table(keys(record))
    for kind, network in kinds.of(Network).items():
        if own := keys(network):
            yield kind, _keys_table(own)
    yield "own-network", _keys_table(keys(OwnNetwork))
    for table, family in families(kinds).items():
        words = _kinds_table(kinds.of(family))
        if family is not Network:
            words += _keys_by_kind(kinds.of(family))
        yield table, words


def _kinds_table(kinds: Mapping[str, type[Part]]) -> str:
    rows = [(f'`"{kind}"`', _summary(part)) for kind, part in kinds.items()]
    return markdown_table(("kind", "meaning"), rows)


def _keys_table(rows: list[Key]) -> str:
    cells = [(f"`{key.name}`", *_cells(key)) for key in rows]
    return markdown_table(("key", "default", "may be", "meaning"), cells)


def _keys_by_kind(kinds: Mapping[str, type[Part]]) -> str:
    """The keys of all kinds, those that several have alike in one row."""
    owners: dict[Key, list[str]] = {}
    for kind, part in kinds.items():
        for key in keys(part):
            owners.setdefault(key, []).append(f'`"{kind}"`')
    rows = [
        (f"`{key.name}`", "all" if len(those) == len(kinds) > 1 else ", ".join(those), *_cells(key))
        for key, those in owners.items()
    ]
    head = ("key", "of", "default", "may be", "meaning")
    return "\n" + markdown_table(head, rows) if rows else ""


def _cells(key: Key) -> tuple[str, str, str]:
    plain = key.default in (REQUIRED, NOTHING)
    return key.default if plain else f"`{key.default}`", key.limits, key.meaning


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    cells = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


def _summary(kind: type[Part]) -> str:
    return inspect.cleandoc(kind.__doc__ or "").partition("\n")[0]


def text_of(docstring: str | None) -> str:
    """A docstring without its examples."""
    paragraphs = inspect.cleandoc(docstring or "").split("\n\n")
    return "\n\n".join(text for text in paragraphs if not text.lstrip().startswith(">>>"))


def _is_kind_of(value: Any, module: str) -> bool:
    """Whether a module defines this kind of part."""
    return isinstance(value, type) and issubclass(value, Part) and value.__module__ == module


def _default(one: structs.FieldInfo) -> str:
    if one.required:
        return REQUIRED
    if one.default is None:
        return NOTHING
    return written(list(one.default) if isinstance(one.default, tuple) else one.default)


def _limits(annotation: Any) -> str:
    return limits_in_words(annotation).removesuffix(" or nothing")


def _meaning(annotation: Any) -> str:
    """What its `Meta(description=...)` says."""
    choices = (annotation, *typing.get_args(annotation))  # of "such a text, or None", too
    limits = [
        one
        for choice in choices
        for one in getattr(choice, "__metadata__", ())
        if isinstance(one, msgspec.Meta)
    ]
    return next((one.description for one in limits if one.description), "")
