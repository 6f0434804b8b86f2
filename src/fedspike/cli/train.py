"""`fedspike run`: what a preset or a file says is trained, in this process or in this and others."""

import logging
import os
import shlex
import shutil
import sys
from argparse import Namespace
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from fedspike.cli.commands import (
    conclude,
    count_of,
    prepare_torch,
    print_summary,
    say,
    threads_of_each,
    without_page,
)
from fedspike.cli.dry_run import dry_run
from fedspike.cli.exit_codes import WRONG_INPUT
from fedspike.cli.more_rounds import experiment_of
from fedspike.cli.stopping import leave, on_stop
from fedspike.cli.track import chosen, where
from fedspike.errors import InputError
from fedspike.shell import command


class Manner(NamedTuple):
    """In how many processes runs are trained, with how many threads each, and which of the runs."""

    workers: int
    threads: str | None
    share: tuple[int, int]


def run(options: Namespace) -> int:
    """Train what is not trained yet, then write the report.

    Of several processes that were started for it, rank 0 alone speaks and stores.
    """
    from fedspike.federation.places.ranks.launched import launched

    started, patience = launched(os.environ), _patience(options.lost_after)
    if started.size == 1:
        if patience:
            raise InputError(
                f"--lost-after {options.lost_after} with one process",
                expected="processes that torchrun started, which wait for each other",
                fix="leave it out",
            )
        if options.dry_run:
            return dry_run(options, manner_of(options, started))
        from fedspike.federation.places.ranks.process_group import OneProcess

        return _run(options, started, OneProcess())
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")  # what torch complains of, our error says
    if options.dry_run:
        raise InputError(
            f"--dry-run in {started.size} ranks",
            expected="one process, which says what a run takes there",
            fix="leave torchrun out",
        )
    from fedspike.federation.places.ranks.gloo import joined
    from fedspike.federation.places.ranks.process_group import SharedError

    if started.rank:
        logging.getLogger("fedspike").setLevel(logging.CRITICAL)
    try:
        with on_stop(partial(leave, last_words="")), joined(started, **patience) as group:
            return _run(options, started, group)
    except SharedError:
        if started.rank:
            return WRONG_INPUT
        raise


def _run(options: Namespace, started: Any, group: Any) -> int:
    from fedspike.data.dataset import ignore

    tell = ignore if group.rank else say
    prepared: list[Any] = []
    trackers: list[Any] = []

    def prepare() -> bytes:
        manner = manner_of(options, started)
        trackers.extend(chosen(options.track, "--track"))
        experiment = experiment_of(options, tell)
        prepare_torch(manner.threads, options.device)
        from fedspike import engine
        from fedspike.engine.choice import device_of_rank
        from fedspike.experiment.run import load

        device = (
            device_of_rank(options.device, started.local_rank) if group.size > 1 else options.device
        )
        tell(f"Engine: {engine.engine(device)}")
        if later := without_page(_folder(options, experiment)):
            tell(later)
        training = _training(options, manner, group, device)
        prepared.extend([experiment, load(experiment, tell), training])
        return b""

    group.together(prepare)
    experiment, dataset, training = prepared
    from fedspike.experiment.run import perform

    folder = _folder(options, experiment)
    if group.rank:
        for _ in perform(experiment, dataset, folder, "", training):
            raise AssertionError("only rank 0 tells what happens")
        return 0
    in_any = f", with {group.size} ranks or any other number," if group.size > 1 else ""
    resume = (
        f"\nStopped. {folder} holds every finished round; to go on{in_any}:"
        f"\n\n  {_resume(options)}\n\n"
    )
    with on_stop(partial(leave, last_words=resume)):
        events = perform(experiment, dataset, folder, _reproduce(options), training)
        _shown(events, training.share.runs(experiment.runs), training, folder, trackers)
    _report(experiment, folder, shared=training.share.of > 1)
    if options.json:
        print_summary(folder)
    return 0


def _folder(options: Namespace, experiment: Any) -> Path:
    folder: Path = options.output or Path("runs") / experiment.name
    return folder


