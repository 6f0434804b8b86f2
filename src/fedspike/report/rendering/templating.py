"""The templates of pages, which escape whatever data put into them."""

from pathlib import Path
from typing import Any

from fedspike.report.rendering.libraries import library
from fedspike.report.rendering.palette import DARK, LIGHT

TEMPLATES = Path(__file__).parent / "templates"


def templates() -> Any:
    """Where a template is got by the name of its file; all of them know the colours."""
    jinja2 = library("jinja2")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"light": LIGHT, "dark": DARK}
    return environment
