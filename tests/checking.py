"""The types and shapes that the annotations promise, checked while the tests run.

jaxtyping's own import hook binds and checks the names of axes around every function. That is most of a
test's time, and only a function whose annotations speak of an array has such names: the others are checked
by beartype alone, as strictly.
"""

import dataclasses
import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any, get_args

import jaxtyping
from beartype import beartype


def check(package: str) -> None:
    """Check every function and dataclass of a package that is imported from now on."""
    jaxtyping.jaxtyped = lambda **_: checked  # type: ignore[assignment]  # put on all definitions
    jaxtyping.install_import_hook(package, "beartype.beartype")


def checked(made: Any) -> Any:
    """A function whose calls, or a dataclass whose fields, are checked."""
    if inspect.isclass(made):
        if dataclasses.is_dataclass(made):
            made.__init__ = checked(made.__init__)  # type: ignore[method-assign]
        return made
    promised = [*made.__annotations__.values()]
    if made.__qualname__.rpartition(".")[0] in promised:
        return checked_when_called(made)
    return in_one_scope(beartype(made)) if has_axes(promised) else beartype(made)


def checked_when_called(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method whose annotations name its own class, which is not there yet.

    To look a name up in each call, as beartype does, takes longer than many a method.
    """

    @functools.cache
    def with_its_class() -> Callable[..., Any]:
        name = method.__qualname__.rpartition(".")[0]
        own_class = getattr(sys.modules[method.__module__], name)
        method.__annotations__ = {
            each: own_class if promised == name else promised
            for each, promised in method.__annotations__.items()
        }
        checked_method: Callable[..., Any] = checked(method)
        return checked_method

    @functools.wraps(method)
    def call(*arguments: Any, **named: Any) -> Any:
        return with_its_class()(*arguments, **named)

    return call


def in_one_scope(function: Callable[..., Any]) -> Callable[..., Any]:
    """Axes of one name have one size among all arguments and the answer of a call."""

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        with AXES:
            return function(*arguments, **named)

    return call


AXES = jaxtyping.jaxtyped("context")


def has_axes(annotation: Any) -> bool:
    """Whether an annotation speaks of an array; a string may."""
    if isinstance(annotation, list | tuple):
        return any(map(has_axes, annotation))
    array = inspect.isclass(annotation) and issubclass(annotation, jaxtyping.AbstractArray)
    return array or isinstance(annotation, str) or has_axes(get_args(annotation))
