"""Tables and sentences as text to read, in lines that a terminal has room for."""

import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence

WIDTH = 100
APART = 2  # blanks before each column


def room() -> int:
    """The characters of a line: the terminal's, or as COLUMNS says; without end where neither is there."""
    return shutil.get_terminal_size((sys.maxsize, 0)).columns


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], names: int = 1) -> Iterator[str]:
    """Columns side by side, the first ones flush left."""
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [
            cell.ljust(width) if place < names else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        yield f"  {'  '.join(cells)}".rstrip()


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    names: int = 1,
    repeated: int | None = None,
) -> Iterator[str]:
    """The same in the room that there is.

    Where that is too little, headings are broken; then columns that are left stand below, beside the
    `repeated` first ones again, or beside all names.
    """
    columns: list[tuple[str, ...]] = [*zip(*rows, strict=True)] if rows else [()] * len(header)
    widths = [max(map(len, (head, *cells))) for head, cells in zip(header, columns, strict=True)]
    if sum(widths) + APART * len(widths) <= room():
        yield from aligned(header, rows, names)
        return
    cells = [max(map(len, column), default=0) for column in columns]
    heads = [_broken(head, width) for head, width in zip(header, cells, strict=True)]
    widths = [max(map(len, (*head, " " * width))) for head, width in zip(heads, cells, strict=True)]
    first = names if repeated is None else repeated
    for place, block in enumerate(_blocks(widths, first)):
        deepest = max(len(heads[column]) for column in block)
        above = [[""] * (deepest - len(heads[column])) + heads[column] for column in block]
        top, *lines = [list(line) for line in zip(*above, strict=True)]
        lines += [[row[column] for column in block] for row in rows]
        yield from [""] if place else []
        yield from aligned(top, lines, sum(column < names for column in block))


def _broken(head: str, width: int) -> list[str]:
    """A heading in lines as wide as the cells below it, or as its longest word."""
    longest = max((width, *map(len, head.split())))
    return textwrap.wrap(head, max(1, longest), break_on_hyphens=False) or [""]


def _blocks(widths: Sequence[int], first: int) -> Iterator[list[int]]:
    """Which columns stand side by side: always the first, and as many others as there is room for."""
    names, block = [*range(first)], list[int]()
    for column in range(first, len(widths)):
        wide = sum(APART + widths[one] for one in (*names, *block, column))
        if block and wide > room():
            yield names + block
            block = []
        block.append(column)
    yield names + block


def wrapped(words: str) -> list[str]:
    """Sentences in lines below something else."""
    return _lines(words, min(WIDTH, room()), "  ", "    ")


def paragraph(words: str, width: int | None = None) -> list[str]:
    """Sentences in lines as long as there is room, and as this width if there is one."""
    return _lines(words, min(width or sys.maxsize, room()))


def _lines(words: str, width: int, first: str = "", others: str = "") -> list[str]:
    """A number stays beside its unit."""
    lines = textwrap.wrap(
        words.replace(" %", "\u00a0%"), width, initial_indent=first, subsequent_indent=others
    )
    return [line.replace("\u00a0%", " %") for line in lines]


def size(count: int) -> str:
    """Bytes in the largest unit of which there is one.

    >>> size(812), size(3_400_000), size(0)
    ('1 kB', '3.4 MB', '0 kB')
    """
    for unit, each in (("GB", 1e9), ("MB", 1e6)):
        if count >= each:
            return f"{count / each:.1f} {unit}"
    return f"{-(-count // 1000)} kB"
