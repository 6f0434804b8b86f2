"""The rounds of a run as a table: flat, a row a round, in pandas or in polars."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from fedspike import extras
from fedspike.errors import InputError
from fedspike.records.schema import RoundRecord

LIBRARIES = ("pandas", "polars")
MOST = 39  # columns


def table(rounds: Sequence[RoundRecord]) -> Any:
    """A DataFrame of these rounds, of pandas or, without it, of polars. InputError where neither is here."""
    for name in LIBRARIES:
        try:
            library = import_module(name)
        except ImportError:
            continue
        return library.DataFrame(columns(rounds))
    raise InputError(
        "a table of rounds without pandas and without polars",
        expected="one of the two, which make tables",
        fix=extras.install("tables"),
    )


def columns(rounds: Sequence[RoundRecord]) -> dict[str, list[Any]]:
    """The columns of the table, by name; what a run never has is left out.

    Of a network of many layers the firing rates of the first ones, as many as there is room for.
    """
    rows = [_row(round) for round in rounds]
    names = list(dict.fromkeys(name for row in rows for name in row))
    there = [name for name in names if any(row.get(name) is not None for row in rows)]
    return {name: [row.get(name) for row in rows] for name in there[:MOST]}


def _row(round: RoundRecord) -> dict[str, Any]:
    operations = {name: round.operations.get(name) for name in ("mac", "ac")}
    return {
        "round": round.round,
        "accuracy": round.accuracy,
        "training_loss": round.training_loss,
        "clients": len(round.clients),
        "samples": round.samples,
        "missing": len(round.missing),
        "rejected": len(round.rejected),
        "at_work": len(round.at_work),
        "skipped": round.skipped,
        "uplink_bytes": round.uplink_bytes,
        "downlink_bytes": round.downlink_bytes,
        **operations,
        "spikes": sum(round.spikes.values()),
        "seconds": sum(round.seconds.values()),
        "simulated_s": round.duration_s,
        "consensus_distance": round.consensus_distance,
        **{f"accuracy_{size}": accuracy for size, accuracy in round.sizes.items()},
        **{f"firing_rate_{layer}": rate for layer, rate in round.firing_rates.items()},
    }
