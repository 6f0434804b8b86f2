"""The passphrase of the key of a fleet's authority: out of the surroundings, or asked for at a terminal."""

import os
import sys
from getpass import getpass

from fedspike.errors import InputError

VARIABLE = (
    "FEDSPIKE_PASSPHRASE"  # an empty one says that there is none, and that nobody is to be asked
)


def chosen() -> str:
    """A new passphrase; "" for none. Raises InputError where it is typed in two ways."""
    if VARIABLE in os.environ or not _terminal():
        return os.environ.get(VARIABLE, "")
    words = getpass("A passphrase for the key of the fleet's authority (empty: none): ")
    if words and getpass("Again: ") != words:
        raise InputError(
            "two passphrases that differ", expected="the same twice", fix="give the command again"
        )
    return words


def given() -> str:
    """The passphrase of a key that is there. Raises InputError where nobody can be asked."""
    if words := os.environ.get(VARIABLE, ""):
        return words
    if not _terminal():
        raise InputError(
            "the key of the fleet's authority is encrypted",
            expected="its passphrase",
            fix=f"give the command at a terminal, or put the passphrase into {VARIABLE}",
        )
    return getpass("The passphrase of the key of the fleet's authority: ")


def _terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()
