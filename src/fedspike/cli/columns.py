"""Tables and sentences as text to read."""

import textwrap
from collections.abc import Iterator, Sequence

WIDTH = 100


def table(header: Sequence[str], rows: Sequence[Sequence[str]], names: int = 1) -> Iterator[str]:
    """Columns side by side, the first ones flush left."""
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [
            cell.ljust(width) if place < names else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        yield f"  {'  '.join(cells)}".rstrip()


def wrapped(words: str) -> list[str]:
    """Sentences in lines below something else."""
    return textwrap.wrap(words, WIDTH, initial_indent="  ", subsequent_indent="    ")


def size(count: int) -> str:
    """Bytes in the largest unit of which there is one.

    >>> size(812), size(3_400_000), size(0)
    ('1 kB', '3.4 MB', '0 kB')
    """
    for unit, each in (("GB", 1e9), ("MB", 1e6)):
        if count >= each:
            return f"{count / each:.1f} {unit}"
    return f"{-(-count // 1000)} kB"
