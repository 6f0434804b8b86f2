"""Prices the recorded activity of two runs again: for questions that their summaries do not answer."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from fedspike.energy import sensitivity as energy_sensitivity
from fedspike.energy.bill import bill
from fedspike.energy.levels import Level
from fedspike.energy.profiles import shipped
from fedspike.energy.recorded import (
    Recorded,
    Standing,
    recorded,
    standings,
)
from fedspike.energy.sensitivity import Sensitivity
from fedspike.errors import InputError
from fedspike.records.schema import RunSummary
from fedspike.report.bills import BASELINES, Priced, nominal_mj

LEVEL: Level = "training"
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Repriced:
    """An ANN and an SNN of one seed, and what other prices or other activity would do to them.

    `ratio` and `sensitivities` are by profile, at the level "training"; `standings` at that of an
    inference.
    """

    seed: int
    ann: Recorded
    snn: Recorded
    ratio: Mapping[str, float]
    sensitivities: Mapping[str, list[Sensitivity]]
    standings: Mapping[str, list[Standing]]


def reprice(view: Priced) -> Repriced | None:
    """The first pair of the shown setting, under every shipped profile that judges it.

    None where its activity does not give its bill again, as at prices that have changed since.
    """
    ann_run, snn_run = next((a, s) for a, s in view.main.pairs() if a.bill and s.bill)
    ann, snn = of_run(ann_run), of_run(snn_run)
    if ann is None or snn is None:
        return None
    judged = {v.profile: v.level for v in view.verdicts(BASELINES[0]) if v.ratio is not None}
    profiles = [shipped()[name] for name in judged if name in shipped()]
    trained = [profile for profile in profiles if profile.scope == "per-term"]
    if not all(
        _agrees(run, side, profile.name)
        for run, side in ((ann_run, ann), (snn_run, snn))
        for profile in trained
    ):
        return None
    swings = {one.name: energy_sensitivity.sensitivity(ann, snn, one, LEVEL) for one in trained}
    return Repriced(
        ann_run.seed,
        *(ann, snn),
        {one.name: energy_sensitivity.ratio(ann, snn, one, LEVEL) for one in trained},
        {name: [s for s in moved if s.swing > 1 + 1e-9] for name, moved in swings.items()},
        {one.name: standings(ann, snn, one) for one in profiles},
    )


def of_run(run: RunSummary) -> Recorded | None:
    """A run's network and activity; None where they do not go together."""
    uplink_bytes = round(run.uplink_bytes_per_round * len(run.accuracy))
    try:
        return recorded(run.network_operations, run.activity, uplink_bytes=uplink_bytes)
    except InputError:
        return None


def _agrees(run: RunSummary, side: Recorded, profile: str) -> bool:
    """Whether the activity gives the bill of the summary."""
    stated = nominal_mj(run, profile, LEVEL)
    if stated is None:
        return False
    again = bill(side.counts, shipped()[profile], LEVEL, footprint=side.footprint).nominal_mj
    return math.isclose(again / len(run.accuracy), stated, rel_tol=TOLERANCE)
