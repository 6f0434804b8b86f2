"""The accuracy of the part of the global model that devices of each size hold."""

from collections.abc import Iterator
from dataclasses import dataclass

from fedspike.energy.estimate import Estimate
from fedspike.report.analysis.results import Results
from fedspike.report.analysis.settings import Network, interval_note
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.tables import Caption, Column, Table, table, words

WHOLE = "whole"


@dataclass(frozen=True)
class Held:
    """What the clients of a size hold of a network's global model."""

    network: Network
    size: str

    @property
    def label(self) -> str:
        """The setting."""
        return self.network.label

    @property
    def accuracy(self) -> Estimate:
        """In percent, after the last round."""
        return self.network.estimate(
            lambda run: 100 * (run.sizes[self.size][-1] if self.size else run.final_accuracy)
        )

    @property
    def memory_kb(self) -> float | None:
        """That a client of this size needs to train; None where the record does not say."""
        needed = self.network.runs[0].training_bytes.get(self.size)
        return None if needed is None else needed / 1000


def _held(networks: list[Network]) -> Iterator[Held]:
    for network in networks:
        for size in ("", *network.runs[0].sizes):
            yield Held(network, size)


def _table(networks: list[Network]) -> Table:
    return table(
        [*_held(networks)],
        words("setting", "each client holds", lambda one: one.label),
        words("network", None, lambda one: one.network.title),
        words("size", None, lambda one: one.size or WHOLE),
        Column("training_memory_kb", "memory to train, kB", lambda one: one.memory_kb),
        Column("accuracy_percent", "accuracy, %", lambda one: one.accuracy, digits=1),
    )


def _with_sizes(results: Results) -> list[Network]:
    return [
        one
        for one in results.networks
        if one.runs[0].sizes
        and all(run.sizes.keys() == one.runs[0].sizes.keys() for run in one.runs)
    ]


def _caption(networks: list[Network]) -> Caption:
    return Caption(
        "Test accuracy of what devices of each size hold",
        "Smaller devices train a part of the global model; this is how good that part is alone, after "
        "the last round, and what a training of it takes by the memory model (docs/configuration.md).",
        interval_note(networks),
    )


SIZES_TABLE = Figure("sizes", _table, _caption, _with_sizes, number="9")
