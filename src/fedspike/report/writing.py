"""Makes the report of a directory: reads the runs, asks every figure, writes the page and the files."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from fedspike.energy.pricing import Hardware
from fedspike.files import write_whole
from fedspike.records import joined
from fedspike.records.schema import ExperimentSummary
from fedspike.report.analysis.own_prices import with_own_prices
from fedspike.report.analysis.results import Results
from fedspike.report.figures import methods
from fedspike.report.figures.accuracy import ACCURACY_TABLE
from fedspike.report.figures.answer import folders_that_overlap
from fedspike.report.figures.costs import COSTS_TABLE, EQUAL_METHODS_TABLE
from fedspike.report.figures.decision import lines
from fedspike.report.figures.energy_spent import EQUAL_TABLE
from fedspike.report.figures.figure import Figure, Section
from fedspike.report.figures.methods import apart, sentences
from fedspike.report.figures.ranking import RANKS_TABLE
from fedspike.report.rendering.libraries import demand
from fedspike.report.rendering.page import Shown, render
from fedspike.report.rendering.tables import Caption
from fedspike.report.sections import SECTIONS

ANSWER, LINES = 3, 4  # lines of a terminal for the networks, and for the algorithms


def write(
    directory: Path,
    say: Callable[[str], None] = lambda _: None,
    folders: Sequence[Path] = (),
    baseline: str = "",
    busy: Callable[[str], None] = lambda _: None,
    hardware: Hardware | None = None,
) -> Path:
    """Write `report.html`, `tables/` and `figures/` into a directory, an experiment's or a run's.

    They are about the runs of these `folders` if there are any, else about its own. Methods are compared with
    the `baseline`, see `Results`; own prices in `hardware` are used, too. Returns the path of the page; `say`
    hears the answer, and `busy` what is being done meanwhile. Each file is replaced whole or not at all, the
    page last.

    Raises InputError where a directory has no readable summary or cannot be written to, and where the
    libraries that draw are not installed.
    """
    demand()
    results = results_of(folders or (directory,), baseline, hardware or Hardware())
    page, sections = directory / "report.html", []
    busy(f"drawing {len(results.runs)} runs")
    for section in shown(results):
        busy(f"drawn: {section.heading}")
        sections.append(section)
    for section in sections:
        for part in section.parts:
            for figure in part.figures:
                busy(f"writing {figure.figure.stem}")
                for path, content in figure.files:
                    write_whole(directory / path, content, directory)
    write_whole(
        page, render(named(results.experiment, directory), sections).encode("utf-8"), directory
    )
    for line in in_short(results):
        say(line)
    return page


def named(experiment: ExperimentSummary, directory: Path) -> ExperimentSummary:
    """An experiment with the name of its directory, and its own in brackets where that is another one."""
    folder = directory.resolve().name
    if experiment.name == folder:
        return experiment
    return msgspec.structs.replace(experiment, name=f"{folder} ({experiment.name})")


def results_of(folders: Sequence[Path], baseline: str, hardware: Hardware) -> Results:
    """What the runs of these folders come to, also at own prices. Raises InputError as `write` does."""
    experiment, homes = joined.read(folders)
    priced = with_own_prices(experiment, homes, hardware)
    return Results(priced, homes, baseline, hardware, joined.repeated(folders, experiment))


def answer(directory: Path) -> list[str]:
    """What `write` says of a directory; nothing is drawn."""
    return in_short(results_of((directory,), "", Hardware()))


def in_short(results: Results) -> list[str]:
    """The answer in three lines, and what each algorithm is worth as far as that fits a few more."""
    own = lines(results)[:ANSWER] if results.choices or not results.side_by_side else []
    by_method = sentences(results.side_by_side) if results.side_by_side else []
    if len(by_method) > LINES + 1:
        more = len(by_method) - LINES
        by_method = [*by_method[:LINES], f"{more} more settings are on the page."]
    not_compared = apart(results.side_by_side) if results.side_by_side else []
    unsaid = [one for one in not_compared if one not in own]
    return [*own, *by_method, *unsaid, *folders_that_overlap(results)]


def compared(results: Results) -> Iterator[Shown]:
    """The tables that set the runs side by side."""
    networks = [ACCURACY_TABLE] if results.leading or not results.side_by_side else []
    of_methods = (methods.METHODS_TABLE, methods.TESTS_TABLE, COSTS_TABLE, EQUAL_METHODS_TABLE)
    yield from _shown((*of_methods, RANKS_TABLE, *networks, EQUAL_TABLE), results)


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
