"""`fedspike run --dry-run`: what would be done, from what `--json` prints."""

import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fedspike.cli.columns import size, table, wrapped
from fedspike.cli.commands import prepare_torch, print_json, say
from fedspike.cli.more_rounds import experiment_of

HEADER = ("", "rounds", "stored", "a round", "time left", "memory", "disk")
BESIDE = (
    "Time by a round of each kind of run, without the report; perhaps: by rounds of few samples, where a "
    "whole one is long. Memory: a lower bound, beside Python, torch and the data. Disk: records, "
    "checkpoints, models and what clients remember."
)


def dry_run(options: Namespace, manner: Any) -> int:
    """Say what the command would do without this option; rounds are tried in memory, nothing is stored."""
    experiment = experiment_of(options, say)
    prepare_torch(manner.threads, options.device)
    from fedspike.experiment import outlook
    from fedspike.experiment.run import load

    there = outlook.outlook(
        experiment,
        load(experiment, say),
        options.output or Path("runs") / experiment.name,
        device=options.device,
        at_once=manner.workers,
        say=say,
    )
    if options.json:
        print_json(there)
    else:
        sys.stdout.write(text(there))
    return 0


def text(outlook: Any) -> str:
    """A line for each run, and what all take together."""
    rows = [_row(run) for run in outlook.runs]
    return "\n".join([*_together(outlook), "", *table(HEADER, rows), "", *wrapped(BESIDE), ""])


def _together(outlook: Any) -> Iterator[str]:
    runs = len(outlook.runs)
    yield (
        f"{outlook.name}, in {outlook.folder}: {runs} run{'s' if runs > 1 else ''}, "
        f"{outlook.finished} finished; {outlook.rounds_left} rounds are left"
    )
    many = f", with {outlook.at_once} at once" if outlook.at_once > 1 else ""
    yield f"  time    {_time(outlook.seconds, outlook.projected_s)}{many}"
    yield (
        f"  memory  at least {size(outlook.memory_bytes)}, and {size(outlook.data_bytes)} of data; "
        f"this machine has {size(outlook.memory_here_bytes)}"
    )
    yield f"  disk    about {size(outlook.disk_bytes)}; {size(outlook.disk_free_bytes)} are free"
    for sensor, joules in sorted(outlook.joules.items()):
        yield f"  energy  about {joules:,.0f} J by {sensor}, of this machine as it was in the probe"
    yield "  Nothing was stored."


def _row(run: Any) -> list[str]:
    from fedspike.cli.progress import clock

    if run.finished:
        return [run.run, str(run.rounds), "finished", "", "", "", ""]
    a_round = "" if run.round_seconds is None else f"{run.round_seconds:.2g} s"
    if run.round_seconds and run.round_seconds >= 10:
        a_round = clock(run.round_seconds)
    return [
        *(run.run, str(run.rounds), str(run.rounds_done), a_round),
        *(_time(run.seconds, run.projected_s), size(run.memory_bytes), size(run.disk_bytes)),
    ]


def _time(seconds: float | None, projected_s: float | None) -> str:
    """By rounds that were tried, or by smaller ones."""
    from fedspike.cli.progress import clock

    if seconds is not None:
        return f"about {clock(seconds)}"
    return "unknown" if projected_s is None else f"perhaps {clock(projected_s)}"
