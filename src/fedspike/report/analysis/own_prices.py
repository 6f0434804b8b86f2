"""Bills under profiles and a radio of the user's own, beside those that the runs' summaries have."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from fedspike.energy.account import RunBills, Work, bill_by, bills, evaluation, until, work
from fedspike.energy.pairing import compared
from fedspike.energy.pricing import Hardware
from fedspike.energy.profiles import Profile, Radio, radios, shipped
from fedspike.records import reader
from fedspike.records.schema import ExperimentSummary, RunSummary

T = TypeVar("T")


def with_own_prices(
    experiment: ExperimentSummary, homes: Mapping[str, Path], hardware: Hardware
) -> ExperimentSummary:
    """The experiment with these bills and the verdicts on them, too; each run's folder is in `homes`.

    Raises what `reader.rounds` raises.
    """
    own = [one for name, one in hardware.profiles.items() if name not in shipped()]
    senders = [one for name, one in hardware.radios.items() if name not in radios()]
    if not own and not senders:
        return experiment
    runs = tuple(
        _priced(run, homes[run.name], own, senders) if run.bill else run for run in experiment.runs
    )
    return replace(experiment, runs=runs, comparisons=compared(runs))


def _priced(run: RunSummary, home: Path, own: list[Profile], senders: list[Radio]) -> RunSummary:
    rounds, network = reader.rounds(home, run), run.network_operations
    whole, reached = work(network, rounds), until(rounds, run.rounds_to_target, network)
    by, skipping = bill_by(whole, own), run.bill_skip_zeros
    if run.time_steps is None:
        skipping = _more(skipping, whole, reached, own, senders, skip_zeros=True)
    return replace(
        run,
        bill=_more(run.bill, whole, reached, own, senders),
        bill_skip_zeros=skipping,
        bill_by=replace(
            run.bill_by,
            phase=run.bill_by.phase | by.phase,
            layer=run.bill_by.layer | by.layer,
        ),
        bill_evaluation=run.bill_evaluation | evaluation(whole, own),
    )


def _more(
    made: RunBills,
    whole: Work,
    reached: Work | None,
    own: list[Profile],
    senders: list[Radio],
    *,
    skip_zeros: bool = False,
) -> RunBills:
    """The bills of a summary, and those of one's own profiles, and of all profiles with one's own radio."""
    every = [*radios().values(), *senders]
    added = bills(whole, reached, own, every, skip_zeros=skip_zeros)
    if senders:
        sent = bills(whole, reached, shipped().values(), senders, skip_zeros=skip_zeros)
        added |= {name: made.get(name, {}) | levels for name, levels in sent.items()}
    return made | added
