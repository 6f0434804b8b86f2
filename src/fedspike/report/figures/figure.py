"""What a figure is: what it needs, its data, its drawing, its caption. A table is a figure too.

A figure is a record of functions in one file of this folder, and one line in the list of a section. The page
and the files are made from these functions alone, so a new figure touches nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fedspike.report.analysis.results import Results
from fedspike.report.rendering.drawing import Panels, Prose
from fedspike.report.rendering.tables import Caption, Table

NO_WORDS = Caption("")  # of texts, which speak for themselves


def _everything(results: Results) -> Results:
    return results


def _as_it_is(data: Any) -> Any:
    return data


@dataclass(frozen=True)
class Figure:
    """Something that a section shows.

    `needs` gives the part of the results that the figure is about; where that is nothing, None or empty, the
    figure is not shown. `data` makes of it what is shown, and `draw` a table, panels or text of the data.
    `caption` has the words beside it: a text that is always the same, or a function of what is needed.
    """

    name: str  # of its files
    data: Callable[[Any], Any] = _as_it_is
    draw: Callable[[Any], Table | Panels | Prose] = _as_it_is
    caption: Callable[[Any], Caption] | Caption = NO_WORDS
    needs: Callable[[Results], Any] = _everything
    number: str = ""  # of a table that texts refer to, for example "E2"
    summary: str = ""  # the page folds the figure behind these words
    only_as_file: bool = False  # because it is too long for the page
