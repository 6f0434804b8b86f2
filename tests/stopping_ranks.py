"""A program for torchrun: some rounds of each run of an experiment, each stopped in the middle of it.

torchrun ... stopping_ranks.py FILE FOLDER THREADS ROUNDS
"""

import itertools
import os
import sys
from dataclasses import replace
from pathlib import Path

import torch

from fedspike.data.dataset import ignore
from fedspike.experiment import sweep
from fedspike.experiment.leading import End, tell
from fedspike.experiment.run import load, perform
from fedspike.experiment.training import Training
from fedspike.federation.places.ranks.gloo import joined
from fedspike.federation.places.ranks.launched import launched
from fedspike.federation.places.ranks.place import Ranks


def begin(file: str, folder: Path, threads: int, rounds: int) -> None:
    """Begin each run, and leave it after so many rounds, as if something had stopped it there."""
    torch.set_num_threads(threads)
    experiment = sweep.read(file)
    dataset = load(experiment, ignore)
    with joined(launched(os.environ)) as group:
        for run in experiment.runs:
            alone, training = replace(experiment, runs=(run,)), Training(ranks=Ranks(group))
            told = perform(alone, dataset, folder, "fedspike run", training)
            # It has begun, and then each round is told; to the others than rank 0, nothing.
            assert len(list(itertools.islice(told, 1 + rounds))) == (
                0 if group.rank else 1 + rounds
            )
            told.close()
            if not group.rank:
                tell(group, End())


if __name__ == "__main__":
    begin(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
