"""How the runs of an experiment deal a data set to their clients, before anything is trained."""

import json
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from fedspike.data import Dataset
from fedspike.energy.description import MOST_COUNTED
from fedspike.errors import InputError
from fedspike.experiment.plans import placed, toml_of
from fedspike.experiment.sweep import Experiment, label
from fedspike.records.skew import Skew, skew


class Dealt(Struct, frozen=True):
    """Who holds what in some runs: the samples of each class on each client, and the measures of their skew.

    `seed` is that of the partition. The measures are of all clients, the counts of the first 10,000 at most.
    """

    label: str
    partition: dict[str, Any]
    seed: int
    clients: int
    skew: Skew
    class_counts: list[list[int]]


def dealt(experiment: Experiment, dataset: Dataset) -> list[Dealt]:
    """Each way once, in the order of the runs.

    Raises InputError, naming where the experiment says it, where the data cannot be dealt like that.
    """
    ways: dict[str, Dealt] = {}
    for run in experiment.runs:
        plan = replace(run.plan, data=dataset)
        partition = toml_of(plan)["partition"]
        way = json.dumps([partition, plan.fleet.clients, plan.seed_of_data])
        if way in ways:
            continue
        try:
            counts = plan.devices().class_counts
        except InputError as error:
            raise placed(error, plan, experiment.source, "partition") from error
        ways[way] = Dealt(
            label(plan.partition),
            partition,
            plan.seed_of_data,
            len(counts),
            skew(counts),
            counts[:MOST_COUNTED].tolist(),
        )
    return list(ways.values())
