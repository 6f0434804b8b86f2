"""Which runs may be compared, the one rule of it, and the verdicts on those that are.

Two runs have the same setting if their configurations differ in nothing but the name, the seed and the
network: its kind, the tables of the configuration that only such a network has, and the keys of which each
network was given its own, because they were searched for each. In one setting each spiking network is
compared with each conventional one, seed by seed.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from msgspec import Struct

from fedspike.energy.account import Account
from fedspike.energy.description import RunDescription
from fedspike.energy.verdict import Verdict, verdicts

R = TypeVar("R", bound=RunDescription)
NOT_A_DIFFERENCE = ("name", "seed")


class EnergyComparison(Struct, frozen=True, kw_only=True):
    """A spiking network beside a conventional one in one setting, and who needs less energy.

    `networks` and each pair of `runs` name the conventional one first. `verdicts_skip_zeros` are those on
    the conventional network's bill on hardware that leaves out products with zero. `unfit` names the runs
    whose network does not work, and why: of them there is no verdict.
    """

    setting: str
    networks: tuple[str, str]
    seeds: list[int]
    runs: list[tuple[str, str]]
    unfit: list[str]
    verdicts: list[Verdict]
    verdicts_skip_zeros: list[Verdict]


def shared(run: RunDescription) -> dict[str, Any]:
    """The part of its configuration that a run must share with another to be compared with it."""
    own_keys = ("network", *run.network_tables, *run.network_keys)
    return _without(run.config, (*NOT_A_DIFFERENCE, *own_keys))


def own(run: RunDescription) -> dict[str, Any]:
    """The part of its configuration that describes the network of a run."""
    whole = {k: v for k, v in run.config.items() if k in ("network", *run.network_tables)}
    for key in run.network_keys:
        table, _, name = key.partition(".")
        values = run.config.get(table)
        if not name and table in run.config:
            whole[table] = values
        elif isinstance(values, dict) and name in values:
            whole[table] = {**whole.get(table, {}), name: values[name]}
    return whole


def setting(run: RunDescription) -> str:
    """The shared part as text that is equal where the runs may be compared."""
    return json.dumps(shared(run), sort_keys=True)


def variant(run: RunDescription) -> str:
    """What all runs of one network in one setting have alike, as text: they differ in the seed alone."""
    return variant_of(run.config)


def variant_of(config: dict[str, Any]) -> str:
    """The same, of a configuration."""
    return json.dumps(_without(config, NOT_A_DIFFERENCE), sort_keys=True)


def pairs(runs: Sequence[R]) -> Iterator[list[tuple[R, R]]]:
    """Conventional and spiking run of every seed, for each two networks that were trained in one setting."""
    networks: dict[str, list[R]] = {}
    for run in runs:
        networks.setdefault(variant(run), []).append(run)
    for spiking in networks.values():
        for rivals in networks.values():
            if spiking[0].time_steps is None or rivals[0].time_steps is not None:
                continue
            by_seed = {run.seed: run for run in rivals}
            paired = [(by_seed[run.seed], run) for run in spiking if run.seed in by_seed]
            if paired and setting(spiking[0]) == setting(rivals[0]):
                yield paired


def compared(runs: Sequence[Account]) -> list[EnergyComparison]:
    """The verdicts of an experiment's runs."""
    made = []
    for both in pairs(runs):
        snn, fit = [snn.bill for _, snn in both], not unfit(both)
        dense = verdicts([ann.bill for ann, _ in both], snn, fit=fit)
        skip_zeros = verdicts([ann.bill_skip_zeros for ann, _ in both], snn, fit=fit)
        made.append(comparison(both, dense, skip_zeros))
    return made


def unfit(both: Sequence[tuple[Account, Account]]) -> list[str]:
    """Which of these runs there can be no verdict on, and why."""
    runs = {run.name: run for pair in both for run in pair}
    return [f"{name}: {'; '.join(run.unfit)}" for name, run in runs.items() if run.unfit]


def comparison(
    both: Sequence[tuple[Account, Account]],
    dense: list[Verdict],
    skip_zeros: list[Verdict],
) -> EnergyComparison:
    """Two networks with the verdicts on them."""
    rival, snn = both[0]
    return EnergyComparison(
        setting=snn.name.removeprefix(f"{snn.network}-").removesuffix(f"-seed{snn.seed}"),
        networks=(rival.network, snn.network),
        seeds=[snn.seed for _, snn in both],
        runs=[(rival.name, snn.name) for rival, snn in both],
        unfit=unfit(both),
        verdicts=dense,
        verdicts_skip_zeros=skip_zeros,
    )


def _without(config: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """The configuration without these keys; a dotted one is of a table.

    >>> _without({"seed": 0, "optimiser": {"kind": "sgd", "momentum": 0.9}}, ["seed", "optimiser.momentum"])
    {'optimiser': {'kind': 'sgd'}}
    """
    kept = {key: value for key, value in config.items() if key not in keys}
    for table, _, name in (key.partition(".") for key in keys):
        if name and isinstance(kept.get(table), dict):
            kept[table] = {key: value for key, value in kept[table].items() if key != name}
    return kept
