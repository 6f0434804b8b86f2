"""A table once, written four ways: for the page, as CSV, as Markdown and as LaTeX."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from operator import attrgetter
from typing import Any, Literal

from fedspike.energy import units
from fedspike.energy.estimate import Estimate, decimals

NO_FIGURE = "–"
MINUS = "−"
FEWEST_SORTED = 4  # rows
MOST_NAMED = 6  # of many, in a sentence
STRONG, STAR = "Bold", "*"  # on the page, and in text
ROUNDING = 1e-12  # by which means of equal numbers may differ


@dataclass(frozen=True)
class Tinted:
    """A text in the colour of a role, so strong in percent, with a smaller text below it."""

    text: str
    role: str
    percent: int
    below: str = ""


@dataclass(frozen=True)
class Marked(Estimate):
    """An estimate that is bold where a test says that it may be, with smaller lines below it."""

    strong: bool = False
    below: tuple[str, ...] = ()


def marked(estimate: Estimate, *below: str, strong: bool) -> Marked:
    """An estimate with its mark, and lines below it."""
    return Marked(**vars(estimate), strong=strong, below=below)


@dataclass(frozen=True)
class Scaled(Estimate):
    """An estimate in a base unit, read in the one that fits it; a file has it in the base unit."""

    unit: str = ""


def scaled(estimate: Estimate | None, unit: str) -> Scaled | None:
    """An estimate with its base unit; None where there is no figure."""
    return None if estimate is None else Scaled(**vars(estimate), unit=unit)


Cell = str | int | float | Estimate | Tinted | None


@dataclass(frozen=True)
class Column:
    """A heading, the unit in it, and how the cells below are found and written."""

    key: str  # the heading in CSV, with the unit
    label: str
    cell: Callable[[Any], Cell] | None = None  # of what a row is about; else what is so named there
    group: str = ""  # a heading shared with its neighbours
    digits: int | None = 0  # behind the point; None: as many as show three of each number
    signed: bool = False
    form: Literal["number", "tinted", "text", "long", "code"] = "number"  # long: more than a line
    role: str = ""  # the colour of the shared heading
    only_in_files: bool = False  # because the page has no room for all

    @property
    def is_text(self) -> bool:
        """Whether the cells begin at the left."""
        return self.form in ("text", "long", "code")


def words(
    key: str,
    label: str | None = None,
    cell: Callable[[Any], Cell] | None = None,
    form: Literal["text", "long", "code"] = "text",
) -> Column:
    """A column of text."""
    return Column(key, key if label is None else label, cell, form=form)


class Caption:
    """What a figure or a table shows, and what a reader must know beside it."""

    def __init__(self, title: str, *notes: str) -> None:
        self.title, self.notes = title, notes


@dataclass(frozen=True)
class Table:
    """Columns, and rows of as many cells."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    footnotes: tuple[str, ...] = ()  # long texts that cells refer to by number

    @cached_property
    def on_page(self) -> "Table":
        """The columns that the page has."""
        kept = [place for place, column in enumerate(self.columns) if not column.only_in_files]
        rows = tuple(tuple(row[place] for place in kept) for row in self.rows)
        return Table(tuple(self.columns[place] for place in kept), rows, self.footnotes)

    @property
    def groups(self) -> list[tuple[str, str, int]]:
        """The shared headings from left to right: text, role, and the number of columns below it."""
        spans = groupby(self.columns, key=lambda column: (column.group, column.role))
        return [(*heading, len(list(below))) for heading, below in spans]

    @property
    def has_groups(self) -> bool:
        """Whether any heading is shared."""
        return any(column.group for column in self.columns)

    @property
    def can_be_sorted(self) -> bool:
        """Whether its rows are worth another order."""
        return len(self.rows) >= FEWEST_SORTED

    @cached_property
    def places(self) -> list[list[int]]:
        """Where each row stands in the order of each column; see `_order`. The first keeps it as it is."""
        by_column = [list(range(len(self.rows)))]
        for column, cells in zip(
            self.columns[1:], list(zip(*self.rows, strict=True))[1:], strict=True
        ):
            order = _order(cells, column)
            by_column.append(sorted(range(len(order)), key=order.__getitem__))
        return [list(places) for places in zip(*by_column, strict=True)]

    @cached_property
    def body(self) -> list[list[str]]:
        """The cells as they are read."""
        return [
            [text(cell, column) for cell, column in zip(row, self.columns, strict=True)]
            for row in self.rows
        ]

    @property
    def full(self) -> list[list[str]]:
        """The cells as they are read, with what is below them in brackets, and a star where they are bold."""
        return [
            [_in_full(cell, text) for cell, text in zip(row, body, strict=True)]
            for row, body in zip(self.rows, self.body, strict=True)
        ]


