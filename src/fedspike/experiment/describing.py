"""What is recorded of a run before it starts: its plan, and what only its kind of network has."""

import hashlib
import json

from fedspike.data import Dataset
from fedspike.energy.description import RunDescription
from fedspike.experiment.plans import network_tables, toml_of
from fedspike.experiment.sweep import Run
from fedspike.federation.cohort import Site


def description(
    run: Run, site: Site, dataset: Dataset, class_counts: list[list[int]]
) -> RunDescription:
    """A run as its summary describes it."""
    plan, values = run.plan, toml_of(run.plan)
    return RunDescription(
        name=run.name,
        network=values["network"],
        seed=plan.seed,
        algorithm=plan.algorithm.kind,
        partition=values["partition"],
        classes_per_client=plan.partition.classes_per_client(dataset.classes),
        centralised=plan.partition.one_client,
        config=values,
        network_tables=network_tables(plan),
        network_keys=list(run.tuned),
        network_operations=site.operations,
        class_counts=class_counts,
        clients=len(site.devices.shards),
        settings_sha256=run.settings_sha256,
        data_sha256=data_sha256(dataset),
    )


def data_sha256(dataset: Dataset) -> str:
    """One hash for a data set's files, whatever they are called here."""
    return hashlib.sha256(json.dumps(sorted(dataset.sha256.values())).encode()).hexdigest()
