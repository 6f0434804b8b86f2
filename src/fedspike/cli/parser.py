"""What can be typed, and how a command ends.

Nothing heavy is imported here: `fedspike --help` must answer at once, so every command imports what
it needs when it is called.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from fedspike.cli import (
    commands,
    compare,
    completion,
    deal,
    explain,
    fleet_parser,
    ls,
    making,
    new,
    streams,
    track,
    train,
    tune,
    watch,
)
from fedspike.cli.argument_parser import Parser
from fedspike.cli.exit_codes import READER_GONE, WRONG_INPUT
from fedspike.cli.options import (
    add_changes,
    add_data_dir,
    add_experiment,
    add_hardware,
    add_json,
    add_quiet,
    add_set,
    add_use,
    new_command,
)
from fedspike.cli.stopping import Stopped, on_stop, unwind
from fedspike.errors import InputError

DESCRIPTION = (
    "Should the devices of this fleet learn together with a spiking network or a conventional one? "
    "Simulated, priced, reported."
)
RUN = "RUN"  # the action of `fedspike energy` that has no name


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 2 for wrong input, 130 or 143 when stopped.

    It is 2, too, where standard output takes no more, and 141 where its reader has gone. What is wrong with
    the input is said on stderr, without a traceback; an error of ours keeps it.
    """
    streams.prepare()
    try:
        with on_stop(unwind):
            return _answer(sys.argv[1:] if arguments is None else arguments)
    except InputError as error:
        sys.stderr.write(f"fedspike: {error}\n")
        return WRONG_INPUT
    except Stopped as stop:
        sys.stderr.write(f"\nStopped.{stop.last_words}\n")
        return stop.exit_code
    except BrokenPipeError:
        streams.silence()  # whoever read our output has gone
        return READER_GONE
    except streams.Unwritable as error:
        streams.silence()
        sys.stderr.write(
            f"fedspike: standard output: {error.strerror}\n  expected: a stream that can be written to\n"
            "  fix: free some space, or send the output elsewhere; what was trained is stored\n"
        )
        return WRONG_INPUT


def _answer(arguments: Sequence[str]) -> int:
    """The exit code of a command, when all that it says is written."""
    try:
        _demand_surroundings(arguments)
        options = parsed(arguments)
        with streams.hushed() if options.quiet else nullcontext():
            code: int = options.command(options)
        return code
    finally:
        sys.stdout.flush()


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """A command and its options. Raises InputError where one is not known."""
    top = parser()
    completion.answer_shell(top)
    options, unknown = top.parse_known_args(_run_named(arguments))
    if unknown:
        raise options.parser.unknown(unknown[0])
    return options


def _demand_surroundings(arguments: Sequence[str]) -> None:
    """Raise InputError where no command can work: without a folder to be in, or with names in no alphabet."""
    try:
        here = [str(Path.cwd())]
    except OSError as error:
        raise InputError(
            f"the current folder cannot be found ({error.strerror})",
            expected="a folder that is there",
            fix="change to one: cd ~",
        ) from error
    try:
        Path.home()
    except RuntimeError:  # in which the mere import of altair ends
        os.environ["HOME"] = "/nonexistent"  # as Debian calls it
    if arguments[:1] != ["fleet"]:
        here = []  # only Flower has to write the name of the folder down
    for name in (*here, *arguments):
        if any("\ud800" <= letter <= "\udfff" for letter in name):
            raise InputError(
                f"the name {name} is not UTF-8",
                expected="names that can be stored in records and read on other machines",
                fix="rename the file or folder, for example with convmv",
            )


def _run_named(arguments: Sequence[str]) -> list[str]:
    """`energy FOLDER` as `energy RUN FOLDER`: an argument parser has no action without a name."""
    if arguments[:1] in (["-q"], ["--quiet"]):
        return [arguments[0], *_run_named(arguments[1:])]
    first, word, *_ = [*arguments, "", ""]
    if first != "energy" or word in ("-h", "--help", "", "profiles"):
        return list(arguments)
    from fedspike.reading import nearest

    is_folder = word.startswith("--") or Path(word).exists()
    mistyped = not is_folder and nearest(word, ["profiles"], otherwise="")
    return list(arguments) if mistyped else ["energy", RUN, *arguments[1:]]


