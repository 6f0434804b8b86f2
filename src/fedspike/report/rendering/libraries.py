"""The libraries that draw the page: an extra, each loaded when it is first used.

A training and its answer in the terminal need none of them.
"""

from importlib import import_module
from typing import Any

from fedspike import extras

NAMES = ("altair", "vl_convert", "jinja2")
EXTRA = "report"


def are_here() -> bool:
    """Whether the page can be drawn."""
    return all(map(extras.is_here, NAMES))


def install() -> str:
    """The command that brings them."""
    return extras.install(EXTRA)


def demand(*names: str) -> None:
    """Raise InputError where one of these libraries, or any if none is named, is not installed."""
    names = names or NAMES
    missing = [name for name in names if not extras.is_here(name)]
    extras.demand(
        names,
        EXTRA,
        f"the page and its charts without {', '.join(missing)}",
        expected="the libraries that draw them",
    )


def library(name: str) -> Any:
    """One of them. Raises InputError where it is not installed."""
    demand(name.partition(".")[0])
    return import_module(name)
