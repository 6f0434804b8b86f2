"""Makes the report of a directory: reads the runs, asks every figure, writes the page and the files."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from fedspike.files import write_whole
from fedspike.records.reader import read
from fedspike.report.analysis.results import Results
from fedspike.report.figures.decision import lines
from fedspike.report.figures.figure import Figure, Section
from fedspike.report.figures.methods import sentences
from fedspike.report.rendering import tables
from fedspike.report.rendering.drawing import Panels, in_one, to_pdf
from fedspike.report.rendering.page import Shown, render
from fedspike.report.rendering.tables import Caption, Table
from fedspike.report.sections import SECTIONS

ANSWER, LINES = 3, 4  # lines of a terminal for the networks, and for the algorithms


def write(directory: Path, say: Callable[[str], None] = lambda _: None) -> Path:
    """Write `report.html`, `tables/` and `figures/` into an experiment's or a run's directory.

    Returns the path of the page; `say` hears what it says first of algorithms side by side. Each file is
    replaced whole or not at all, the page last.

    Raises InputError where the directory has no readable summary or cannot be written to.
    """
    results = Results(read(directory), directory)
    sections = list(shown(results))
    page = directory / "report.html"
    for section in sections:
        for part in section.parts:
            for figure in part.figures:
                for path, content in files(figure):
                    write_whole(directory / path, content, directory)
    write_whole(page, render(results.experiment, sections).encode("utf-8"), directory)
    for line in in_short(results):
        say(line)
    return page


def in_short(results: Results) -> list[str]:
    """The answer in three lines, and what each algorithm is worth as far as that fits a few more."""
    own = lines(results)[:ANSWER] if results.choices or not results.side_by_side else []
    methods = sentences(results.side_by_side) if results.side_by_side else []
    if len(methods) > LINES + 1:
        more = len(methods) - LINES
        methods = [*methods[:LINES], f"{more} more settings are on the page."]
    return own + methods


def shown(results: Results) -> Iterator[Section]:
    """The sections, parts and figures that have what they need."""
    for section in SECTIONS:
        parts = (replace(p, figures=tuple(_shown(p.figures, results))) for p in section.parts)
        if having := tuple(part for part in parts if part.figures):
            yield replace(section, parts=having)


def _shown(figures: Iterable[Figure], results: Results) -> Iterator[Shown]:
    """The drawings of figures and the words beside them, where the runs have what they need."""
    for figure in figures:
        if needed := figure.needs(results):
            caption = figure.caption
            words = caption if isinstance(caption, Caption) else caption(needed)
            yield Shown(figure, figure.draw(needed), words)


def files(figure: Shown) -> Iterator[tuple[str, bytes]]:
    """A figure as files, each with its place below the directory; texts are on the page alone."""
    drawing, stem, notes = figure.drawing, figure.figure.stem, figure.caption.notes
    if isinstance(drawing, Table):
        yield f"tables/{stem}.csv", tables.to_csv(drawing).encode()
        yield f"tables/{stem}.md", tables.to_markdown(drawing, figure.heading, notes).encode()
        yield f"tables/{stem}.tex", tables.to_latex(drawing, figure.caption.title, notes).encode()
    if isinstance(drawing, Panels):
        svg = in_one(drawing.panels, drawing.panel_rem)
        yield f"figures/{stem}.svg", svg.encode()
        yield f"figures/{stem}.pdf", to_pdf(svg)
