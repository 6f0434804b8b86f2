"""Prices the recorded activity of two runs again: for questions that their summaries do not answer."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from fedspike.energy import sensitivity as energy_sensitivity
from fedspike.energy.levels import HIGHEST_WITHOUT_RADIO
from fedspike.energy.profiles import Profile
from fedspike.energy.recorded import Recorded, Standing, recorded, standings
from fedspike.energy.sensitivity import Sensitivity
from fedspike.errors import InputError
from fedspike.records.schema import RunSummary
from fedspike.report.analysis.energy_view import EnergyView

LEVEL = HIGHEST_WITHOUT_RADIO
TOLERANCE = 1e-6


@dataclass(frozen=True)
class OtherPrices:
    """The reference and the spiking network of one seed, and what other prices would do to them.

    `ratio` and `sensitivities` are by profile, at the highest level without a radio; `standings` at that of
    an inference.
    """

    view: EnergyView
    spiking: Recorded
    time_steps: int
    ratio: Mapping[str, float]
    sensitivities: Mapping[str, list[Sensitivity]]
    standings: Mapping[str, list[Standing]]


def other_prices(view: EnergyView) -> OtherPrices | None:
    """The first pair of the main comparison, under every profile that judges it.

    None where its activity does not give its bill again, as at prices that have changed since.
    """
    pair = next((ann, snn) for ann, snn in view.main.pairs() if ann.bill and snn.bill)
    ann, snn = map(of_run, pair)
    if ann is None or snn is None or snn.network.time_steps is None:
        return None
    judged = view.judged()
    profiles = [profile for name, profile in view.hardware.profiles.items() if name in judged]
    trained = [profile for profile in profiles if profile.scope == "per-term"]
    sides = list(zip(pair, (ann, snn), strict=True))
    if not all(_agrees(run, side, one) for run, side in sides for one in trained):
        return None
    swings = {one.name: energy_sensitivity.sensitivity(ann, snn, one, LEVEL) for one in trained}
    return OtherPrices(
        view,
        snn,
        snn.network.time_steps,
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


def _agrees(run: RunSummary, side: Recorded, profile: Profile) -> bool:
    """Whether the activity gives the bill of the summary."""
    stored = run.bill.get(profile.name, {}).get(LEVEL)
    if stored is None:
        return False
    again = side.bill(side.counts, profile, LEVEL).nominal_mj
    return math.isclose(again / len(run.accuracy), stored.nominal_mj, rel_tol=TOLERANCE)
