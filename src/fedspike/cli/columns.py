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
