"""The one error a user's mistake ends in. Everything else is our defect and keeps its traceback."""

import logging
from collections.abc import Sequence
from functools import cache

__all__ = ["InputError"]


class InputError(ValueError):
    """What was passed cannot be used; the message says why and what to do about it.

    The command line prints the message without a traceback and exits with code 2. `keys` are the fields of a
    part that are at fault, or what a file calls the part, the first the most: whoever read the part from a
    file knows where each was written, and says so.

    >>> raise InputError("rounds = 0", expected="a whole number >= 1", fix="set rounds = 100")
    Traceback (most recent call last):
    fedspike.errors.InputError: rounds = 0
      expected: a whole number >= 1
      fix: set rounds = 100
    """

    def __init__(self, passed: str, *, expected: str, fix: str, keys: Sequence[str] = ()) -> None:
        super().__init__(f"{passed}\n  expected: {expected}\n  fix: {fix}")
        self.passed, self.expected, self.fix, self.keys = passed, expected, fix, tuple(keys)


@cache
def warn_once(message: str) -> None:
    """Log what nobody did wrong but everybody should know, the first time in a process."""
    logging.getLogger("fedspike").warning(message)