def _order(cells: Sequence["Cell"], column: Column) -> list[int]:
    """The rows of a column in order: the highest number first, texts by the alphabet, the empty last.

    What is tinted goes from one network's colour to the other's.
    """

    def key(row: int) -> tuple[bool, float, str]:
        cell = cells[row]
        if isinstance(cell, Estimate):
            cell = cell.mean
        if isinstance(cell, int | float):
            return False, float(-cell), ""
        if isinstance(cell, Tinted):
            return False, float(cell.percent if cell.role == "spiking" else -cell.percent), ""
        whole = re.sub(r"\d+", lambda digits: digits[0].zfill(9), text(cell, column))
        return cell is None, 0.0, whole

    return sorted(range(len(cells)), key=key)


def _in_full(cell: "Cell", text: str) -> str:
    if not isinstance(cell, Marked):
        return text
    below = f" ({', '.join(cell.below)})" if cell.below else ""
    return f"{text}{STAR if cell.strong else ''}{below}"


def table(rows: Iterable[Any], *columns: Column, footnotes: Iterable[str] = ()) -> Table:
    """A row for each of these: a tuple of its cells, or something in which every column finds its own.

    >>> half = Column("half", "half", lambda number: number / 2)
    >>> table([3, (4, 2.0)], Column("real", "number"), half).rows
    ((3, 1.5), (4, 2.0))
    """
    find = [column.cell or attrgetter(column.key) for column in columns]
    cells = (row if isinstance(row, tuple) else tuple(one(row) for one in find) for row in rows)
    return Table(columns, tuple(cells), tuple(footnotes))


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
    if isinstance(cell, Tinted | str):
        return cell if isinstance(cell, str) else cell.text
    if isinstance(cell, Scaled):
        return units.written(cell.mean, cell.unit, cell.half_width)
    mean = cell.mean if isinstance(cell, Estimate) else cell
    digits = places(mean) if column.digits is None else column.digits
    if isinstance(cell, Estimate):
        return interval(cell, digits, signed=column.signed)
    return number(cell, digits, signed=column.signed)


def interval(estimate: Estimate, digits: int, *, signed: bool = False) -> str:
    """A mean with its interval, with enough digits that half of that is no zero.

    >>> interval(Estimate(0.00071, 0.00003, 5), 4), interval(Estimate(3.0, 0.0, 5), 1)
    ('0.00071 ± 0.00003', '3.0')
    >>> interval(Estimate(0.5, None, 10, (-0.04, 1.3)), 1, signed=True)
    '+0.5 (0.0 to +1.3)'
    """
    half = (estimate.high - estimate.low) / 2
    # One seed, or the same for all: a count, say.
    if half <= ROUNDING * abs(estimate.mean):
        return number(estimate.mean, digits, signed=signed)
    digits = decimals(half, digits)
    mean = number(estimate.mean, digits, signed=signed)
    if estimate.ends is None:
        return f"{mean} ± {number(half, digits)}"
    low, high = (number(end, digits, signed=signed) for end in estimate.ends)
    return f"{mean} ({low} to {high})"


def number(value: int | float, digits: int, *, signed: bool = False) -> str:
    """A number as it is read; what rounds to zero has no sign.

    >>> number(-0.04, 1, signed=True), number(1234567, 0), number(2, 1, signed=True)
    ('0.0', '1,234,567', '+2.0')
    """
    shown = f"{abs(value):,.{digits}f}"
    if not re.search("[1-9]", shown) or (value > 0 and not signed):
        return shown
    return f"+{shown}" if value > 0 else f"{MINUS}{shown}"


def three_digits(value: float) -> str:
    """A number with at least three digits.

    >>> three_digits(0.01234), three_digits(4.9228), three_digits(20951.4)
    ('0.0123', '4.92', '20,951')
    """
    return "0" if value == 0 else number(value, places(value))


def places(value: float) -> int:
    """Digits behind the point with which a number has three at least.

    >>> places(0.01234), places(4.9228), places(20951.4)
    (4, 2, 0)
    """
    return max(0, 2 - int(f"{value:e}".partition("e")[2]))


def listed(words: Sequence[str]) -> str:
    """In a sentence.

    >>> listed(["time"]), listed(["time", "bytes", "energy"])
    ('time', 'time, bytes and energy')
    """
    return " and ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)


def first_few(words: Sequence[str]) -> str:
    """The first of many, such as 'a, b, c, d, e, f and 2 more'."""
    few, more = ", ".join(words[:MOST_NAMED]), len(words) - MOST_NAMED
    return f"{few} and {more} more" if more > 0 else few


