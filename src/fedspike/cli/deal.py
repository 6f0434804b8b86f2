"""`fedspike data deal`: who would hold what in an experiment, from what `--json` prints."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from fedspike.cli.columns import table, wrapped
from fedspike.cli.commands import kinds_of, print_json, say

HEADER = (
    "partition",
    "seed",
    "clients",
    "samples of each",
    "label entropy, bits",
    "total variation",
)
MEANING = (
    "Label entropy: of a client's classes, mean over the samples; without skew that of all clients together, "
    "after the word of. Total variation: how far a client's classes are from those of all, mean over the "
    "samples; 0 is even, below 1 the most."
)


def deal(options: Namespace) -> int:
    """Say who holds what in an experiment before anything is trained."""
    import msgspec

    from fedspike.experiment import sweep
    from fedspike.experiment.dealing import dealt
    from fedspike.experiment.run import load

    experiment = sweep.read(
        options.experiment, options.set, options.seeds, options.data_dir, kinds_of(options)
    )
    ways = dealt(experiment, load(experiment, say))
    if options.json:
        print_json(msgspec.to_builtins(ways))
    else:
        sys.stdout.write(text(ways))
    return 0


def text(ways: Sequence[Any]) -> str:
    """A row for each way to deal, and what the measures are."""
    rows = [
        (
            *(one.label, str(one.seed), str(one.clients), one.skew.samples),
            f"{one.skew.label_entropy:.2f} of {one.skew.entropy_of_all:.2f}",
            f"{one.skew.total_variation:.2f}",
        )
        for one in ways
    ]
    return "\n".join([*table(HEADER, rows), "", *wrapped(MEANING)]) + "\n"
