"""The page: sections of figures as one HTML file with everything in it that it needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

from fedspike.records.schema import ExperimentSummary
from fedspike.report.rendering.drawing import DARK, LIGHT, Panels, Prose, for_page
from fedspike.report.rendering.tables import Caption, Table

TEMPLATES = Path(__file__).parent / "templates"
MOST_PANELS = 24  # of a figure on the page, whatever the size of the sweep


@dataclass(frozen=True)
class Shown:
    """A figure as the runs have it."""

    name: str
    number: str
    summary: str
    only_as_file: bool
    drawing: Table | Panels | Prose
    caption: Caption

    @property
    def form(self) -> str:
        """Which part of the template shows it."""
        return type(self.drawing).__name__.lower()

    @property
    def stem(self) -> str:
        """The name of its files."""
        return f"table{self.number}-{self.name}" if self.number else self.name

    @property
    def heading(self) -> str:
        """Number and title of a table."""
        title = self.caption.title
        return f"Table {self.number}. {title}" if self.number else title

    @property
    def on_page(self) -> tuple[Markup, ...]:
        """The panels that there is room for."""
        assert isinstance(self.drawing, Panels)
        return tuple(
            for_page(panel, self.caption.title) for panel in self.drawing.panels[:MOST_PANELS]
        )

    @property
    def folds(self) -> str:
        """What is behind the fold, and how many."""
        assert isinstance(self.drawing, Panels)
        count = len(self.drawing.panels[:MOST_PANELS]) - self.drawing.shown
        return f"{count} {self.drawing.folds[count != 1]}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know beside it."""
        notes = self.caption.notes
        if isinstance(self.drawing, Panels) and len(self.drawing.panels) > MOST_PANELS:
            whole = len(self.drawing.panels)
            notes += (f"The first {MOST_PANELS} of {whole}; all are in figures/{self.stem}.svg.",)
        return notes


@dataclass(frozen=True)
class ShownPart:
    """Figures below one another."""

    heading: str
    introduction: str
    figures: Sequence[Shown]


@dataclass(frozen=True)
class ShownSection:
    """A section that has something to show."""

    anchor: str
    heading: str
    parts: Sequence[ShownPart]


def render(experiment: ExperimentSummary, sections: Sequence[ShownSection]) -> str:
    """The page as HTML. The templates escape whatever data put into them."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["unbroken"] = lambda text: text.replace(" %", "\u00a0%").replace(
        " = ", "\u00a0=\u00a0"
    )
    return environment.get_template("report.html").render(
        experiment=experiment, sections=sections, light=LIGHT, dark=DARK
    )
