"""`fedspike completion`: what a shell needs to complete commands, options, presets and files."""

import os
import sys
from argparse import ArgumentParser, Namespace
from typing import Any

from fedspike.cli.options import new_command

SHELLS = ("bash", "zsh", "fish")
ASKED = "_ARGCOMPLETE"  # a shell says so when it asks what may come next


def add(commands_of: Any) -> None:
    """The command and its argument."""
    text = "print what bash, zsh or fish needs to complete commands and options"
    command = new_command(commands_of, "completion", completion, text)
    command.add_argument("shell", choices=SHELLS)


def completion(options: Namespace) -> int:
    """Print the shell's code."""
    from argcomplete.shell_integration import shellcode

    sys.stdout.write(shellcode(["fedspike"], shell=options.shell))
    return 0


def answer_shell(parser: ArgumentParser) -> None:
    """Say what may come next, and end, where a shell asks that."""
    if ASKED in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser, always_complete_options="long")
