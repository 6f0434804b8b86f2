"""What several commands take."""

import argparse
from pathlib import Path
from typing import Any


def new_command(group: Any, name: str, command: Any, text: str) -> argparse.ArgumentParser:
    """A command of this name, which `command` carries out."""
    made: argparse.ArgumentParser = group.add_parser(name, help=text, description=text)
    made.set_defaults(command=command, parser=made)
    add_quiet(made, default=argparse.SUPPRESS)  # what was said before the command's name stays
    return made


def add_quiet(command: argparse.ArgumentParser, default: Any) -> None:
    """The answer alone."""
    command.add_argument(
        "-q",
        "--quiet",
        action="store_true",
        default=default,
        help="say nothing on standard error but errors",
    )


def add_experiment(command: argparse.ArgumentParser, text: str, **settings: Any) -> None:
    """A preset or a file."""
    metavar = "PRESET|FILE.toml"
    argument: Any = command.add_argument("experiment", metavar=metavar, help=text, **settings)
    argument.completer = presets_and_files


def presets_and_files(prefix: str, **_: Any) -> list[str]:
    """Those that begin like this."""
    from argcomplete.completers import FilesCompleter

    from fedspike.experiment.document import PRESETS

    files: list[str] = FilesCompleter(("toml",))(prefix)
    return sorted(path.stem for path in PRESETS.glob("*.toml")) + files


def add_set(command: argparse.ArgumentParser, text: str) -> None:
    """Changes of single keys."""
    command.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=text)


def add_use(command: argparse.ArgumentParser) -> None:
    """Files with parts of the user's own."""
    command.add_argument(
        "--use",
        action="append",
        default=[],
        type=Path,
        metavar="FILE.py",
        help="run this file and take the parts that it defines; can be given again",
    )


def add_data_dir(command: argparse.ArgumentParser) -> None:
    """Where the data are."""
    command.add_argument("--data-dir", metavar="DIR", help="where the files of the data set are")


def add_json(command: argparse.ArgumentParser, text: str) -> None:
    """The result for programs, too."""
    command.add_argument("--json", action="store_true", help=f"{text} on stdout")


def add_hardware(command: argparse.ArgumentParser, profiles: str) -> None:
    """The chip, the radio and the duty of a device."""
    file = "NAME|FILE.toml"
    command.add_argument(
        "--profile",
        action="append",
        default=[],
        metavar=file,
        help=f"a chip's prices; can be given again; {profiles}",
    )
    command.add_argument("--radio", default="", metavar=file, help="default: bluetooth-le")
    command.add_argument(
        "--duty", default="", metavar=file, help="what a device does in a day; default: two-aa"
    )


def add_changes(command: argparse.ArgumentParser) -> None:
    """What changes an experiment."""
    add_set(command, "override a key, such as rounds=5 or snn.time_steps=10; can be given again")
    command.add_argument("--seeds", metavar="0,1,2", help="do every run once for each seed")
    add_use(command)
    add_data_dir(command)
