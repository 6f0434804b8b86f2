"""What a plan needs of memory and disk at the least; what this machine cannot hold is not begun."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from msgspec import structs

from fedspike.algorithms import engine_of
from fedspike.errors import InputError
from fedspike.machine import bytes_here
from fedspike.networks import SizedNetwork
from fedspike.part import Part

BYTES_PER_STEP = 500  # of an optimiser's step: what is counted of it until the round ends
BYTES_PER_RECORD = 500  # of a round, but for what each client did: that is read from the disk again


class Need(NamedTuple):
    """Memory that hangs most on one key of an experiment's file."""

    key: str
    asked: object
    bytes: int


def training(plan: Any, network: SizedNetwork, clients: int = 1) -> list[Need]:
    """What a round of so many clients needs, each need a lower bound, so that nothing that works is refused.

    `plan` is a `Plan` with its data.
    """
    learner, fleet, algorithm = plan.learner, plan.fleet, plan.remedied()
    held = max(1, len(plan.data.y_train) // fleet.clients)
    shown = held if fleet.samples_per_round == "all" else min(held, fleet.samples_per_round)
    rows = learner.rows(shown * learner.epochs)
    model = 4 * sum(layer.parameters for layer in network.described.values())
    engine = engine_of(algorithm, "cpu", torch.float32)
    step = learner.bytes_of_a_step(engine, network, rows)
    steps = network.time_steps
    table = 0 if network.code is None else network.code.bytes_per_step * steps
    needs = [
        # The server's, a client's, gradients, and a sum of them at least.
        Need(*_sizes(plan.network), 4 * model),
        # Each client's update, what it remembers, and without a server its model.
        Need(
            "fleet.clients_per_round",
            clients,
            (1 + algorithm.models_remembered + algorithm.decentralised) * clients * model,
        ),
        Need(
            "learner.epochs",
            learner.epochs,
            learner.epochs * (16 * shown + shown * BYTES_PER_STEP // rows),
        ),
    ]
    if steps > rows or table > step:
        return [*needs, Need(f"{plan.network.kind}.time_steps", steps, step + table)]
    return [*needs, Need("learner.batch_size", rows, step + table)]


def records(rounds: int) -> Need:
    """What a run remembers of its rounds."""
    return Need("rounds", rounds, rounds * BYTES_PER_RECORD)


def memories(plan: Any, network: SizedNetwork, clients: int) -> Need:
    """What all clients remember that take part in a plan's rounds, of so many clients each: on the disk.

    Of N clients, of which C are drawn R times, N (1 - (1 - C/N)^R) take part in the mean; a little less, so
    that nothing that works is refused.
    """
    model = 4 * sum(layer.parameters for layer in network.described.values())
    all_clients = plan.fleet.clients
    remembered = plan.remedied().models_remembered + plan.learner.models_remembered
    share = 1 - (1 - min(1.0, clients / all_clients)) ** plan.rounds
    return Need("fleet.clients", all_clients, int(0.9 * share * all_clients) * remembered * model)


def demand(needs: Sequence[Need]) -> None:
    """Raise InputError, which begins with a key, where all needs together are more than the machine has."""
    needed, most = sum(need.bytes for need in needs), bytes_here()
    if needed > most:
        key, asked, _ = max(needs, key=lambda need: need.bytes)
        raise InputError(
            f"{key} = {asked}: the training needs {needed / 1e9:,.0f} GB of memory at least",
            expected=f"at most the {most / 1e9:.0f} GB that this machine has",
            fix=f"lower {key}",
            keys=(key,),
        )


def demand_disk(needs: Sequence[Need], folder: Path, there: int = 0) -> None:
    """Raise InputError where a folder's disk has no room for these, of which so many bytes are there."""
    needed, free = sum(need.bytes for need in needs) - there, shutil.disk_usage(folder).free
    if needed > free:
        need = max(needs, key=lambda one: one.bytes)
        runs = f" in {len(needs)} runs" if len(needs) > 1 else ""
        raise InputError(
            f"{need.key} = {need.asked}: what clients remember{runs} needs {needed / 1e9:,.1f} GB"
            " of disk at least",
            expected=f"at most the {free / 1e9:,.1f} GB that are free on the disk of {folder}",
            fix=f"free some space, lower {need.key}, or name a folder on another disk with --output",
            keys=(need.key,),
        )


def _sizes(network: Any) -> tuple[str, object]:
    """The key of the largest layer, and what it says."""
    architecture = getattr(network, "architecture", None)
    if not isinstance(architecture, Part):
        return "network", network
    fields = structs.asdict(architecture)
    lists = {
        name: [n for one in value if isinstance(n := getattr(one, "channels", one), int)]
        for name, value in fields.items()
        if isinstance(value, tuple)
    }
    largest = max(lists, key=lambda name: max(lists[name], default=0))
    return f"architecture.{largest}", list(fields[largest])
