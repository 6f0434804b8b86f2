"""One search for each network of a sweep, at each other value of it: its space, seeds and own settings."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from fedspike.energy.pairing import variant_of
from fedspike.experiment import document
from fedspike.experiment.kinds import Kinds
from fedspike.experiment.plans import keys_of, plan_of, toml_of
from fedspike.experiment.sweep import Experiment, Run, points
from fedspike.experiment.tuning import space
from fedspike.experiment.tuning.space import Axis, Budget
from fedspike.federation.plan import Plan
from fedspike.networks import Network

MOST = 60  # searches; the best of each stand in one file, which has an end


@dataclass(frozen=True)
class Search:
    """What is searched for one network: `chosen` is what the sweep sets there, but for the seeds.

    `plan` has the file's own settings and the first seed.
    """

    name: str
    chosen: Mapping[str, Any]
    seeds: tuple[int, ...]
    axes: tuple[Axis, ...]
    plan: Plan


@dataclass(frozen=True)
class Tuning:
    """The searches of an experiment's file, all with the same budget."""

    experiment: Experiment
    budget: Budget
    searches: tuple[Search, ...]
    keys: tuple[str, ...]  # all that are searched, of any network

    @property
    def sha256(self) -> str:
        """The hash of all that decides the trials but their number, the data and the versions."""
        values = [
            [
                search.name,
                search.seeds,
                [repr(axis) for axis in search.axes],
                [
                    Run("", _plan(self.experiment, search, seed)).settings_sha256
                    for seed in search.seeds
                ],
            ]
            for search in self.searches
        ]
        text = msgspec.json.encode([self.budget.validation, values])
        return hashlib.sha256(text).hexdigest()


def read(experiment: Experiment) -> Tuning:
    """The searches that an experiment's file asks for, the cheap ones first.

    Raises InputError, naming file, line or option, and key, where [tune] cannot be used.
    """
    budget, axes = space.read(experiment)
    source, kinds = experiment.source, experiment.kinds
    made: dict[str, Search] = {}
    for point, name in points(source, kinds):
        plan = plan_of(source, source.with_values(point), kinds)
        variant = variant_of(toml_of(plan))
        if variant in made:
            seeds = (*made[variant].seeds, plan.seed)
            made[variant] = replace(made[variant], seeds=tuple(dict.fromkeys(seeds)))
            continue
        chosen = {key: value for key, value in point.items() if key != "seed"}
        own = [axis for axis in axes if _has(plan, axis, kinds)]
        name = name.removesuffix(f"-seed{plan.seed}")
        made[variant] = Search(name, chosen, (plan.seed,), tuple(own), plan)
    if len(made) > MOST:
        raise source.error(
            ("sweep",),
            f"{len(made)} searches",
            expected=f"at most {MOST}, one for each network and other value of the sweep",
            fix="shorten a list of [sweep]",
        )
    searches = tuple(_checked(experiment, search) for search in made.values())
    _demand_searched(experiment, axes, searches)
    ordered = sorted(searches, key=lambda search: search.plan.network.spiking)
    return Tuning(experiment, budget, tuple(ordered), tuple(axis.key for axis in axes))


def _demand_searched(
    experiment: Experiment, axes: Sequence[Axis], searches: Sequence[Search]
) -> None:
    """Raise InputError at a key that decides nothing of any network."""
    had = {axis.key for search in searches for axis in search.axes}
    for axis in axes:
        if axis.key not in had:
            for search in searches:  # says what is wrong with the key, if the file's reader knows
                _tried(experiment, search, {axis.key: axis.ends[0]})
            raise experiment.source.error(
                ("tune", *axis.key.split(".")),
                f"{axis.key} in [tune] decides nothing",
                expected="a key of a network of this file, or of a part that one has",
                fix=f"remove it, or name a network or kind that has it: {axis.key.split('.')[0]}",
            )


def _has(plan: Plan, axis: Axis, kinds: Kinds) -> bool:
    """Whether a plan's kinds have a key; each network takes the tables of the others, too."""
    return axis.key in keys_of(plan) or axis.key.split(".")[0] in kinds.of(Network)


def _checked(experiment: Experiment, search: Search) -> Search:
    """The search with what decides something at its point alone; every end of every range was read."""
    axes = []
    for axis in search.axes:
        plans = [_tried(experiment, search, {axis.key: end}) for end in axis.ends]
        if len({Run("", plan).settings_sha256 for plan in plans}) > 1 or len(plans) == 1:
            axes.append(space.fitted(axis, document.leaves(toml_of(plans[0]))))
    first = {axis.key: axis.ends[0] for axis in axes}
    for axis in axes:
        for end in axis.ends:  # another kind of a part may lack what else is searched
            _tried(experiment, search, first | {axis.key: end})
    return replace(search, axes=tuple(axes))


def _tried(experiment: Experiment, search: Search, settings: Mapping[str, Any]) -> Plan:
    return _plan(experiment, search, search.seeds[0], settings)


def _plan(
    experiment: Experiment, search: Search, seed: int, settings: Mapping[str, Any] | None = None
) -> Plan:
    chosen = {**search.chosen, **(settings or {}), "seed": seed}
    return plan_of(experiment.source, experiment.source.with_values(chosen), experiment.kinds)
