"""`fedspike run`: what a preset or a file says is trained, in this process or in this and others."""

import logging
import os
import shlex
import shutil
import sys
from argparse import Namespace
from functools import partial
from pathlib import Path
from typing import Any

from fedspike.cli.commands import (
    kinds_of,
    prepare_threads,
    prepare_torch,
    print_summary,
    say,
    write_report,
)
from fedspike.cli.stopping import leave, on_stop
from fedspike.errors import InputError
from fedspike.shell import command

WRONG_INPUT = 2


def run(options: Namespace) -> int:
    """Train what is not trained yet, then write the report.

    Of several processes that were started for it, rank 0 alone speaks and stores.
    """
    from fedspike.federation.places.ranks.launched import launched

    started = launched(os.environ)
    if started.size == 1:
        from fedspike.federation.places.ranks.process_group import OneProcess

        return _run(options, OneProcess(), options.device)
    if options.measure and not started.on_one_machine:
        raise InputError(
            "--measure with ranks on several machines",
            expected="ranks on one machine, whose sensors see all of them",
            fix="leave --measure out, or start all with one torchrun",
        )
    return _run_in_ranks(options, started)


def _run_in_ranks(options: Namespace, started: Any) -> int:
    """As one of several processes; what is wrong in one of them is said by rank 0."""
    prepare_threads()
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")  # what torch complains of, our error says
    from fedspike.engine.choice import device_of_rank
    from fedspike.federation.places.ranks.gloo import joined
    from fedspike.federation.places.ranks.process_group import SharedError

    if started.rank:
        logging.getLogger("fedspike").setLevel(logging.CRITICAL)
    try:
        with on_stop(partial(leave, last_words="")), joined(started) as group:
            device = device_of_rank(options.device, started.local_rank)
            return _run(options, group, device)
    except SharedError:
        if started.rank:
            return WRONG_INPUT
        raise


def _run(options: Namespace, group: Any, device: str) -> int:
    from fedspike.data.dataset import ignore
    from fedspike.experiment import sweep

    tell = ignore if group.rank else say
    prepared: list[Any] = []

    def prepare() -> bytes:
        experiment = sweep.read(
            options.experiment, options.set, options.seeds, options.data_dir, kinds_of(options)
        )
        prepare_torch(options.threads, device)
        from fedspike import engine
        from fedspike.experiment.run import load

        tell(f"Engine: {engine.engine(device)}")
        prepared.extend([experiment, load(experiment, tell)])
        return b""

    group.together(prepare)
    experiment, dataset = prepared
    from fedspike.cli.watch import Watch
    from fedspike.experiment.run import Training, perform
    from fedspike.federation.places.ranks.place import Ranks

    folder = options.output or Path("runs") / experiment.name
    training = Training(device=device, measure=options.measure, ranks=Ranks(group))
    if group.rank:
        for _ in perform(experiment, dataset, folder, "", training):
            raise AssertionError("only rank 0 tells what happens")
        return 0
    started_so = f", with {group.size} ranks or any other number," if group.size > 1 else ""
    resume = (
        f"\nStopped. {folder} holds every finished round; to go on{started_so}:"
        f"\n\n  {_resume(options)}\n\n"
    )
    with (
        on_stop(partial(leave, last_words=resume)),
        Watch(experiment.rounds, experiment.variants) as watch,
    ):
        for event in perform(experiment, dataset, folder, _reproduce(options), training):
            watch.show(event)
    say(f"The report: {write_report(folder)}")
    if options.json:
        print_summary(folder)
    return 0


def _reproduce(options: Namespace) -> str:
    """The command that gives these results on any machine: without this machine's folders."""
    words = ["run", options.experiment]
    words += [word for option in options.set for word in ("--set", option)]
    words += [word for file in options.use for word in ("--use", str(file))]
    words += ["--seeds", options.seeds] if options.seeds is not None else []
    words += ["--device", options.device] if options.device != "cpu" else []
    words += ["--measure"] if options.measure else []
    return command(*words)


def _resume(options: Namespace) -> str:
    """The command that goes on here: the same one, with the path of fedspike if the shell needs it."""
    again, called = _reproduce(options), Path(sys.argv[0])
    if called.name == "fedspike" and shutil.which("fedspike") is None:
        again = again.replace("fedspike", shlex.quote(str(called)), 1)
    for name, value in (
        ("--output", options.output),
        ("--threads", options.threads),
        ("--data-dir", options.data_dir),
    ):
        again += f" {name} {shlex.quote(str(value))}" if value is not None else ""
    return again
