"""The page: sections of figures as one HTML file with everything in it that it needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

from fedspike.records.schema import ExperimentSummary
from fedspike.report.figures.figure import Figure, Section
from fedspike.report.rendering.drawing import DARK, LIGHT, Panels, Prose, for_page
from fedspike.report.rendering.tables import Caption, Table

TEMPLATES = Path(__file__).parent / "templates"
MOST_PANELS = 24  # of a figure on the page, whatever the size of the sweep


@dataclass(frozen=True)
class Shown:
    """A figure as the runs have it."""

    figure: Figure
    drawing: Table | Panels | Prose
    caption: Caption

    @property
    def form(self) -> str:
        """Which part of the template shows it."""
        return type(self.drawing).__name__.lower()

    @property
    def heading(self) -> str:
        """Number and title of a table."""
        number = self.figure.number
        return f"Table {number}. {self.caption.title}" if number else self.caption.title

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
            whole, file = len(self.drawing.panels), f"figures/{self.figure.stem}.svg"
            notes += (f"The first {MOST_PANELS} of {whole}; all are in {file}.",)
        return notes


def render(experiment: ExperimentSummary, sections: Sequence[Section]) -> str:
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
