"""A section of the report: headings with lists of figures."""

from dataclasses import dataclass

from fedspike.report.figures.figure import Figure


@dataclass(frozen=True)
class Part:
    """Figures below one another, with a heading and an introduction where they need one."""

    figures: tuple[Figure, ...]
    heading: str = ""
    introduction: str = ""


@dataclass(frozen=True)
class Section:
    """A section is shown if any of its figures has what it needs; so is each of its parts."""

    anchor: str  # its address on the page
    heading: str
    parts: tuple[Part, ...]
