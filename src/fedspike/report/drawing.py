"""Draws altair charts as SVG and PDF, in colours that the page can exchange for its own.

A chart is drawn in the light palette. On the page every colour becomes a CSS variable of the same
role, so that the charts follow light, dark and print with the text; the files keep the colours.
"""

import re
from typing import Any

import vl_convert

# ANN blue and SNN vermilion after Okabe and Ito, "Color universal design", 2008: they differ for
# every kind of colour vision. Darkened, or lightened, until both are readable as text.
LIGHT = {
    "paper": "#fffffe",
    "ink": "#1b1f24",
    "muted": "#5d6570",
    "rule": "#dfe2e6",
    "ann": "#0067a6",
    "snn": "#b84500",
    "count": "#4a5a6a",
}
DARK = {
    "paper": "#14171b",
    "ink": "#e6e8eb",
    "muted": "#9aa3ad",
    "rule": "#30363d",
    "ann": "#5cb8f0",
    "snn": "#f59145",
    "count": "#a9bacb",
}
# A quantised ANN is an ANN with dashes.
COLOUR = {"ann": LIGHT["ann"], "snn": LIGHT["snn"], "qann": LIGHT["ann"]}
FONT = "Helvetica, Arial, Liberation Sans, sans-serif"


def themed(chart: Any, *, validate: bool = True) -> dict[str, Any]:
    """The chart's Vega-Lite specification in the report's typography."""
    axis = {
        **{"labelColor": LIGHT["muted"], "titleColor": LIGHT["muted"], "gridColor": LIGHT["rule"]},
        **{"domain": False, "ticks": False, "labelFontSize": 12, "titleFontSize": 12},
        **{"titleFontWeight": "normal", "labelPadding": 6, "titlePadding": 8},
    }
    title = {"anchor": "start", "fontSize": 14, "fontWeight": 600, "color": LIGHT["ink"]}
    specification: dict[str, Any] = chart.to_dict(validate=validate)
    return specification | {
        "background": LIGHT["paper"],
        "config": {
            **{"font": FONT, "axis": axis, "aria": False},
            **{"title": {**title, "offset": 10}, "view": {"stroke": None}},
            "concat": {"spacing": 32},
        },
    }


def line_style(network: str) -> dict[str, Any]:
    """What a network's line has beside its colour."""
    return {"strokeDash": [5, 3]} if network == "qann" else {}


def to_svg(chart: Any, *, validate: bool = True) -> str:
    """The chart as a standalone SVG file; to `validate` it takes as long as to draw it."""
    return str(vl_convert.vegalite_to_svg(themed(chart, validate=validate)))


def to_pdf(svg: str) -> bytes:
    """An SVG as a one-page PDF."""
    return bytes(vl_convert.svg_to_pdf(svg))


def for_page(svg: str, label: str) -> str:
    """A standalone SVG made part of the page: its colours by role, its size by the page.

    `label` says what is drawn to whoever cannot see it; it must be escaped already.
    """
    for role, colour in LIGHT.items():
        svg = svg.replace(colour, f"var(--{role})")
    fixed_size = re.compile(r' width="[\d.]+" height="[\d.]+"')
    return fixed_size.sub("", svg, count=1).replace(
        "<svg ", f'<svg role="img" aria-label="{label}" ', 1
    )
