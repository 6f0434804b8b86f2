"""What each command does: results to stdout, everything else to stderr."""

import json
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fedspike.errors import InputError
from fedspike.shell import command

MOST_THREADS = 1024
MOST_PROCESSES = 256


def report(options: Namespace) -> int:
    """Write the page, the tables and the figures of finished runs, of one folder or of several together."""
    output = options.output
    if output is None and len(options.folders) > 1:
        raise InputError(
            f"{len(options.folders)} folders, and none for their common page",
            expected="--output DIR beside several folders",
            fix="write for example --output runs/compared",
        )
    from fedspike.energy import pricing

    hardware = pricing.hardware(options.profile, options.radio, options.duty)
    page = write_report(output or options.folders[0], options.folders, options.baseline, hardware)
    if options.json:
        print_json({"report": str(page)})
    else:
        sys.stdout.write(f"{page}\n")
    return 0


def data_check(options: Namespace) -> int:
    """Say whether a data set is sound; an unsound one ends with exit code 2."""
    facts = _facts(options)
    if options.json:
        print_json(facts)
        return 0
    shape = _shape(facts)
    lines = [
        f"{facts['name']} is sound: {facts['train']['samples']} training and "
        f"{facts['test']['samples']} test samples of {shape}, {facts['classes']} classes",
        f"from {facts['source']}",
        *(f"worth knowing: {remark}" for remark in facts["remarks"]),
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def data_show(options: Namespace) -> int:
    """Show what a data set holds, class by class."""
    facts = _facts(options)
    if options.json:
        print_json(facts)
        return 0
    lines = [f"{facts['name']}, from {facts['source']}", "", "class   training       test"]
    counts = zip(
        facts["train"]["samples_per_class"], facts["test"]["samples_per_class"], strict=True
    )
    names = facts["class_names"] or [""] * facts["classes"]
    lines += [
        f"{label:5d} {train:10d} {test:10d}  {name}".rstrip()
        for label, ((train, test), name) in enumerate(zip(counts, names, strict=True))
    ]
    lines.append(f"  all {facts['train']['samples']:10d} {facts['test']['samples']:10d}")
    if facts["owners"] is not None:
        from fedspike.data.owners import five_numbers_in_words

        each = five_numbers_in_words(facts["samples_per_owner"])
        lines += ["", f"owners of training samples: {facts['owners']}", f"samples of each: {each}"]
    lines += ["", f"sample: {_shape(facts)}"]
    what = "numbers" if facts["time_steps"] is None else "spikes per input and step"
    for name in ("train", "test"):
        split = facts[name]
        lines.append(
            f"{what} ({name}): {split['lowest_pixel']:g} to {split['highest_pixel']:g}, "
            f"mean {split['mean_pixel']:.5f}"
        )
    lines += [f"SHA-256 {digest}  {name}" for name, digest in facts["sha256"].items()]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _shape(facts: dict[str, Any]) -> str:
    """Of a sample: 28 x 28, or 140 in 100 time steps."""
    steps = facts["time_steps"]
    time = f" in {steps} time steps" if steps else ""
    return f"{' x '.join(map(str, facts['image_shape']))}{time}"


def data_fetch(options: Namespace) -> int:
    """Get a data set onto this machine, if it is not there, and check it."""
    return data_check(options)


def presets(options: Namespace) -> int:
    """List the presets with the first words of each, or print one to copy."""
    from fedspike.experiment import sweep
    from fedspike.files import content_of
    from fedspike.reading import nearest

    texts = {name: content_of(path).decode() for name, path in sweep.presets().items()}
    if options.show is not None:
        if options.show not in texts:
            raise InputError(
                f"--show {options.show}: no such preset",
                expected=f"one of {', '.join(texts)}",
                fix=nearest(options.show, texts),
            )
        # Under another name, for results go to runs/NAME, where those of the preset may be.
        named, own = f'name = "{options.show}"', f'name = "my-{options.show}"'
        sys.stdout.write(texts[options.show].replace(named, own, 1))
        return 0
    about = {name: _first_sentence(text) for name, text in texts.items()}
    if options.json:
        print_json(about)
    else:
        sys.stdout.write("".join(f"{name:12} {text}\n" for name, text in about.items()))
    return 0


def energy(options: Namespace) -> int:
    """Price finished runs again, and set their networks side by side."""
    from fedspike.cli.bills import text
    from fedspike.energy import repricing
    from fedspike.records import reader

    prices = repricing.prices(options.profile, options.level, options.radio, options.duty)
    target = None if options.target is None else _fraction("--target", options.target)
    runs = reader.with_rounds(options.folder)
    repriced = repricing.reprice(runs, prices, target, skip_zeros=options.skip_zeros)
    if options.json:
        print_json(repriced)
    else:
        sys.stdout.write(text(repriced))
    return 0


def energy_profiles(options: Namespace) -> int:
    """List price profiles and radios with their sources, or check files of yours."""
    from fedspike.cli.prices import text
    from fedspike.energy import pricing

    described = pricing.described(options.profile)
    if options.json:
        print_json(described)
    else:
        sys.stdout.write(text(described))
    return 0


def doctor(options: Namespace) -> int:
    """Say what this machine offers and what is missing."""
    from fedspike.cli.doctor import examine

    answers = examine()
    if options.json:
        print_json(answers)
    else:
        width = max(map(len, answers)) + 2
        lines = [f"{name.replace('_', ' '):{width}}{value}" for name, value in answers.items()]
        sys.stdout.write("\n".join(lines) + "\n")
    return 0


def kinds_of(options: Namespace) -> Any:
    """The kinds of parts that ship, and those of the files that were named with --use."""
    from fedspike.experiment.kinds import Kinds

    return Kinds.used(options.use)


def say(text: str) -> None:
    """Tell the user something that is not a result; a log that has no room ends no work."""
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except OSError as error:
        from fedspike.files import FULL

        if error.errno not in FULL:
            raise


def _say_in_lines(sentences: str) -> None:
    """Tell the user sentences in lines that a terminal has room for."""
    from fedspike.cli.columns import paragraph

    for line in paragraph(sentences):
        say(line)


def write_report(
    folder: Path, folders: Sequence[Path] = (), baseline: str = "", hardware: Any = None
) -> Path:
    """Write the page of the finished runs in a folder, or in others, into it; where it is.

    A terminal sees what is being drawn, and the answer at the end.
    """
    heard: list[str] = []
    from rich.console import Console

    from fedspike.report import write

    with Console(stderr=True).status("The report") as status:
        page: Path = write(
            folder,
            heard.append,
            folders,
            baseline,
            lambda doing: status.update(f"The report: {doing}"),
            hardware,
        )
    for line in heard:
        _say_in_lines(line)
    return page


def conclude(folder: Path) -> None:
    """Say what a training that is finished has come to, and where its page is, or how it is had later."""
    later = without_page(folder)
    if not later:
        say(f"The report: {write_report(folder)}")
        return
    from fedspike.report import answer

    for line in answer(folder):
        _say_in_lines(line)
    say(later)


def without_page(folder: Path) -> str:
    """That the page of a folder cannot be drawn, and how it is had later; nothing where it can be."""
    from fedspike.report.rendering.libraries import are_here, install

    if are_here():
        return ""
    return (
        "No page, for the libraries that draw it are not installed. To get it, also after the training: "
        f"{install()}, then {command('report', folder)}"
    )


def _fraction(option: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InputError(
            f"{option} {text}", expected="a number from 0 to 1", fix=f"write {option} 0.85"
        ) from error


def _facts(options: Namespace) -> dict[str, Any]:
    from fedspike import data
    from fedspike.data import loading

    if options.data_set.endswith(".toml"):
        from fedspike.experiment import sweep

        experiment = sweep.read(options.data_set, options.set, data_dir=options.data_dir)
        source = experiment.runs[0].plan.data
    else:
        folder = Path(options.data_dir) if options.data_dir else None
        source = loading.source(options.data_set, folder)
        if options.set:
            from fedspike.experiment import sweep

            source = sweep.data_of(source, options.set)
    return asdict(data.check(source, say=say))


def count_of(option: str, text: str | None) -> int:
    """How many processes an option says; 1 where it is left out."""
    if text is None:
        return 1
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MOST_PROCESSES):
        raise InputError(
            f"{option} {text}",
            expected=f"a whole number from 1 to {MOST_PROCESSES}",
            fix="leave it out, or use the number of cores",
        )
    return int(text)


def threads_of_each(threads: str | None, processes: int) -> str | None:
    """Threads of each of several processes: those asked for, or the cores, shared among them."""
    if threads is not None or processes == 1:
        return threads
    return str(max(1, (os.cpu_count() or 1) // processes))


def prepare_torch(threads: str | None, device: str) -> None:
    """Set how many threads torch computes with; check the device."""
    if threads is not None and not (
        threads.isascii() and threads.isdigit() and 1 <= int(threads[:9]) <= MOST_THREADS
    ):
        raise InputError(
            f"--threads {threads}",
            expected=f"a whole number from 1 to {MOST_THREADS}",
            fix="leave it out, or use the number of cores",
        )
    import torch

    from fedspike.engine.choice import demand_device

    if threads is not None:
        torch.set_num_threads(int(threads))
    demand_device(device, asked="--device")


def _first_sentence(toml: str) -> str:
    comments = [line.lstrip("# ") for line in toml.splitlines()[:5] if line.startswith("#")]
    return " ".join(comments).partition(".")[0] + "."


def print_summary(folder: Path) -> None:
    """Print an experiment's summary for programs. Raises InputError where it was damaged meanwhile."""
    from fedspike.files import read_json
    from fedspike.records.reader import SUMMARY

    print_json(read_json(folder / SUMMARY, dict, fix="give the command again"))


def print_json(value: object) -> None:
    """Print a result for programs."""
    import msgspec

    plain = msgspec.json.decode(msgspec.json.encode(value))  # infinity, which JSON lacks, is null
    sys.stdout.write(json.dumps(plain, indent=1) + "\n")
