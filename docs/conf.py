"""How the site is made of docs/ and the code's docstrings: `make docs`."""

from importlib.metadata import version as installed
from typing import Any

project = "FedSpike"
author = "the FedSpike developers"
version = release = installed("fedspike")
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["requirements.txt"]
myst_heading_anchors = 4  # so that links such as #one-run-in-several-processes find their heading
autodoc_typehints_format = "short"
html_theme = "furo"
html_title = "FedSpike"
html_copy_source = False


def as_it_is(_app: Any, _what: str, _name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    """A docstring with its equations and examples, none of which is reStructuredText."""
    lines[:] = ["::", "", *(f"    {line}" for line in lines), ""]


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", as_it_is)
