"""A table once, written four ways: for the page, as CSV, as Markdown and as LaTeX."""

import csv
import io
import re
from dataclasses import dataclass, replace

from fedspike.energy.estimate import Estimate

Cell = str | int | float | Estimate | None
NO_FIGURE = "–"
MINUS = "−"


@dataclass(frozen=True)
class Column:
    """A heading, the unit in it, and how the numbers below are written."""

    key: str  # the heading in CSV, with the unit
    label: str
    group: str = ""  # a heading shared with its neighbours
    digits: int = 0
    signed: bool = False
    is_text: bool = False
    is_long: bool = False  # text of more than a line


@dataclass(frozen=True)
class Table:
    """Columns, rows of as many cells, and what a reader must know beside them."""

    number: int | str  # "E1": the first of the energy tables
    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()

    @property
    def heading(self) -> str:
        """Number and title."""
        return f"Table {self.number}. {self.title}"

    @property
    def stem(self) -> str:
        """The name of its files, for example table1-accuracy."""
        return f"table{self.number}-{self.name}"

    @property
    def groups(self) -> list[tuple[str, int]]:
        """The shared headings from left to right, each with the number of columns below it."""
        spans: list[tuple[str, int]] = []
        for column in self.columns:
            if spans and spans[-1][0] == column.group:
                spans[-1] = (column.group, spans[-1][1] + 1)
            else:
                spans.append((column.group, 1))
        return spans

    @property
    def has_groups(self) -> bool:
        """Whether any heading is shared."""
        return any(column.group for column in self.columns)

    @property
    def body(self) -> list[list[str]]:
        """The cells as they are read."""
        return [
            [text(cell, column) for cell, column in zip(row, self.columns, strict=True)]
            for row in self.rows
        ]


def text(cell: Cell, column: Column) -> str:
    """A cell as it is read: thousands apart, a real minus sign, a dash where there is no figure.

    >>> text(79400, Column("operations", "operations"))
    '79,400'
    >>> text(Estimate(-5.25, 0.31, 5), Column("gap", "gap", digits=1, signed=True))
    '−5.2 ± 0.3'
    >>> text(None, Column("gap", "gap"))
    '–'
    """
    if cell is None:
        return NO_FIGURE
    if isinstance(cell, str):
        return cell
    if isinstance(cell, Estimate):
        mean = number(cell.mean, column.digits, signed=column.signed)
        if not cell.half_width:  # one seed, or the same for all: a count, say
            return mean
        return f"{mean} ± {number(cell.half_width, column.digits)}"
    return number(cell, column.digits, signed=column.signed)


def number(value: int | float, digits: int, *, signed: bool = False) -> str:
    """A number as it is read; what rounds to zero has no sign.

    >>> number(-0.04, 1, signed=True), number(1234567, 0), number(2, 1, signed=True)
    ('0.0', '1,234,567', '+2.0')
    """
    shown = f"{abs(value):,.{digits}f}"
    if not re.search("[1-9]", shown) or (value > 0 and not signed):
        return shown
    return f"+{shown}" if value > 0 else f"{MINUS}{shown}"


def numbered(table: Table, key: str) -> Table:
    """The table with long texts that repeat, as sources do, once each below it."""
    place = [column.key for column in table.columns].index(key)
    found = list(dict.fromkeys(row[place] for row in table.rows))
    columns, rows = list(table.columns), [list(row) for row in table.rows]
    columns[place] = replace(columns[place], is_long=False)
    for row in rows:
        row[place] = f"[{found.index(row[place]) + 1}]"
    notes = tuple(f"[{number}] {text}" for number, text in enumerate(found, 1))
    return replace(
        table, columns=tuple(columns), rows=tuple(map(tuple, rows)), notes=(*notes, *table.notes)
    )


def to_csv(table: Table) -> str:
    """The table with ten digits; an interval has a column of its own beside its mean."""
    columns = list(zip(table.columns, zip(*table.rows, strict=True), strict=True))
    written: list[list[object]] = []
    for column, cells in columns:
        means = [cell.mean if isinstance(cell, Estimate) else cell for cell in cells]
        halves = [cell.half_width if isinstance(cell, Estimate) else None for cell in cells]
        written.append([column.key, *map(_ten_digits, means)])
        if any(half is not None for half in halves):
            written.append([f"{column.key}_half_width_95", *map(_ten_digits, halves)])
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(zip(*written, strict=True))
    return out.getvalue()


def to_markdown(table: Table) -> str:
    """The table for a README or an issue, its notes below."""
    header = [f"{c.group}: {c.label}" if c.group else c.label for c in table.columns]
    rule = [":--" if column.is_text else "--:" for column in table.columns]
    lines = [[_markdown(cell) for cell in header], rule]
    lines += [[_markdown(cell) for cell in row] for row in table.body]
    grid = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    notes = "".join(f"\n{_markdown(note)}\n" for note in table.notes)
    return f"**{_markdown(table.heading)}**\n\n{grid}\n{notes}"


def to_latex(table: Table) -> str:
    """The table for a paper; needs no package."""
    alignment = "".join("l" if column.is_text else "r" for column in table.columns)
    lines = []
    if table.has_groups:
        spans = [rf"\multicolumn{{{n}}}{{c}}{{{_latex(name)}}}" for name, n in table.groups]
        lines.append(" & ".join(spans) + r" \\")
    lines.append(" & ".join(_latex(column.label) for column in table.columns) + r" \\ \hline")
    lines += [" & ".join(_latex(cell) for cell in row) + r" \\" for row in table.body]
    notes = [rf"\par\footnotesize {_latex(note)}" for note in table.notes]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_latex(table.title)}}}",
            rf"\begin{{tabular}}{{{alignment}}}",
            r"\hline",
            *lines,
            r"\hline",
            r"\end{tabular}",
            *notes,
            r"\end{table}",
            "",
        ]
    )


_LATEX = {
    **{character: rf"\{character}" for character in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{MINUS: "$-$", "±": r"$\pm$", "×": r"$\times$", "µ": r"$\mu$", NO_FIGURE: "--"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "\n": " "},
}


def _ten_digits(value: object) -> object:
    return f"{value:.10g}" if isinstance(value, float) else value


def _latex(plain: str) -> str:
    return "".join(_LATEX.get(character, character) for character in plain)


def _markdown(plain: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|#~&])", r"\\\1", plain).replace("\n", " ")
