"""`fedspike tune`: the settings with which each network of an experiment does best on held-out samples."""

import os
import sys
import time
from argparse import Namespace
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from fedspike.cli import commands
from fedspike.cli.options import add_changes, add_experiment, add_json, new_command
from fedspike.cli.stopping import leave, on_stop
from fedspike.errors import InputError
from fedspike.shell import command

LINE_SECONDS = 10.0  # at most one line about a round in this time


def add(commands_of: Any) -> None:
    """The command and its options."""
    text = "search for the best settings of each network, on training samples that are held out"
    tune = new_command(commands_of, "tune", tune_networks, text)
    add_experiment(tune, "with a table [tune]")
    tune.add_argument("--output", type=Path, metavar="DIR", help="default: runs/NAME-tuning")
    add_changes(tune)
    tune.add_argument(
        "--workers", metavar="N", help="processes that train side by side; default: 1"
    )
    tune.add_argument(
        "--threads", metavar="N", help="of each worker; default: the cores, shared among them"
    )
    tune.add_argument(
        "--device", default="cpu", metavar="NAME", help="where torch computes: cpu, cuda, mps"
    )
    add_json(tune, "print what was found as JSON")


def tune_networks(options: Namespace) -> int:
    """Search, or go on; then write the file with the best settings and show them."""
    from fedspike.experiment import sweep
    from fedspike.experiment.tuning import searches, suggestion
    from fedspike.federation.places.ranks.launched import launched

    if (ranks := launched(os.environ).size) > 1:
        raise InputError(
            f"a search in each of {ranks} ranks",
            expected="one process, which starts the others",
            fix="start it without torchrun, with --workers",
        )
    experiment = sweep.read(
        options.experiment, options.set, options.seeds, options.data_dir, commands.kinds_of(options)
    )
    tuning = searches.read(experiment)
    optuna = suggestion.demand_optuna()
    folder = options.output or Path("runs") / f"{experiment.name}-tuning"
    workers = commands.count_of("--workers", options.workers)
    threads = commands.threads_of_each(options.threads, workers)
    commands.prepare_torch(threads, options.device)
    from fedspike.data.validation import held_out
    from fedspike.experiment.describing import data_sha256
    from fedspike.experiment.run import load
    from fedspike.experiment.tuning import best
    from fedspike.experiment.tuning.trials import Journal
    from fedspike.experiment.tuning.tuning import demand_searchable, perform
    from fedspike.files import claimed, json_bytes, write_whole

    data = load(experiment, commands.say)
    hashed, dataset = data_sha256(data), held_out(data, tuning.budget.validation)
    del data  # and with it the test samples
    demand_searchable(tuning, dataset)
    commands.say(
        f"{len(tuning.searches)} searches of up to {tuning.budget.trials} trials beside the file's own "
        f"settings: {len(dataset.y_train)} samples train, "
        f"{len(dataset.y_test)} are held out"
    )
    with ExitStack() as stack:
        stack.enter_context(claimed(folder))
        journal = Journal(folder, _about(tuning, hashed, optuna, options.device))
        last_words = (
            f"\nStopped. {folder} holds every finished trial; to go on:\n\n  {_again(options)}\n\n"
        )
        stack.enter_context(on_stop(partial(leave, last_words=last_words)))
        crew = _crew(options, tuning, (dataset, hashed), workers, int(threads or 1), stack)
        show = _Show(tuning, crew.size)
        for event in perform(tuning, journal, crew):
            show.event(event)
        standings = [show.standings[search.name] for search in tuning.searches]
        result = best.result(tuning, standings, len(dataset.y_test))
        write_whole(folder / best.RESULT, json_bytes(result), folder)
        write_whole(folder / best.FILE, best.toml(tuning, standings).encode(), folder)
    if options.json:
        commands.print_json(result)
    else:
        sys.stdout.write("\n".join(_table(result)) + "\n")
    commands.say(f"To train with these: {command('run', folder / best.FILE)}")
    return 0


def _about(tuning: Any, data_sha256: str, optuna: str, device: str) -> dict[str, str]:
    """What must be the same when a search goes on."""
    from fedspike.own_files import used
    from fedspike.records.environment import versions

    own = {file.name: file.sha256 for search in tuning.searches for file in used(search.plan)}
    about = {"settings_sha256": tuning.sha256, "data_sha256": data_sha256, "optuna": optuna}
    return about | own | versions(device)


