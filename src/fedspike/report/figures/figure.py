"""What a figure is: what it needs, its drawing, its caption. A table is a figure too.

A figure is a record of functions in a file of this folder, and one line in the list of a section. The page
and the files are made from these functions alone, so a new figure touches nothing else. Figures of one
subject, such as a chart and the table of its numbers, share a file.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fedspike.report.analysis.results import Results
from fedspike.report.rendering.drawing import Panels, Prose
from fedspike.report.rendering.tables import Caption, Table

NO_WORDS = Caption("")  # of texts, which speak for themselves


@dataclass(frozen=True)
class Figure:
    """Something that a section shows.

    `needs` gives the part of the results that the figure is about; where that is nothing, None or empty, the
    figure is not shown. `draw` makes a table, panels or text of it. `caption` has the words beside it: a text
    that is always the same, or a function of what is needed.
    """

    name: str  # of its files
    draw: Callable[[Any], Table | Panels | Prose]
    caption: Callable[[Any], Caption] | Caption = NO_WORDS
    needs: Callable[[Results], Any] = lambda results: results
    number: str = ""  # of a table that texts refer to, for example "E2"
    summary: str = ""  # the page folds the figure behind these words
    only_as_file: bool = False  # because it is too long to be read: a table as CSV alone

    @property
    def stem(self) -> str:
        """The name of its files."""
        return f"table{self.number}-{self.name}" if self.number else self.name


@dataclass(frozen=True)
class Part:
    """Figures below one another, with a heading and an introduction where they need one."""

    figures: tuple[Any, ...]  # on the page what is shown of them
    heading: str = ""
    introduction: str = ""
    folded: bool = False  # behind its heading


@dataclass(frozen=True)
class Section:
    """A section is shown if any of its figures has what it needs; so is each of its parts."""

    anchor: str  # its address on the page
    heading: str
    parts: tuple[Part, ...]
