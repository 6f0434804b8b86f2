"""Prices finished runs again: at other prices, or until another accuracy. Nothing is trained."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from msgspec import Struct
from msgspec.structs import asdict

from fedspike.energy import pricing
from fedspike.energy.account import (
    Account,
    RoundCounts,
    RunBills,
    Work,
    bills,
    evaluation,
    rounds_to,
    until,
    work,
)
from fedspike.energy.bill import Bill
from fedspike.energy.break_even import PUBLISHED, Published
from fedspike.energy.duties import Duty
from fedspike.energy.levels import LEVELS, Level, level_of_key
from fedspike.energy.on_device import OnDevice, on_device, trainings
from fedspike.energy.pairing import EnergyComparison, comparison, pairs, unfit
from fedspike.energy.profiles import SHOWN_FIRST, Profile, Radio, shipped
from fedspike.energy.recorded import Standing, standings
from fedspike.energy.verdict import verdicts
from fedspike.errors import InputError


@dataclass(frozen=True)
class Prices:
    """What to price with; `named` if these profiles were asked for, and are not just all that there are."""

    profiles: tuple[Profile, ...]
    levels: tuple[Level, ...]
    radio: Radio
    duty: Duty
    named: bool

    @property
    def of_a_device(self) -> tuple[Profile, ...]:
        """The profiles for what a network costs one device: one, unless others were asked for."""
        return self.profiles if self.named else (shipped()[SHOWN_FIRST],)


class RepricedRun(Struct, frozen=True, kw_only=True):
    """A finished run and its new bills. `skip_zeros` if they are of hardware that leaves out zeros.

    Under the profiles `synapses_not_priced` its synaptic operations have no price. `on_device` is by profile.
    """

    name: str
    network: str
    seed: int
    rounds: int
    final_accuracy: float
    target_accuracy: float
    rounds_to_target: int | None
    skip_zeros: bool
    events_per_synapse: float
    bill: RunBills
    bill_evaluation: dict[str, Bill]
    synapses_not_priced: list[str]
    on_device: dict[str, OnDevice]


class RepricedComparison(EnergyComparison, frozen=True, kw_only=True):
    """Two networks side by side, and where the spiking one would break even."""

    time_steps: int
    break_even: list[Standing]


class Repriced(Struct, frozen=True, kw_only=True):
    """The new bills of all runs, the networks side by side, and the thresholds that others published."""

    radio: str
    duty: Duty
    levels: list[Level]
    profiles: list[str]
    skip_zeros: bool
    runs: list[RepricedRun]
    comparisons: list[RepricedComparison]
    published: tuple[Published, ...]


def prices(profile_names: Sequence[str], level: str | None, radio: str, duty: str = "") -> Prices:
    """The prices that these names on the command line stand for; "" is the usual radio or duty.

    Raises InputError, with the nearest name, at one that is unknown.
    """
    levels = LEVELS if level is None else (pricing.level(level, "--level"),)
    chosen = pricing.hardware(profile_names, radio, duty)
    profiles = chosen.chosen or tuple(shipped().values())
    return Prices(profiles, levels, chosen.radio, chosen.duty, named=bool(profile_names))


def reprice(
    runs: Sequence[tuple[Account, Sequence[RoundCounts]]],
    with_prices: Prices,
    target: float | None = None,
    *,
    skip_zeros: bool = False,
) -> Repriced:
    """The bills of finished runs, from their summaries and rounds, and the networks side by side.

    `target` is an accuracy in place of the runs' own; `skip_zeros` is hardware for the conventional
    networks that leaves out products with zero.

    Raises InputError where a profile that was asked for does not allow the level.
    """
    if target is not None and not 0 <= target <= 1:
        raise InputError(
            f"--target {target}",
            expected="an accuracy from 0 to 1",
            fix="write for example --target 0.85",
        )
    repriced: dict[str, RepricedRun] = {}
    works: dict[str, Work] = {}
    for summary, rounds in runs:
        works[summary.name] = work(summary.network_operations, rounds)
        aim = summary.target_accuracy if target is None else target
        # Hardware for spikes waits for events: there is no zero to skip.
        skipping = skip_zeros and summary.time_steps is None
        repriced[summary.name] = _repriced(
            summary, rounds, works[summary.name], with_prices, aim, skip_zeros=skipping
        )
    summaries = [summary for summary, _ in runs]
    return Repriced(
        radio=with_prices.radio.name,
        duty=with_prices.duty,
        levels=list(with_prices.levels),
        profiles=[profile.name for profile in with_prices.profiles],
        skip_zeros=skip_zeros,
        runs=list(repriced.values()),
        comparisons=list(_comparisons(summaries, repriced, works, with_prices)),
        published=PUBLISHED,
    )


def _repriced(
    summary: Account,
    rounds: Sequence[RoundCounts],
    whole: Work,
    with_prices: Prices,
    target: float,
    *,
    skip_zeros: bool,
) -> RepricedRun:
    number = rounds_to((round.accuracy for round in rounds), target)
    reached = until(rounds, number, summary.network_operations)
    made = bills(whole, reached, with_prices.profiles, [with_prices.radio], skip_zeros=skip_zeros)
    tests = evaluation(whole, with_prices.profiles)
    return RepricedRun(
        name=summary.name,
        network=summary.network,
        seed=summary.seed,
        rounds=whole.rounds,
        final_accuracy=rounds[-1].accuracy,
        target_accuracy=target,
        rounds_to_target=number,
        skip_zeros=skip_zeros,
        events_per_synapse=whole.trained.events_per_synapse,
        bill=_chosen(made, with_prices),
        bill_evaluation=tests,
        synapses_not_priced=[name for name, bill in tests.items() if not bill.is_comparable],
        on_device={
            profile.name: on_device(
                *(whole, trainings(rounds), profile, with_prices.radio, with_prices.duty),
                skip_zeros=skip_zeros,
            )
            for profile in with_prices.of_a_device
        },
    )


def _chosen(made: RunBills, with_prices: Prices) -> RunBills:
    """The levels that were asked for. A profile that was named must allow the one that was named."""
    chosen = {}
    for profile, levels in made.items():
        chosen[profile] = {
            name: bill for name, bill in levels.items() if level_of_key(name) in with_prices.levels
        }
        if not chosen[profile] and with_prices.named:
            raise InputError(
                f"--level {with_prices.levels[0]} under the profile {profile}",
                expected=f"{' or '.join(levels)}: its prices of synaptic operations include the rest",
                fix="choose one of these levels, or another profile",
            )
    return chosen


def _comparisons(
    summaries: Sequence[Account],
    repriced: dict[str, RepricedRun],
    works: dict[str, Work],
    with_prices: Prices,
) -> Iterator[RepricedComparison]:
    """Each spiking network beside each conventional one that was trained in the same setting."""
    for both in pairs(summaries):
        ann, snn = both[0]
        judged = verdicts(
            [repriced[one.name].bill for one, _ in both],
            [repriced[one.name].bill for _, one in both],
            fit=not unfit(both),
        )
        trained = works[ann.name].trained, works[snn.name].trained
        yield RepricedComparison(
            **asdict(comparison(both, judged, [])),
            time_steps=snn.time_steps or 1,
            break_even=[
                standing
                for profile in (() if unfit(both) else with_prices.profiles)
                for standing in standings(*trained, profile)
            ],
        )