def _crew(
    options: Namespace,
    tuning: Any,
    data: tuple[Any, str],
    workers: int,
    threads: int,
    stack: ExitStack,
) -> Any:
    from fedspike.experiment.tuning.crew import Alone, ForTrials, crew

    experiment, (dataset, hashed) = tuning.experiment, data
    if workers == 1:
        return Alone(experiment.source, experiment.kinds, dataset, options.device)
    shared = ForTrials(
        file=experiment.source.file,
        text=experiment.source.text,
        values=experiment.source.values,
        use=[str(file) for file in options.use],
        validation=tuning.budget.validation,
        data_sha256=hashed,
        device=options.device,
        threads=threads,
    )
    return crew(shared, workers, stack)


class _Show:
    """Says on stderr what happens: a line for each trial, now and then one for a round."""

    def __init__(self, tuning: Any, at_once: int) -> None:
        self.tuning, self.at_once = tuning, at_once
        self.standings: dict[str, Any] = {}
        self.stored, self.seconds, self.began = 0, dict[str, list[float]](), time.monotonic()
        self.last_line = self.began

    def event(self, event: Any) -> None:
        """Say what happened."""
        from fedspike.experiment.tuning.objective import Working

        if isinstance(event, Working):
            now = time.monotonic()
            if now - self.last_line >= LINE_SECONDS:
                self.last_line = now
                job = event.job
                commands.say(
                    f"  {job.search} trial {job.trial}, seed {job.seed}: round {event.round} of "
                    f"{event.rounds}, validation accuracy {event.accuracy:.1%}"
                )
            return
        self.standings[event.trial.search] = event.standing
        self.seconds.setdefault(event.trial.search, []).append(event.trial.seconds)
        self._trial(event)

    def _trial(self, event: Any) -> None:
        from fedspike.experiment.tuning.best import inline

        trial, best = event.trial, event.standing.best
        settings = ", ".join(f"{key} = {inline(value)}" for key, value in trial.settings.items())
        words = f"failed: {trial.failed}" if trial.failed else f"{trial.accuracy:.2%}"
        if best is not None and best is not trial:
            words += f" (best {best.accuracy:.2%}, trial {best.number})"
        told = "stored before" if event.stored else self._left()
        commands.say(
            f"{trial.search} trial {trial.number} of {self.tuning.budget.trials}, "
            f"{settings or 'the settings of the file'}: {words} | {told}"
        )
        self.last_line = time.monotonic()

    def _left(self) -> str:
        """The time that all other trials need, from how long those before took."""
        from fedspike.cli.progress import clock

        if len(self.seconds) < len(self.tuning.searches):
            return "unknown time left"
        each = {name: sum(spent) / len(spent) for name, spent in self.seconds.items()}
        most = self.tuning.budget.trials + 1
        left = sum(each[name] * (most - len(spent)) for name, spent in self.seconds.items())
        return f"at most {clock(left / self.at_once)} left"


def _table(result: dict[str, Any]) -> list[str]:
    """What was found, as text."""
    from fedspike.cli.columns import table, wrapped
    from fedspike.cli.progress import clock
    from fedspike.experiment.tuning.best import inline

    def percent(trial: Any) -> str:
        accuracy = None if trial is None else trial["accuracy"]
        return "failed" if accuracy is None else f"{accuracy:.2%}"

    rows = []
    for one in result["networks"]:
        best = one["best"]
        settings = ", ".join(
            f"{k} = {inline(v)}" for k, v in (best or one["own"]).get("settings", {}).items()
        )
        rows.append(
            (
                one["name"],
                settings or "the settings of the file",
                percent(best),
                percent(one["own"]),
                f"{len(one['trials']) - 1}"
                + (f" ({one['failed']} failed)" if one["failed"] else ""),
                f"{one['trainings']}",
                clock(one["seconds"]),
            )
        )
    header = ("", "best settings", "accuracy", "file's own", "trials", "trainings", "time")
    share = result["validation"]
    note = (
        f"Accuracy: {result['objective']}, on {result['validation_samples']} held-out training samples "
        f"(a share of {share:g}). It is of the best of several trials and so a little too high: what a "
        "network does on test samples, a run says."
    )
    return [*table(header, rows, names=2), "", *wrapped(note)]


def _again(options: Namespace) -> str:
    """The command that goes on here."""
    words: list[Any] = ["tune", options.experiment]
    words += [word for option in options.set for word in ("--set", option)]
    words += [word for file in options.use for word in ("--use", file)]
    for name in ("seeds", "data_dir", "output", "workers", "threads"):
        if (value := getattr(options, name)) is not None:
            words += [f"--{name.replace('_', '-')}", value]
    words += ["--device", options.device] if options.device != "cpu" else []
    return command(*words)
