"""Packages that only some need, as extras of ours: whether they are here, and how to get them."""

from collections.abc import Iterable
from importlib.util import find_spec

from fedspike.errors import InputError


def install(extra: str) -> str:
    """The command that brings an extra.

    >>> install("images")
    "pip install 'fedspike[images]'"
    """
    return f"pip install 'fedspike[{extra}]'"


def is_here(package: str) -> bool:
    """Whether Python can import a package; it is not imported.

    >>> is_here("json"), is_here("no_such_package")
    (True, False)
    """
    spec = find_spec(package)
    return spec is not None and spec.origin is not None  # a folder that has the name is no package


def demand(packages: Iterable[str], extra: str, passed: str, *, expected: str) -> None:
    """Raise InputError where one of the packages that an extra brings is not here.

    >>> demand(["no_such_package"], "images", "pictures in files", expected="Pillow, which reads them")
    Traceback (most recent call last):
    fedspike.errors.InputError: pictures in files
      expected: Pillow, which reads them
      fix: pip install 'fedspike[images]'
    """
    if not all(map(is_here, packages)):
        raise InputError(passed, expected=expected, fix=install(extra))
