"""The page: sections of figures as one HTML file with everything in it that it needs."""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from markupsafe import Markup

from fedspike.records.schema import ExperimentSummary
from fedspike.report.figures.figure import Figure, Section
from fedspike.report.rendering.drawing import Panels, Prose, for_page, in_one, to_pdf
from fedspike.report.rendering.tables import Caption, Table, to_csv, to_latex, to_markdown
from fedspike.report.rendering.templating import templates

LINKED = {".csv": "CSV", ".tex": "LaTeX"}
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

    @cached_property
    def files(self) -> tuple[tuple[str, bytes], ...]:
        """Its files, each with its place below the directory; texts are on the page alone."""
        return tuple(self._files())

    def _files(self) -> Iterator[tuple[str, bytes]]:
        drawing, notes = self.drawing, self.caption.notes
        stem, name = self.figure.stem, self.figure.name
        if isinstance(drawing, Table):
            yield f"tables/{stem}.csv", to_csv(drawing).encode()
        if isinstance(drawing, Table) and not self.figure.only_as_file:
            yield f"tables/{stem}.md", to_markdown(drawing, self.heading, notes).encode()
            yield f"tables/{stem}.tex", to_latex(drawing, self.caption.title, notes, name).encode()
        if isinstance(drawing, Panels):
            svg = in_one(drawing.panels, drawing.panel_rem)
            yield f"figures/{stem}.svg", svg.encode()
            yield f"figures/{stem}.pdf", to_pdf(svg)

    @property
    def links(self) -> list[tuple[str, str, str]]:
        """What a table can be taken as, the name of that file, and an address that holds all of it."""
        return [
            (
                LINKED[path.suffix],
                path.name,
                f"data:text/plain;base64,{b64encode(content).decode()}",
            )
            for path, content in ((Path(name), content) for name, content in self.files)
            if path.suffix in LINKED
        ]

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
    environment = templates()
    environment.filters["unbroken"] = lambda text: text.replace(" %", "\u00a0%").replace(
        " = ", "\u00a0=\u00a0"
    )
    page: str = environment.get_template("report.html").render(
        experiment=experiment,
        sections=sections,
        most_columns=_most_columns(sections),
    )
    return page


def _most_columns(sections: Sequence[Section]) -> int:
    """Of any table on the page."""
    figures = [one for section in sections for part in section.parts for one in part.figures]
    drawings = [one.drawing for one in figures]
    return max((len(one.columns) for one in drawings if isinstance(one, Table)), default=0)
