"""How right is the time that `fedspike run` says is left, after a twentieth of the work?

    .venv/bin/python benchmarks/time_left.py           four experiments, a quarter of an hour
    .venv/bin/python benchmarks/time_left.py study rounds=100

The four are a study, codes, a sweep of unlike networks, and a study that goes on after a third of its rounds.
Each is trained into a folder that is thrown away.
"""

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from fedspike.data.dataset import ignore
from fedspike.experiment import sweep
from fedspike.experiment.run import load, perform
from fedspike.records.events import Finished, Started, Trained

SHARE = 0.05  # of the time, after which it is judged
UNLIKE = ('sweep.architecture.kind=["dense", "convolutional"]', "sweep.snn.time_steps=[5, 25]")
FOUR = (
    ("study", ("rounds=30",), 0.0),
    ("codes", ("rounds=8",), 0.0),
    ("quickstart", ("rounds=20", *UNLIKE), 0.0),
    ("study", ("rounds=30",), 1 / 3),
)


def said(
    experiment: sweep.Experiment, folder: Path, most: float
) -> Iterator[tuple[float, float | None]]:
    """The moment, and the seconds that are said to be left, after each round; of so many rounds."""
    time_left = sweep.time_left(experiment.runs)
    data = load(experiment, ignore)
    with closing(perform(experiment, data, folder, "benchmarks/time_left.py")) as events:
        for event in events:
            match event:
                case Started(run=run, rounds_done=rounds):
                    time_left.started(run, rounds)
                case Trained(run=run):
                    time_left.trained(run)
                    yield time.perf_counter(), time_left.left().seconds
                    if time_left.rounds_done >= most:
                        return
                case Finished(run=run):
                    time_left.finished(run)


def judge(name: str, options: Sequence[str], share_before: float) -> None:
    """Train, and print what was said at the moment and what was true."""
    experiment = sweep.read(name, options)
    rounds = sum(experiment.rounds.values())
    with tempfile.TemporaryDirectory() as folder:
        if share_before:
            list(said(experiment, Path(folder), share_before * rounds))
        begun = time.perf_counter()
        told = list(said(experiment, Path(folder), rounds + 1))
        end = time.perf_counter()
    now, left = next(one for one in told if one[0] >= begun + SHARE * (end - begun))
    assert left is not None
    words = " ".join([name, *options, *(["resumed"] if share_before else [])])
    off = left / (end - now) - 1
    print(f"{words}: {left:.0f} s said, {end - now:.0f} s true, {off:+.0%}", flush=True)


def main() -> None:
    """All four, or what is asked for."""
    name, *options = sys.argv[1:] or [""]
    for one in [(name, options, 0.0)] if name else FOUR:
        judge(*one)


if __name__ == "__main__":
    main()
