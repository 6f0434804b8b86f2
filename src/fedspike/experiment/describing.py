"""What is recorded of a run before it starts: its configuration, and what only its kind of network has."""

import hashlib
import json
from typing import Any

import msgspec

from fedspike.data import Dataset
from fedspike.energy.description import RunDescription
from fedspike.experiment import build, config
from fedspike.experiment.config import Configuration
from fedspike.experiment.sweep import Run
from fedspike.networks import SizedNetwork

NETWORK_TABLES = (*config.SPIKING, "qann")


def description(
    run: Run, network: SizedNetwork, dataset: Dataset, class_counts: list[list[int]]
) -> RunDescription:
    """A run as its summary describes it."""
    settings = run.settings
    values, optimiser = settings_toml(settings), build.local_training(settings).optimiser
    return RunDescription(
        name=run.name,
        network=settings.network,
        seed=settings.seed,
        algorithm=values["algorithm"]["kind"],
        partition=values["partition"],
        classes_per_client=_classes_per_client(settings, dataset),
        centralised=isinstance(settings.partition, config.Centralised),
        config=values,
        network_tables=[table for table in NETWORK_TABLES if table in values],
        network_operations=network.operations().trained_by(optimiser.operations()),
        class_counts=class_counts,
        settings_sha256=run.settings_sha256,
        data_sha256=data_sha256(dataset),
    )


def settings_toml(settings: Configuration) -> dict[str, Any]:
    """The resolved settings as TOML values: no empty ones, and no path of this machine."""
    plain = json.loads(msgspec.json.encode(settings))  # lists for tuples, as TOML reads them
    values = {key: value for key, value in plain.items() if value is not None}
    values["data"] = {"name": values["data"]["name"]}
    return values


def data_sha256(dataset: Dataset) -> str:
    """One hash for a data set's files, whatever they are called here."""
    return hashlib.sha256(json.dumps(sorted(dataset.sha256.values())).encode()).hexdigest()


def _classes_per_client(settings: Configuration, dataset: Dataset) -> int | None:
    if isinstance(settings.partition, config.Classes):
        return settings.partition.classes
    return dataset.classes if isinstance(settings.partition, config.IID) else None
