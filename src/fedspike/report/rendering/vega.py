"""altair from its first use on, for `from fedspike.report.rendering import vega as alt`.

A table stands in one file with its chart, and whoever reads the table needs no altair.
"""

from typing import Any

from fedspike.report.rendering.libraries import library


def __getattr__(name: str) -> Any:
    """What altair calls so. Raises InputError where altair is not installed."""
    if name.startswith("__"):  # what Python asks any module for
        raise AttributeError(name)
    return getattr(library("altair"), name)