class Version(argparse.Action):
    """Print the version; looked up only when asked for, since the look-up takes a while."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Answer and end, as `--help` does."""
        from importlib import metadata

        sys.stdout.write(f"fedspike {metadata.version('fedspike')}\n")
        parser.exit()


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    top = Parser(prog="fedspike", description=DESCRIPTION)
    top.add_argument("--version", action=Version, nargs=0, help="print the version and exit")
    add_quiet(top, default=False)
    commands_of = top.add_subparsers(required=True, metavar="COMMAND")

    _run(commands_of)
    tune.add(commands_of)

    report = new_command(commands_of, "report", commands.report, "write the page of finished runs")
    report.add_argument("folders", type=Path, metavar="DIR", nargs="+")
    report.add_argument(
        "--output", type=Path, metavar="DIR", help="where the page goes; default: DIR, if it is one"
    )
    compare.add_baseline(report)
    add_hardware(report, "those that ship are on the page too; default: horowitz45-int8")
    add_json(report, "print where the page is as JSON")

    compare.add(commands_of)
    watch.add(commands_of)
    track.add(commands_of)
    ls.add(commands_of)
    new.add(commands_of)

    _data(commands_of)

    presets = new_command(commands_of, "presets", commands.presets, "list the presets, or show one")
    presets.add_argument("--show", metavar="PRESET", help="print its TOML, to copy and change")
    add_json(presets, "print the list as JSON")

    explained = new_command(commands_of, "explain", explain.explain, "say what a kind of part is")
    explained.add_argument(
        "name", metavar="KIND|TABLE", nargs="?", help="such as burst, or code; default: list them"
    )
    add_use(explained)
    add_json(explained, "print it as JSON")

    _energy(commands_of)
    fleet_parser.add(commands_of)

    completion.add(commands_of)

    doctor = new_command(commands_of, "doctor", commands.doctor, "say what this machine offers")
    add_json(doctor, "print it as JSON")
    return top


def _run(commands_of: Any) -> None:
    run = new_command(commands_of, "run", train.run, "train what a preset or a TOML file says")
    add_experiment(run, "see: fedspike presets")
    run.add_argument("--output", type=Path, metavar="DIR", help="default: runs/NAME")
    add_changes(run)
    text = "go on for N rounds more than the file says, also where all are finished"
    run.add_argument("--more-rounds", metavar="N", help=text)
    run.add_argument(
        "--dry-run",
        action="store_true",
        help="say what would be done and what it takes; store nothing",
    )
    run.add_argument("--workers", metavar="N", help="processes that train runs side by side")
    run.add_argument(
        "--part", metavar="I/N", help="do part I of N of the runs; others may do the rest meanwhile"
    )
    run.add_argument(
        "--lost-after",
        metavar="SECONDS",
        help="how long ranks wait for one that says nothing; default: 1800",
    )
    run.add_argument(
        "--threads",
        metavar="N",
        help="threads of a computation; default: torch's, or the cores, shared among the workers",
    )
    run.add_argument(
        "--device", default="cpu", metavar="NAME", help="where torch computes: cpu, cuda, mps"
    )
    run.add_argument(
        "--measure",
        action="store_true",
        help="ask this machine's energy sensors meanwhile; see fedspike doctor",
    )
    track.add_trackers(run, "--track", "tell these trackers of each round")
    add_json(run, "print the experiment's summary as JSON")


def _data(commands_of: Any) -> None:
    data = commands_of.add_parser("data", help="check, show, fetch, deal or make a data set")
    actions = data.add_subparsers(required=True, metavar="ACTION")
    for name, command, text in (
        ("check", commands.data_check, "read a data set and say whether it is sound"),
        ("show", commands.data_show, "show what a data set holds"),
        ("fetch", commands.data_fetch, "get a data set onto this machine"),
    ):
        action = new_command(actions, name, command, text)
        action.add_argument(
            "data_set",
            metavar="NAME|FILE.npz|FILE.toml",
            nargs="?",
            default="fashion-mnist",
            help="a .toml file: the data of its experiment; default: fashion-mnist",
        )
        add_set(action, "say how it is read, such as data.range=[0,16]; can be given again")
        add_data_dir(action)
        add_json(action, "print the facts as JSON")

    text = "say who would hold what in an experiment, and how skewed that is"
    dealing = new_command(actions, "deal", deal.deal, text)
    add_experiment(dealing, "see: fedspike presets")
    add_changes(dealing)
    add_json(dealing, "print it and the samples of each class on each client as JSON")
    making.add_make(actions)


def _energy(commands_of: Any) -> None:
    energy = commands_of.add_parser(
        "energy", help="price finished runs, or show the prices that energy is modelled with"
    )
    actions = energy.add_subparsers(required=True, metavar="RUN|profiles")
    text = "price a finished run, or an experiment's runs, without training"
    run = new_command(actions, RUN, commands.energy, text)
    run.prog = "fedspike energy"
    run.add_argument("folder", metavar="RUN", type=Path, help="a folder such as runs/study")
    add_hardware(run, "default: all that ship")
    run.add_argument("--level", metavar="LEVEL", help="study, compute, ...; default: all")
    run.add_argument(
        "--target", metavar="0.85", help="sum the energy until this accuracy; default: the run's"
    )
    run.add_argument(
        "--skip-zeros",
        action="store_true",
        help="hardware for the conventional networks that leaves out products with zero",
    )
    add_json(run, "print the bills as JSON")
    text = "list price profiles, radios and duties with their sources"
    profiles = new_command(actions, "profiles", commands.energy_profiles, text)
    profiles.add_argument(
        "profile", metavar="NAME|FILE.toml", nargs="*", help="only these; a file is checked"
    )
    add_json(profiles, "print them as JSON")
