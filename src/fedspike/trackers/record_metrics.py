"""What trackers are told of a run: from its records to names and numbers, here and nowhere else.

A name has its unit, and an energy says that it is modelled: counted operations times prices, never a
measurement. What a record does not know is left out.
"""

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from fedspike.energy.bill import study_energy_mj
from fedspike.energy.levels import HIGHEST_WITHOUT_RADIO, key, up_to
from fedspike.energy.profiles import SHOWN_FIRST, USUAL_RADIO
from fedspike.reading import digested
from fedspike.records.schema import RoundRecord, RunSummary
from fedspike.trackers.tracker import Setting

ROUND, FINAL = "accuracy", "final/accuracy"
"""The metrics that every round has, and every finished run."""
LONGEST_SETTING = 250  # characters; more than MLflow's page shows
Metrics = dict[str, float]


def of_round(record: RoundRecord) -> Metrics:
    """A round. Its modelled energy is that of the founding study's rule, the forward passes of training."""
    return _numbers(
        {
            ROUND: record.accuracy,
            "training_loss": record.training_loss,
            "samples": record.samples,
            "clients": len(record.clients),
            "clients_missing": len(record.missing),
            "replies_rejected": len(record.rejected),
            "uplink_bytes": record.uplink_bytes,
            "downlink_bytes": record.downlink_bytes,
            "seconds": math.fsum(record.seconds.values()),
            "simulated_seconds": record.duration_s,
            "consensus_distance": record.consensus_distance,
            "modelled_energy_mj/study_rule": study_energy_mj(record.operations),
            **_below("seconds", record.seconds),
            **_below("firing_rate", record.firing_rates),
            **_below("accuracy_of_size", record.sizes),
        }
    )


def of_run(summary: RunSummary) -> Metrics:
    """A finished run. Its bill is that of the profile shown first, at every level that it prices whole."""
    bills = summary.bill.get(SHOWN_FIRST, {})
    energy: dict[str, float | None] = {}
    for level in (*up_to(HIGHEST_WITHOUT_RADIO), key("communication", USUAL_RADIO)):
        if (bill := bills.get(level)) is not None and bill.is_comparable:
            name = f"{SHOWN_FIRST}/{level.replace(':', '/')}"
            energy[f"modelled_energy_mj_per_round/{name}"] = bill.nominal_mj
            energy[f"modelled_energy_mj_of_run/{name}"] = bill.run.nominal_mj
    return _numbers(
        {
            FINAL: summary.final_accuracy,
            **_below(
                "final",
                {
                    "accuracy_mean_last_10": summary.final_accuracy_mean_last_10,
                    "rounds": summary.rounds,
                    "rounds_to_target": summary.rounds_to_target,
                    "parameters": summary.parameters,
                    "seconds": summary.seconds,
                    "simulated_seconds": summary.simulated_s,
                    "uplink_bytes_per_round": summary.uplink_bytes_per_round,
                    "downlink_bytes_per_round": summary.downlink_bytes_per_round,
                    **energy,
                },
            ),
        }
    )


def setting(value: object) -> Setting:
    """A value of a configuration as every tracker takes it: lists as JSON, long text cut.

    >>> setting(0.1), setting([100, 50])
    (0.1, '[100,50]')
    """
    if isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return digested(text, LONGEST_SETTING)


def _below(name: str, metrics: Mapping[str, float | None]) -> dict[str, float | None]:
    return {f"{name}/{own}": value for own, value in metrics.items()}


def _numbers(metrics: Mapping[str, Any]) -> Metrics:
    return {name: float(value) for name, value in metrics.items() if value is not None}
