"""`fedspike data make`: data that a program on this machine makes, with a card that says how."""

import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from fedspike.cli.commands import count_of, print_json, say
from fedspike.cli.options import add_json, new_command
from fedspike.errors import InputError


def add_make(actions: Any) -> None:
    """What can be made, and how much of it."""
    text = "make a data set: spoken digits as spikes of a cochlea"
    action = new_command(actions, "make", make, text)
    action.add_argument("data_set", metavar="NAME", help="what to make; an unknown one lists all")
    action.add_argument(
        "--output", type=Path, metavar="DIR", help="default: a folder of that name, here"
    )
    action.add_argument("--voices", metavar="N", default="10", help="to learn from; default: 10")
    action.add_argument(
        "--takes", metavar="N", default="2", help="of each word by each of them; default: 2"
    )
    add_json(action, "print the paths of its files as JSON")


def make(options: Namespace) -> int:
    """Make a data set and say where its files are; what was stopped goes on."""
    from fedspike.data import spoken_digits
    from fedspike.reading import nearest

    made = {spoken_digits.NAME: spoken_digits.make}
    if options.data_set not in made:
        raise InputError(
            f"{options.data_set}: nothing of that name can be made",
            expected=f"one of {', '.join(made)}",
            fix=nearest(options.data_set, made),
        )
    voices, takes = (
        count_of(option, number)
        for option, number in (("--voices", options.voices), ("--takes", options.takes))
    )
    folder = options.output or Path(options.data_set)
    paths = made[options.data_set](folder, voices, takes, say)
    if options.json:
        print_json([str(path) for path in paths])
    else:
        sys.stdout.write("".join(f"{path}\n" for path in paths))
    return 0
