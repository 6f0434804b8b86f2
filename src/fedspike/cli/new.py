"""`fedspike new`: asks what somebody has, and writes the file of an experiment."""

import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from fedspike.cli.commands import say
from fedspike.cli.options import new_command
from fedspike.shell import command

QUESTIONS = {
    "data": "Data: fashion-mnist, another set that ships, or a file .npz",
    "clients": "How many devices",
    "skew": "Who has what: even, so many classes on each device (3), or Dirichlet's alpha (0.3)",
    "network": "Network: both, snn or ann",
    "rounds": "Rounds",
}


def add(commands_of: Any) -> None:
    """The command and its options."""
    text = "ask what you have, and write the file of an experiment"
    made = new_command(commands_of, "new", new, text)
    made.add_argument(
        "file",
        metavar="FILE.toml",
        nargs="?",
        type=Path,
        default="my.toml",
        help="default: my.toml",
    )
    for name, question in QUESTIONS.items():
        made.add_argument(f"--{name}", metavar="ANSWER", help=f"{question}; else asked")


def new(options: Namespace) -> int:
    """Write a file that `fedspike run` takes; what is there already stays as it is."""
    from fedspike.experiment.draft import Answers, draft
    from fedspike.files import demand_free, write_new

    demand_free(options.file)
    usual = Answers()._asdict()
    answers = {
        name: getattr(options, name)
        or (usual[name] if options.quiet else _answer(question, usual[name]))
        for name, question in QUESTIONS.items()
    }
    text = draft(str(options.file), Answers(**answers))
    write_new(options.file, text.encode())
    sys.stdout.write(f"{options.file}\n")
    say(f"To train it: {command('run', options.file)}")
    return 0


def _answer(question: str, usual: str) -> str:
    """What is typed, or comes over a pipe; the usual answer for an empty line, and where nothing comes."""
    sys.stderr.write(f"{question} [{usual}]: ")
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not sys.stdin.isatty():
        sys.stderr.write(f"{line.strip() or usual}\n")
    return line.strip() or usual