def span(values: Sequence[int | float], digits: int) -> str:
    """One number, or from the lowest to the highest.

    >>> span([47.44, 47.61], 1), span([47.44, 47.43], 1)
    ('47.4 to 47.6', '47.4')
    """
    low, high = number(min(values), digits), number(max(values), digits)
    return low if low == high else f"{low} to {high}"


def to_csv(table: Table) -> str:
    """The table with ten digits; an interval has columns of its own beside its mean."""
    written: list[list[object]] = []
    by_column = zip(*table.rows, strict=True) if table.rows else [()] * len(table.columns)
    for column, cells in zip(table.columns, by_column, strict=True):
        written.append([column.key, *map(_ten_digits, cells)])
        if not any(isinstance(cell, Estimate) for cell in cells):
            continue
        means = [cell if isinstance(cell, Estimate) else Estimate(0.0, None, 0) for cell in cells]
        beside: dict[str, list[float | None]] = {
            "half_width": [one.half_width for one in means],
            "low": [one.ends and one.low for one in means],
            "high": [one.ends and one.high for one in means],
        }
        for name, numbers in beside.items():
            if any(number is not None for number in numbers):
                written.append([f"{column.key}_{name}_95", *map(_ten_digits, numbers)])
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(zip(*written, strict=True))
    return out.getvalue()


def to_markdown(table: Table, heading: str, notes: Sequence[str]) -> str:
    """The table for a README or an issue, its notes below."""
    header = [f"{c.group}: {c.label}" if c.group else c.label for c in table.columns]
    rule = [":--" if column.is_text else "--:" for column in table.columns]
    lines = [[_markdown(cell) for cell in header], rule]
    lines += _with_tests(table, _markdown, "**{}**")
    grid = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    below = "".join(f"\n{_markdown(note)}\n" for note in (*table.footnotes, *notes))
    return f"**{_markdown(heading)}**\n\n{grid}\n{below}"


def to_latex(table: Table, title: str, notes: Sequence[str], label: str) -> str:
    r"""The table for a paper, with the rules of the package booktabs; `\ref{tab:...}` refers to it."""
    alignment = "".join("l" if column.is_text else "r" for column in table.columns)
    lines = []
    if table.has_groups:
        spans = [rf"\multicolumn{{{n}}}{{c}}{{{_latex(name)}}}" for name, _, n in table.groups]
        lines.append(" & ".join(spans) + r" \\")
    lines += [" & ".join(_latex(column.label) for column in table.columns) + r" \\", r"\midrule"]
    rows = _with_tests(table, _latex, r"\textbf{{{}}}")
    lines += [" & ".join(row) + r" \\" for row in rows]
    below = [rf"\par\footnotesize {_latex(note)}" for note in (*table.footnotes, *notes)]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_latex(title)}}}",
            rf"\label{{tab:{label}}}",
            rf"\begin{{tabular}}{{{alignment}}}",
            r"\toprule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            *below,
            r"\end{table}",
            "",
        ]
    )


_MARKDOWN = str.maketrans(
    {character: f"\\{character}" for character in r"\`*_[]<>|#~&"} | {"\n": " "}
)
_LATEX = str.maketrans(
    {
        **{character: rf"\{character}" for character in "&%$#_{}"},
        **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
        **{MINUS: "$-$", "±": r"$\pm$", "×": r"$\times$", "µ": r"$\mu$", NO_FIGURE: "--"},
        **{"<": r"\textless{}", ">": r"\textgreater{}", "\n": " "},
    }
)


def _ten_digits(cell: Cell) -> object:
    if isinstance(cell, float):
        return f"{cell:.10g}"
    if isinstance(cell, Estimate):
        return f"{cell.mean:.10g}"
    return cell.text if isinstance(cell, Tinted) else cell


def _with_tests(table: Table, escape: Callable[[str], str], bold: str) -> list[list[str]]:
    """The cells as they are read, escaped; bold as on the page, and what is below them there in brackets."""
    rows = []
    for row, body in zip(table.rows, table.body, strict=True):
        cells = []
        for cell, text in zip(row, body, strict=True):
            written = escape(text)
            if isinstance(cell, Marked):
                below = escape(f" ({', '.join(cell.below)})") if cell.below else ""
                written = (bold.format(written) if cell.strong else written) + below
            cells.append(written)
        rows.append(cells)
    return rows


def _latex(plain: str) -> str:
    return plain.translate(_LATEX)


def _markdown(plain: str) -> str:
    return plain.translate(_MARKDOWN)
