"""Finished runs side by side in the terminal, or as tables for a paper."""

import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from fedspike.cli import commands
from fedspike.cli.options import add_json, new_command
from fedspike.errors import InputError

FORMATS = ("text", "latex", "markdown", "csv")


def add(commands_of: Any) -> None:
    """The command and its options."""
    text = "set runs, sweeps and folders side by side, without training"
    made = new_command(commands_of, "compare", compare, text)
    made.add_argument("folders", metavar="DIR", type=Path, nargs="+", help="such as runs/study")
    add_baseline(made)
    made.add_argument(
        "--format", default=FORMATS[0], metavar="NAME", help=f"{', '.join(FORMATS)}; default: text"
    )
    add_json(made, "print the answer and the tables as JSON")


def add_baseline(command: Any) -> None:
    """What the methods are compared with."""
    command.add_argument(
        "--baseline", default="", metavar="NAME", help="a column to compare with; default: fedavg"
    )


def compare(options: Namespace) -> int:
    """Print the answer and the tables of the runs in these folders."""
    from fedspike.reading import nearest

    if options.format not in FORMATS:
        raise InputError(
            f"--format {options.format}",
            expected=f"one of {', '.join(FORMATS)}",
            fix=nearest(options.format, FORMATS),
        )
    from fedspike.cli.columns import paragraph
    from fedspike.energy.pricing import Hardware
    from fedspike.report import writing

    results = writing.results_of(options.folders, options.baseline, Hardware())
    answer, tables = writing.in_short(results), list(writing.compared(results))
    if options.json:
        commands.print_json({"answer": answer, "tables": {t.figure.stem: _rows(t) for t in tables}})
        return 0
    if options.format == "text":
        sys.stdout.write(
            "\n".join([*(row for line in answer for row in paragraph(line)), *map(_text, tables)])
            + "\n"
        )
        return 0
    suffix: dict[str, str] = {"latex": ".tex", "markdown": ".md", "csv": ".csv"}
    for table in tables:
        for path, content in table.files:
            if path.endswith(suffix[options.format]):
                sys.stdout.write(f"{content.decode()}\n")
    return 0


def _text(shown: Any) -> str:
    """A table as the page has it, with its heading above it and its notes below."""
    from fedspike.cli.columns import paragraph, table, wrapped
    from fedspike.report.rendering.tables import STAR, STRONG

    drawing = shown.drawing.on_page
    header = [f"{c.group} {c.label}".strip() for c in drawing.columns]
    names = next((n for n, c in enumerate(drawing.columns) if not c.is_text), len(header))
    notes = [
        line
        for note in (*drawing.footnotes, *shown.notes)
        for line in wrapped(note.replace(f"{STRONG}: ", f"{STAR}: "))
    ]
    return "\n".join(
        ["", *paragraph(shown.heading), "", *table(header, drawing.full, names), "", *notes]
    )


def _rows(shown: Any) -> list[dict[str, Any]]:
    """The rows of a table by the keys of its columns, numbers as numbers."""
    keys = [column.key for column in shown.drawing.columns]
    return [dict(zip(keys, row, strict=True)) for row in shown.drawing.rows]
