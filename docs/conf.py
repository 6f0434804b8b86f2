"""How the site is made of docs/ and the code's docstrings: `make docs`."""

import re
from importlib.metadata import version as installed
from typing import Any

project = "FedSpike"
author = "the FedSpike developers"
release = version = installed("fedspike")
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["requirements.txt"]
myst_heading_anchors = 4  # so that links such as #one-run-in-several-processes find their heading
autodoc_typehints = "none"  # limits stand in configuration.md
add_module_names = False
highlight_language = "none"
html_theme = "furo"
html_title = "FedSpike"
html_copy_source = False


def marked_up(
    _app: Any, _what: str, _name: str, _obj: Any, _options: Any, lines: list[str]
) -> None:
    """Our docstrings as reStructuredText: `code`, equations that are indented, and examples."""
    blocks = re.split(r"\n\s*\n", "\n".join(lines).strip("\n"))
    lines[:] = "\n\n".join(map(_block, blocks)).split("\n")


def _block(text: str) -> str:
    if text.startswith("    "):
        return f"::\n\n{text}"
    if text.startswith(">>>"):
        return text
    parts = text.split("`")
    parts[::2] = [re.sub(r"([*|_\\])", r"\\\1", part) for part in parts[::2]]
    return "``".join(parts)


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", marked_up)
