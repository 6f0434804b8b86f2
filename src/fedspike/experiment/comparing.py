"""Each spiking network beside the conventional ones of its setting, seed by seed: who needs less energy.

From summaries of runs and bills as `billing.bills` writes them; nothing is counted or priced here.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from fedspike.energy.bill import LEVELS, Bill, Level
from fedspike.energy.verdict import Bills, Verdict, verdict
from fedspike.experiment.config import SPIKING
from fedspike.records.events import Record

LEVEL: Mapping[str, Level] = {level: level for level in LEVELS}
# What may differ between a spiking run and the conventional one that it is compared with.
OWN = ("name", "network", "seed", "target_accuracy", *SPIKING, "qann")
Pairs = list[tuple[Record, Record]]
"""The summaries of a conventional and of a spiking run, for each seed that both networks have."""


def compared(runs: Sequence[Record]) -> list[Record]:
    """What an experiment's summary says of each two networks: who needs less, by what factor.

    Over all seeds, for every profile and every level of its runs' bills, "communication:lte" for a radio.
    """
    found = []
    for pairs in paired([run for run in runs if "bill" in run]):
        levels = dict.fromkeys(key for levels in pairs[0][0]["bill"].values() for key in levels)
        rows = [row for key in levels for row in _at(key, pairs)]
        found.append(described(pairs) | {"verdicts": rows})
    return found


def paired(runs: Sequence[Record]) -> Iterator[Pairs]:
    """The runs of each two networks that were trained in the same setting."""
    variants: dict[str, list[Record]] = {}
    for one in runs:
        variants.setdefault(_key(one, ("name", "seed", "target_accuracy")), []).append(one)
    for spiking in variants.values():
        for other in variants.values():
            if spiking[0]["network"] != "snn" or other[0]["network"] == "snn":
                continue
            seeds = {one["seed"]: one for one in other}
            pairs = [(seeds[one["seed"]], one) for one in spiking if one["seed"] in seeds]
            if pairs and _key(spiking[0], OWN) == _key(other[0], OWN):
                yield pairs


def described(pairs: Pairs) -> Record:
    """Which networks, seeds and runs are compared."""
    ann, snn = pairs[0]
    return {
        "setting": re.sub(r"^snn-|-seed\d+$", "", snn["name"]),
        "networks": [ann["network"], snn["network"]],
        "seeds": [one["seed"] for one, _ in pairs],
        "runs": [[one["name"], two["name"]] for one, two in pairs],
    }


def judged(ann: Sequence[Record], snn: Sequence[Record]) -> list[Record]:
    """The verdicts on bills of two networks, profile -> level -> energy, seed by seed.

    Of the levels with a radio each bill may have one. JSON has no infinity: a factor, and the end of an
    interval, that is without bounds is null.
    """
    return [_plain(one) for one in verdict(_bills(ann), _bills(snn))]


def _at(key: str, pairs: Pairs) -> list[Record]:
    """The verdicts at one level of the bills, under its name there, for the profiles that all runs have."""
    sides = [[run["bill"] for run in side] for side in zip(*pairs, strict=True)]
    names = [
        name
        for name in sides[0][0]
        if all(key in bills.get(name, {}) for side in sides for bills in side)
    ]
    ann, snn = ([{n: {key: bills[n][key]} for n in names} for bills in side] for side in sides)
    return [row | {"level": key} for row in judged(ann, snn)]


def _plain(one: Verdict) -> Record:
    interval = None if one.interval is None else [_finite(end) for end in one.interval]
    return asdict(one) | {"factor": _finite(one.factor), "interval": interval}


def _finite(value: float | None) -> float | None:
    return None if value == math.inf else value


def _bills(runs: Sequence[Record]) -> Bills:
    """The bills of a mean round as `verdict` reads them."""
    found: dict[str, dict[Level, list[Bill]]] = {}
    for run in runs:
        for profile, levels in run.items():
            for key, entry in levels.items():
                level = LEVEL[key.partition(":")[0]]
                ends = (entry["low_mj"], entry["nominal_mj"], entry["high_mj"])
                made = Bill(*ends, terms={}, not_priced=entry["not_priced"], included=[])
                found.setdefault(profile, {}).setdefault(level, []).append(made)
    return found


def _key(summary: Record, without: Sequence[str]) -> str:
    """A run's configuration without some keys, to compare."""
    config: Record = summary["config"]
    return json.dumps({k: v for k, v in config.items() if k not in without}, sort_keys=True)
