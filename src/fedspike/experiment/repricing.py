"""Finished runs are priced again, at other prices or until another accuracy; nothing is trained."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fedspike.energy.bill import LEVELS, Level
from fedspike.energy.break_even import PUBLISHED
from fedspike.energy.profiles import Profile, Radio, shipped
from fedspike.energy.recorded import standings
from fedspike.energy.verdict import says_nothing
from fedspike.errors import InputError
from fedspike.experiment import billing, comparing, pricing
from fedspike.experiment.billing import Work
from fedspike.experiment.check import nearest
from fedspike.records.directory import read_json
from fedspike.records.events import Record


@dataclass(frozen=True)
class Prices:
    """What to price with; `named` if these profiles were asked for, and not just all that there are."""

    profiles: tuple[Profile, ...]
    levels: tuple[Level, ...]
    radio: Radio
    named: bool


@dataclass(frozen=True)
class _Priced:
    """A finished run and its bills."""

    summary: Record
    whole: Work
    told: Record


def prices(profile_names: Sequence[str], level: str | None, radio: str) -> Prices:
    """Names as the command line has them become what they stand for.

    Raises InputError, with the nearest name, at one that is unknown.
    """
    if level is not None and level not in LEVELS:
        raise InputError(
            f"--level {level}", expected=f"one of {', '.join(LEVELS)}", fix=nearest(level, LEVELS)
        )
    found = [pricing.profile(name) for name in profile_names] or list(shipped().values())
    return Prices(
        tuple(found),
        LEVELS if level is None else (comparing.LEVEL[level],),
        pricing.radio(radio),
        bool(profile_names),
    )


def reprice(
    folder: Path, with_prices: Prices, target: float | None = None, *, skip_zeros: bool = False
) -> Record:
    """The bills of a finished run, or of all runs of an experiment, and the networks side by side.

    `target` is an accuracy in place of the runs' own; `skip_zeros` is hardware for the conventional
    networks that leaves out products with zero.

    Raises InputError where the folder holds no finished run, or one without activity, and where a
    profile that was asked for does not allow the level.
    """
    if target is not None and not 0 <= target <= 1:
        raise InputError(
            f"--target {target}",
            expected="an accuracy from 0 to 1",
            fix="write for example --target 0.85",
        )
    priced = [
        _priced(summary, home, with_prices, target, skip_zeros=skip_zeros)
        for summary, home in _runs(folder)
    ]
    return {
        "radio": with_prices.radio.name,
        "levels": list(with_prices.levels),
        "profiles": [profile.name for profile in with_prices.profiles],
        "skip_zeros": skip_zeros,
        "runs": [one.told for one in priced],
        "comparisons": list(_comparisons(priced, with_prices)),
        "published": [asdict(threshold) for threshold in PUBLISHED],
    }


def _runs(folder: Path) -> Iterator[tuple[Record, Path]]:
    """The summaries of finished runs, and the folders with their rounds."""
    path = folder / "summary.json"
    if not path.is_file():
        raise _nothing_in(folder)
    found = read_json(path, fix="name another folder, or run the experiment again")
    if "runs" not in found:
        yield found, folder
        return
    for run in found["runs"]:
        yield run, folder / run["name"]


def _nothing_in(folder: Path) -> InputError:
    """The error for a folder without a finished run."""
    if (folder / "config.toml").exists() or list(folder.glob("*/config.toml")):
        passed, fix = "the runs in it are not finished", "give the command of the experiment again"
    elif folder.exists():
        passed, fix = "no summary.json in it", "name a folder that `fedspike run` wrote to"
    elif beside := [path.parent.name for path in folder.parent.glob("*/summary.json")]:
        passed, fix = "no such folder", nearest(folder.name, beside)
    else:
        passed, fix = "no such folder", "name a folder that `fedspike run` wrote to"
    return InputError(
        f"{folder}: {passed}",
        expected="the folder of an experiment or of a finished run, such as runs/study",
        fix=fix,
    )


def _priced(
    summary: Record, home: Path, with_prices: Prices, target: float | None, *, skip_zeros: bool
) -> _Priced:
    records = _records(home)
    if "time_steps" not in summary or not all("activity" in line for line in records):
        raise InputError(
            f"{home}: its rounds do not say what was done, so there is nothing to price",
            expected='a run whose rounds.jsonl has "activity" in every line',
            fix=f"it is from an earlier fedspike: delete {home} and run it again",
        )
    accuracy = summary["accuracy"]
    target = summary["target_accuracy"] if target is None else target
    first = billing.rounds_to(accuracy, target)
    whole = billing.work(summary, records)
    until = None if first is None else billing.work(summary, records[:first])
    # Spikes are what an SNN's hardware waits for: there is no zero to skip.
    skipping = skip_zeros and summary["time_steps"] is None
    bills = billing.bills(
        whole, until, with_prices.profiles, [with_prices.radio], skip_zeros=skipping
    )
    evaluation = billing.evaluation(whole, with_prices.profiles)
    told = {
        "name": summary["name"],
        "network": summary["network"],
        "seed": summary["seed"],
        "rounds": whole.rounds,
        "final_accuracy": accuracy[-1],
        "target_accuracy": target,
        "rounds_to_target": first,
        "skip_zeros": skipping,
        "events_per_synapse": whole.trained.events_per_synapse,
        "bill": {name: _chosen(levels, name, with_prices) for name, levels in bills.items()},
        "bill_evaluation": evaluation,
        "synapses_not_priced": [
            name for name, cost in evaluation.items() if says_nothing(cost["not_priced"])
        ],
    }
    return _Priced(summary, whole, told)


def _records(home: Path) -> list[Record]:
    path = home / "rounds.jsonl"
    try:
        return [json.loads(line) for line in path.read_bytes().splitlines()]
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be read ({error})",
            expected="a JSON object for each round, as fedspike wrote them",
            fix=f"restore it, or delete {home} and run it again",
        ) from error


def _chosen(levels: Record, profile: str, with_prices: Prices) -> Record:
    """The levels that were asked for. A profile that was named must allow the one that was named."""
    found = {
        key: entry for key, entry in levels.items() if key.partition(":")[0] in with_prices.levels
    }
    if not found and with_prices.named:
        raise InputError(
            f"--level {with_prices.levels[0]} under the profile {profile}",
            expected=f"{' or '.join(levels)}: its prices of synaptic operations have the rest in them",
            fix="choose one of these levels, or another profile",
        )
    return found


def _comparisons(priced: Sequence[_Priced], with_prices: Prices) -> Iterator[Record]:
    """Each spiking network beside each conventional one that was trained in the same setting."""
    by_name = {one.summary["name"]: one for one in priced}
    for pairs in comparing.paired([one.summary for one in priced]):
        sides = [(by_name[one["name"]], by_name[two["name"]]) for one, two in pairs]
        ann, snn = sides[0]
        break_even = [
            {"profile": profile.name, **asdict(standing)}
            for profile in with_prices.profiles
            for standing in standings(ann.whole.trained, snn.whole.trained, profile)
        ]
        yield comparing.described(pairs) | {
            "time_steps": snn.summary["time_steps"],
            "verdicts": comparing.judged(
                [one.told["bill"] for one, _ in sides], [two.told["bill"] for _, two in sides]
            ),
            "break_even": [
                {k: None if v == float("inf") else v for k, v in row.items()} for row in break_even
            ],
        }
