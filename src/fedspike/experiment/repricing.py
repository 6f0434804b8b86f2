"""Finished runs are priced again, at other prices or until another accuracy; nothing is trained."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fedspike.energy.bill import LEVELS, Bill, Level
from fedspike.energy.break_even import PUBLISHED
from fedspike.energy.profiles import Profile, Radio, radios, shipped
from fedspike.energy.recorded import standings
from fedspike.energy.verdict import Bills, Verdict, verdict
from fedspike.errors import InputError
from fedspike.experiment import billing, pricing
from fedspike.experiment.billing import Work
from fedspike.experiment.check import nearest
from fedspike.experiment.directory import read_json
from fedspike.experiment.events import Record

USUAL_RADIO = "bluetooth-le"
LEVEL: Mapping[str, Level] = {level: level for level in LEVELS}
# What may differ between a spiking run and the conventional one that it is compared with.
OWN = ("name", "network", "seed", "snn", "code", "neuron", "loss", "qann", "target_accuracy")


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
    if radio not in radios():
        raise InputError(
            f"--radio {radio}",
            expected=f"one of {', '.join(radios())}",
            fix=nearest(radio, radios()),
        )
    found = [pricing.profile(name) for name in profile_names] or list(shipped().values())
    return Prices(
        tuple(found),
        LEVELS if level is None else (LEVEL[level],),
        radios()[radio],
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
        "bill_evaluation": billing.evaluation(whole, with_prices.profiles),
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
    variants: dict[str, list[_Priced]] = {}
    for one in priced:
        variants.setdefault(_key(one.summary, ("name", "seed", "target_accuracy")), []).append(one)
    for spiking in variants.values():
        for other in variants.values():
            ours, theirs = spiking[0].summary, other[0].summary
            if ours["network"] != "snn" or theirs["network"] == "snn":
                continue
            seeds = {one.summary["seed"]: one for one in other}
            pairs = [(seeds[s.summary["seed"]], s) for s in spiking if s.summary["seed"] in seeds]
            if pairs and _key(ours, OWN) == _key(theirs, OWN):
                yield _comparison(pairs, with_prices)


def _comparison(pairs: Sequence[tuple[_Priced, _Priced]], with_prices: Prices) -> Record:
    (ann, snn), *_ = pairs
    judged = verdict(_bills([one for one, _ in pairs]), _bills([two for _, two in pairs]))
    break_even = [
        {"profile": profile.name, **asdict(standing)}
        for profile in with_prices.profiles
        for standing in standings(ann.whole.trained, snn.whole.trained, profile)
    ]
    return {
        "setting": re.sub(r"^snn-|-seed\d+$", "", snn.told["name"]),
        "networks": [ann.told["network"], "snn"],
        "time_steps": snn.summary["time_steps"],
        "runs": [[one.told["name"], two.told["name"]] for one, two in pairs],
        "verdicts": [{**asdict(one), "factor": _finite(one)} for one in judged],
        "break_even": [
            {k: None if v == float("inf") else v for k, v in row.items()} for row in break_even
        ],
    }


def _bills(runs: Sequence[_Priced]) -> Bills:
    """The bills of a mean round as `verdict` reads them."""
    found: dict[str, dict[Level, list[Bill]]] = {}
    for run in runs:
        for profile, levels in run.told["bill"].items():
            for key, entry in levels.items():
                level = LEVEL[key.partition(":")[0]]
                ends = (entry["low_mj"], entry["nominal_mj"], entry["high_mj"])
                made = Bill(*ends, terms={}, not_priced=entry["not_priced"], included=[])
                found.setdefault(profile, {}).setdefault(level, []).append(made)
    return found


def _finite(judged: Verdict) -> float | None:
    """The factor, which JSON has no name for where the winner pays nothing."""
    return None if judged.factor == float("inf") else judged.factor


def _key(summary: Mapping[str, object], without: Sequence[str]) -> str:
    """A run's configuration without some keys, to compare."""
    config = summary["config"]
    assert isinstance(config, dict), "a summary as fedspike wrote it"
    return json.dumps({k: v for k, v in config.items() if k not in without}, sort_keys=True)
