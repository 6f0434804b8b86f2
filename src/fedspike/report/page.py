"""Puts the report together and writes it: the page, the tables, the figures."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import msgspec

from fedspike.energy.bill import prices_pj
from fedspike.errors import InputError
from fedspike.records.reader import read
from fedspike.records.schema import ExperimentSummary
from fedspike.report import (
    bills,
    comparison,
    drawing,
    energy_tables,
    founding_study,
    provenance_tables,
    spiking_tables,
    study_tables,
    tables,
    verdict,
)
from fedspike.report.bills import Priced
from fedspike.report.comparison import Comparison
from fedspike.report.device_tables import device_tables
from fedspike.report.energy_figures import energy_figures
from fedspike.report.figures import (
    Figure,
    WeightPicture,
    accuracy_figures,
    partition_figure,
    weight_pictures,
)
from fedspike.report.raster import Raster, rasters
from fedspike.report.repricing import Repriced, reprice
from fedspike.report.spiking_figures import pareto_figure, rates_figure
from fedspike.report.tables import Table

# Keys of a configuration that the page shows already.
SAID_BY_NAME = ("name", "network", "seed", "data.data_dir")
TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Report:
    """Everything that the page shows."""

    experiment: ExperimentSummary
    comparisons: list[Comparison]
    protocol: list[str]  # where the runs depart from the founding study's
    tables: dict[str, Table]
    figures: dict[str, Figure]
    weights: list[WeightPicture]
    rasters: list[Raster]
    priced: Priced | None = None


def write(directory: Path) -> Path:
    """Write `report.html`, `tables/` and `figures/` into an experiment's or a run's directory.

    Returns the path of the page. Each file is replaced whole or not at all, the page last.

    Raises InputError where the directory has no readable summary or cannot be written to.
    """
    report = gather(directory)
    page = directory / "report.html"
    for path, content in _files(report):
        _replace(directory / path, content)
    _replace(page, render(report).encode("utf-8"))
    return page


def gather(directory: Path) -> Report:
    """Read a directory's summaries and make of them all that the page shows."""
    experiment = read(directory)
    found = comparison.compare(experiment.runs)
    founding = [c for c in found if c.setting.is_founding]
    others = [c for c in found if not c.setting.is_founding]
    federated = [run for c in founding for group in c.groups for run in group.runs]
    protocol = study_tables.deviations(experiment.dataset, federated)
    made = [study_tables.operations_table(found)]
    if founding:
        made.append(study_tables.accuracy_table(founding, protocol))
        made.append(study_tables.energy_table(founding, protocol))
    if others:
        made.append(study_tables.other_settings_table(others))
    if any(run.weights.get("sharpness") is not None for run in experiment.runs):
        made.append(study_tables.sharpness_table(found))
    made.append(study_tables.runs_table(experiment.runs))
    made.append(study_tables.models_table(experiment.runs))
    made.append(study_tables.partition_table(experiment.runs))
    figures = [*accuracy_figures(found, beside_study=not protocol), *partition_figure(found)]
    priced = bills.priced(found, experiment.comparisons)
    repriced = reprice(priced) if priced else None
    made += device_tables(experiment.runs)
    made += _energy_tables(experiment, found, priced, repriced)
    first = priced.profile if priced else bills.SHOWN_FIRST
    figures += [*pareto_figure(found, first), *rates_figure(found)]
    if any(c.variant for c in found):
        made.append(spiking_tables.variants_table(found, first))
    if priced:
        figures += energy_figures(priced, repriced)
    return Report(
        experiment,
        found,
        protocol,
        {table.name: table for table in made},
        {figure.name: figure for figure in figures},
        weight_pictures(directory, found),
        rasters(directory, experiment.runs),
        priced,
    )


def _energy_tables(
    experiment: ExperimentSummary,
    comparisons: list[Comparison],
    priced: Priced | None,
    repriced: Repriced | None,
) -> Iterator[Table]:
    """The tables of the energy bill, as far as the runs have one."""
    runs = experiment.runs
    if priced:
        yield energy_tables.baselines_table(priced)
        yield energy_tables.verdict_table(priced)
        yield energy_tables.target_table(priced)
        yield energy_tables.parts_table(priced)
    if repriced:
        yield energy_tables.sensitivity_table(repriced)
        yield energy_tables.published_table(repriced)
        yield energy_tables.standings_table(repriced)
    if any(run.neurobench for run in runs):
        yield provenance_tables.neurobench_table(comparisons)
    if any(run.measured for run in runs):
        yield provenance_tables.measured_table(runs)
    if priced:
        yield provenance_tables.prices_table()
        yield provenance_tables.not_priced_table(priced)
    if any(run.bill for run in runs):
        yield provenance_tables.bills_table(runs)


def render(report: Report) -> str:
    """The page as HTML, with everything in it that it needs."""
    environment = _environment()
    runs = report.experiment.runs
    shared = comparison.shared_values(runs)
    keys = dict.fromkeys(key for run in runs for key in comparison.flat(run.config))
    prices = prices_pj("founding-study")
    return environment.get_template("report.html").render(
        report=report,
        experiment=report.experiment,
        headline=verdict.headline(report.experiment, report.comparisons, report.priced),
        findings=verdict.findings(report.experiment, report.comparisons, report.protocol),
        limits=verdict.limits(report.experiment, report.comparisons, report.priced),
        numbered=tables.numbered,
        shown=bills.shown(report.priced) if report.priced else None,
        shared=shared,
        differing=[key for key in keys if key not in (*shared, *SAID_BY_NAME)],
        flat=comparison.flat,
        environment=_versions(report.experiment),
        prices=prices,
        printed_mac_pj=founding_study.PRINTED_MAC_PJ,
        light=drawing.LIGHT,
        dark=drawing.DARK,
        ink={role: f"var(--{role})" for role in drawing.LIGHT},
    )


def _versions(experiment: ExperimentSummary) -> dict[str, Any]:
    """What the environment of an experiment was, for the page."""
    return {} if experiment.environment is None else msgspec.structs.asdict(experiment.environment)


def _environment() -> jinja2.Environment:
    """Templates that escape whatever data put into them, and stop at a name they do not know."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _files(report: Report) -> Iterator[tuple[str, bytes]]:
    """The tables and figures as files, each with its place below the directory."""
    for table in report.tables.values():
        yield f"tables/{table.stem}.csv", tables.to_csv(table).encode("utf-8")
        yield f"tables/{table.stem}.md", tables.to_markdown(table).encode("utf-8")
        yield f"tables/{table.stem}.tex", tables.to_latex(table).encode("utf-8")
    drawn = [(figure.name, figure.svg) for figure in report.figures.values()]
    for template, pictures in (("weights.svg", report.weights), ("raster.svg", report.rasters)):
        picture_of = _environment().get_template(template)
        drawn += [(p.name, picture_of.render(picture=p, ink=drawing.LIGHT)) for p in pictures]
    for name, svg in drawn:
        yield f"figures/{name}.svg", svg.encode("utf-8")
        yield f"figures/{name}.pdf", drawing.to_pdf(svg)


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