def _shown(events: Any, runs: Any, training: Any, folder: Path, trackers: Any) -> None:
    """Show these events of a training's runs, tell the trackers of them, and say where those have them."""
    from fedspike.cli.progress import Progress
    from fedspike.experiment.sweep import time_left
    from fedspike.trackers.feed import Live, place

    at_once = training.workers.size if training.workers else 1
    with (
        Progress(time_left(runs, at_once)) as progress,
        Live(trackers, folder, progress.say) as live,
    ):
        for event in events:
            progress.show(event)
            live.show(event)
    for tracker in live.fed:
        say(where(tracker, place(tracker, folder)))


def _report(experiment: Any, folder: Path, *, shared: bool) -> None:
    """Write the report of all runs; while others train the rest of them, say how many are finished."""
    from fedspike.experiment.storing import STORING
    from fedspike.files import claimed
    from fedspike.records import reader

    finished, runs = len(reader.stored(folder).runs), len(experiment.runs)
    if finished < runs:
        say(
            f"{finished} of {runs} runs are finished; a report of these: {command('report', folder)}"
        )
        return
    with claimed(folder / STORING, folder, wait=True) if shared else nullcontext():
        conclude(folder)


def _training(options: Namespace, manner: Manner, group: Any, device: str) -> Any:
    from fedspike.experiment.training import Share, Training, Workers
    from fedspike.federation.places.ranks.place import Ranks

    threads, use = int(manner.threads or 1), tuple(map(str, options.use))
    return Training(
        device=device,
        measure=options.measure,
        ranks=Ranks(group),
        workers=Workers(manner.workers, threads, use) if manner.workers > 1 else None,
        share=Share(*manner.share),
    )


def manner_of(options: Namespace, started: Any) -> Manner:
    """What the options say. Raises InputError where they do not go together."""
    workers, share = count_of("--workers", options.workers), _share(options.part)
    if workers > 1 and started.size > 1:
        raise InputError(
            f"--workers {workers} in each of {started.size} ranks",
            expected="runs side by side, or one run in several ranks",
            fix="leave --workers out, or start without torchrun",
        )
    if options.measure and workers > 1:
        raise InputError(
            f"--measure with --workers {workers}",
            expected="one run at a time, as sensors do not tell runs apart",
            fix="leave one of them out",
        )
    if options.measure and not started.on_one_machine:
        raise InputError(
            "--measure with ranks on several machines",
            expected="ranks on one machine, whose sensors see all of them",
            fix="leave --measure out, or start all with one torchrun",
        )
    return Manner(workers, threads_of_each(options.threads, workers), share)


def _share(text: str | None) -> tuple[int, int]:
    """Which of how many parts of the runs: the second of four is 2/4."""
    if text is None:
        return 1, 1
    number, _, parts = text.partition("/")
    if all(one.isascii() and one.isdigit() for one in (number, parts)) and len(text) < 12:
        share = int(number), int(parts)
        if 1 <= share[0] <= share[1]:
            return share
    raise InputError(
        f"--part {text}",
        expected="which part of how many, from 1/4 to 4/4 of four",
        fix="write for example --part 1/4",
    )


def _patience(text: str | None) -> dict[str, float]:
    """How long ranks wait for each other; nothing where the option is left out, for they know themselves."""
    from fedspike.federation.places.ranks.launched import LONGEST_WAIT_S

    if text is None:
        return {}
    whole = text.isascii() and text.isdigit() and len(text) < 10
    if whole and 1 <= int(text) <= LONGEST_WAIT_S:
        return {"lost_after_s": float(text)}
    raise InputError(
        f"--lost-after {text}",
        expected=f"a whole number of seconds from 1 to {LONGEST_WAIT_S}",
        fix="leave it out, or use several times what a round takes",
    )


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
        ("--workers", options.workers),
        ("--part", options.part),
        ("--lost-after", options.lost_after),
    ):
        again += f" {name} {shlex.quote(str(value))}" if value is not None else ""
    return again + "".join(f" --track {kind}" for kind in options.track)
