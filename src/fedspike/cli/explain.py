"""`fedspike explain`: parts of an experiment as text to read, from what `--json` prints."""

import sys
import textwrap
from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import Any

from fedspike.cli.commands import kinds_of, print_json

WIDTH = 100
Record = Mapping[str, Any]


def explain(options: Namespace) -> int:
    """Say what a kind of part or a table of an experiment's file is, or what there is to ask for."""
    import msgspec

    from fedspike.experiment import explaining

    kinds = kinds_of(options)
    asked = options.name is not None
    answers = msgspec.to_builtins(
        explaining.explained(options.name, kinds) if asked else explaining.overview(kinds)
    )
    if options.json:
        print_json(answers)
    else:
        sys.stdout.write(text(answers) if asked else overview(answers))
    return 0


def text(answers: Sequence[Record]) -> str:
    """All families and kinds, one below the other."""
    return "\n".join(_family(one) if "kinds" in one else _kind(one) for one in answers)


def overview(families: Sequence[Record]) -> str:
    """What can be asked for: each table of a file, and the kinds that it may have."""
    return _rows({family["table"]: ", ".join(family["kinds"]) for family in families})


def _family(family: Record) -> str:
    title = _title(f"{family['name']}, table [{family['table']}]")
    usual = next(iter(family["kinds"]))
    kinds = f'Kinds, of which "{usual}" is the usual one:\n{_rows(family["kinds"])}'
    return f"{title}{family['text']}\n\n{kinds}"


def _kind(kind: Record) -> str:
    words = _title(f'{kind["name"]}, kind "{kind["kind"]}"') + f"{kind['text']}\n"
    if kind["keys"]:
        keys = {key["name"]: _about(key) for key in kind["keys"]}
        words += f"\nKeys of [{kind['table']}]:\n{_rows(keys)}"
    if kind["tables"]:
        tables = ", ".join(f"[{table}]" for table in kind["tables"])
        words += f"\nParts in it, each in a table of its own: {tables}\n"
    return words


def _about(key: Record) -> str:
    default = key["default"] if key["default"] == "required" else f"default {key['default']}"
    return "; ".join(filter(None, (key["limits"], default, key["meaning"])))


def _title(title: str) -> str:
    return f"{title}\n{'=' * len(title)}\n\n"


def _rows(words: Mapping[str, str]) -> str:
    width = max(map(len, words)) + 2
    return "".join(
        textwrap.fill(
            text, WIDTH, initial_indent=f"  {name:{width}}", subsequent_indent=" " * width
        )
        + "\n"
        for name, text in words.items()
    )
