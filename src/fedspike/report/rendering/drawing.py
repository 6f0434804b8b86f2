"""Draws altair charts as SVG and PDF, in colours that the page can exchange for its own.

A chart is drawn in the light palette. On the page every colour becomes a CSS variable of the same
role, so that the charts follow light, dark and print with the text; the files keep the colours.
"""

from __future__ import annotations  # altair is not looked up before it is used

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from fedspike.report.rendering import vega as alt
from fedspike.report.rendering.libraries import library
from fedspike.report.rendering.palette import LIGHT

FONT = "Helvetica, Arial, Liberation Sans, sans-serif"
GEOMETRY = re.compile(r' (?:transform|d|[xy]2?|width|height)="[^"]*"')
LONG = re.compile(r"-?\d+\.\d{3,}(?:e-\d+)?")  # number, as floating point has it
INVISIBLE = re.compile(  # circle of Vega
    r'<path transform="translate\(([\d.]+),([\d.]+)\)"[^>]* opacity="0">(<title>[^<]*</title>)</path>'
)
VALUES = ",.4~g"  # how the value of a mark is written
GAP = 32  # pixels between the panels of a file
PAGE_REM = 60
# What panels are that the page folds: one, many.
MORE_NETWORKS = ("more network", "more networks")
PRICE_TABLES = ("more price table", "more price tables")


@dataclass(frozen=True)
class Panel:
    """One drawing, and what it is of, for readers who cannot see it."""

    label: str
    svg: str


@dataclass(frozen=True)
class Panels:
    """The drawings of a figure. The page folds those after the first `shown`, as "3 more networks".

    `panel_rem` is how wide a panel needs to be on the page.
    """

    panels: tuple[Panel, ...]
    panel_rem: int
    shown: int
    folds: tuple[str, str] = ("more panel", "more panels")  # one, many


@dataclass(frozen=True)
class Prose:
    """Text; the form is that of an HTML element, or "headline"."""

    paragraphs: tuple[str, ...]
    form: str = "p"


def charts(drawn: Iterable[tuple[str, alt.LayerChart]]) -> tuple[Panel, ...]:
    """Panels of altair charts with their labels.

    The first is made sure to be valid, which takes as long as to draw it; the others are like it but
    for their data. Altair would look at every part of each besides, also of those made before.
    """
    with library("altair.utils.schemapi").debug_mode(False):
        return tuple(
            Panel(label, _drawn(chart, validate=place == 0))
            for place, (label, chart) in enumerate(drawn)
        )


def in_one(panels: Sequence[Panel], panel_rem: int) -> str:
    """All panels as one standalone SVG, side by side as far as the page is wide."""
    columns = max(1, min(len(panels), PAGE_REM // panel_rem))
    sizes = [_size(panel.svg) for panel in panels]
    column = max(width for width, _ in sizes) + GAP
    drawn, top = [], 0
    for first in range(0, len(panels), columns):
        for place, panel in enumerate(panels[first : first + columns]):
            drawn.append(panel.svg.replace("<svg ", f'<svg x="{place * column:g}" y="{top:g}" ', 1))
        top += max(height for _, height in sizes[first : first + columns]) + GAP
    width, height = columns * column - GAP, top - GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}">\n'
        f'<rect width="100%" height="100%" fill="{LIGHT["paper"]}"/>\n{"".join(drawn)}\n</svg>\n'
    )


def themed(chart: alt.LayerChart) -> alt.LayerChart:
    """The chart in the report's typography."""
    return alt.LayerChart.from_dict(_themed(chart, validate=True))


def to_pdf(svg: str) -> bytes:
    """An SVG as a one-page PDF."""
    return bytes(library("vl_convert").svg_to_pdf(svg))


def for_page(panel: Panel, title: str) -> Markup:
    """A panel as part of the page: its colours by role, its size and its font by the page."""
    svg = panel.svg.replace(f' font-family="{FONT}"', "").replace(' opacity="1"', "")
    for role, colour in LIGHT.items():
        svg = svg.replace(colour, f"var(--{role})")
    svg = re.sub(r' width="[\d.]+" height="[\d.]+"', "", svg, count=1)
    label = escape(f"{title}: {panel.label}")
    return Markup(svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1))


def _drawn(chart: alt.LayerChart, *, validate: bool) -> str:
    """A chart as SVG. What a mark is described as becomes its title, which is read under the pointer."""
    svg = str(library("vl_convert").vegalite_to_svg(_themed(chart, validate=validate)))
    svg = GEOMETRY.sub(lambda own: LONG.sub(lambda one: f"{float(one[0]):.2f}", own[0]), svg)
    svg = re.sub(r' aria-(hidden|roledescription)="[^"]*"| role="[^"]*"', "", svg)
    svg = re.sub(r'<(\w+) aria-label="([^"]*)"([^>]*)/>', r"<\1\3><title>\2</title></\1>", svg)
    return INVISIBLE.sub(r'<circle cx="\1" cy="\2" r="6" fill="#000" opacity="0">\3</circle>', svg)


def _size(svg: str) -> tuple[int, int]:
    """Width and height of an SVG in pixels."""
    sizes = re.search(r'<svg[^>]*? width="([\d.]+)" height="([\d.]+)"', svg)
    assert sizes, "every panel says its size"
    return math.ceil(float(sizes[1])), math.ceil(float(sizes[2]))


def _themed(chart: alt.LayerChart, *, validate: bool) -> dict[str, Any]:
    """The chart's Vega-Lite specification in the report's typography."""
    axis = {
        **{"labelColor": LIGHT["muted"], "titleColor": LIGHT["muted"], "gridColor": LIGHT["rule"]},
        **{
            "aria": False,
            "domain": False,
            "ticks": False,
            "labelFontSize": 12,
            "titleFontSize": 12,
        },
        **{
            "titleFontWeight": "normal",
            "labelLimit": 0,
            "titleLimit": 0,
            "labelPadding": 6,
            "titlePadding": 8,
        },
    }
    title = {
        "aria": False,
        "anchor": "start",
        "fontSize": 14,
        "fontWeight": 600,
        "color": LIGHT["ink"],
    }
    specification: dict[str, Any] = chart.to_dict(validate=validate)
    return specification | {
        "background": LIGHT["paper"],
        "config": {
            **{"font": FONT, "axis": axis, "numberFormat": VALUES},
            **{"title": {**title, "offset": 10}, "view": {"stroke": None}},
            **{mark: {"aria": False} for mark in ("area", "line", "rule", "text")},
        },
    }
