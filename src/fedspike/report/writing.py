"""Makes the report of a directory: reads the runs, asks every figure, writes the page and the files."""

from collections.abc import Iterator
from pathlib import Path

from fedspike.errors import InputError
from fedspike.records.reader import read
from fedspike.report.analysis.results import Results
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering import tables
from fedspike.report.rendering.drawing import Panels, in_one, to_pdf
from fedspike.report.rendering.page import Shown, ShownPart, ShownSection, render
from fedspike.report.rendering.tables import Caption, Table
from fedspike.report.sections import SECTIONS


def write(directory: Path) -> Path:
    """Write `report.html`, `tables/` and `figures/` into an experiment's or a run's directory.

    Returns the path of the page. Each file is replaced whole or not at all, the page last.

    Raises InputError where the directory has no readable summary or cannot be written to.
    """
    results = Results(read(directory), directory)
    sections = list(shown(results))
    page = directory / "report.html"
    for section in sections:
        for part in section.parts:
            for figure in part.figures:
                for path, content in files(figure):
                    _replace(directory / path, content)
    _replace(page, render(results.experiment, sections).encode("utf-8"))
    return page


def shown(results: Results) -> Iterator[ShownSection]:
    """The sections, parts and figures that have what they need."""
    for section in SECTIONS:
        parts = []
        for part in section.parts:
            figures = [show for one in part.figures if (show := shown_figure(one, results))]
            if figures:
                parts.append(ShownPart(part.heading, part.introduction, figures))
        if parts:
            yield ShownSection(section.anchor, section.heading, parts)


def shown_figure(figure: Figure, results: Results) -> Shown | None:
    """The drawing of a figure and the words beside it; None where the runs have not what it needs."""
    needed = figure.needs(results)
    if not needed:
        return None
    drawing = figure.draw(figure.data(needed))
    caption = figure.caption if isinstance(figure.caption, Caption) else figure.caption(needed)
    about = figure.name, figure.number, figure.summary, figure.only_as_file
    return Shown(*about, drawing, caption)


def files(figure: Shown) -> Iterator[tuple[str, bytes]]:
    """A figure as files, each with its place below the directory; texts are on the page alone."""
    if isinstance(figure.drawing, Table):
        notes = figure.caption.notes
        yield f"tables/{figure.stem}.csv", tables.to_csv(figure.drawing).encode()
        markdown = tables.to_markdown(figure.drawing, figure.heading, notes)
        yield f"tables/{figure.stem}.md", markdown.encode()
        latex = tables.to_latex(figure.drawing, figure.caption.title, notes)
        yield f"tables/{figure.stem}.tex", latex.encode()
    if isinstance(figure.drawing, Panels):
        svg = in_one(figure.drawing.panels, figure.drawing.panel_rem)
        yield f"figures/{figure.stem}.svg", svg.encode()
        yield f"figures/{figure.stem}.pdf", to_pdf(svg)


def _replace(path: Path, content: bytes) -> None:
    """Put a file in place in one step, so that nobody ever sees half of it."""
    temporary = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(content)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror})",
            expected="a folder that can be written to, on a disk with room",
            fix="make room or change the folder's permissions, or copy it and report on the copy",
        ) from error
