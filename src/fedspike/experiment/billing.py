"""What a run did and what that costs, from its records alone: nothing is trained again, nothing needs torch.

The devices pay for their training at the levels of `energy/bill.py`. Evaluation is a phase of its own: it
is the server that tests each round's model, so no level of the devices has it, and its energy stands apart
(`bill_evaluation`), at level "memory", as what an inference costs.
"""

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import reduce

import msgspec
import numpy as np

from fedspike.energy.bill import LEVELS, Bill, Level, bill
from fedspike.energy.counts import (
    Counts,
    aggregation,
    count,
    entries,
    merge,
)
from fedspike.energy.neurobench import metrics
from fedspike.energy.profiles import Profile, Radio, radios, shipped
from fedspike.energy.recorded import Recorded, recorded
from fedspike.layers.activity import Activity
from fedspike.layers.operations import NetworkOperations
from fedspike.layers.shapes import Layer
from fedspike.records.events import Record

WIRE = "radio"  # what the phase `exchange` has in place of a layer's name


@dataclass(frozen=True)
class Work:
    """What a run did in so many rounds: `trained` its devices, `tested` its server."""

    trained: Recorded
    tested: Recorded
    uplink_bytes: int
    downlink_bytes: int
    rounds: int

    def training(self, *, skip_zeros: bool = False) -> Counts:
        """All that the devices paid for, and the server's aggregation.

        The bytes are those that were sent, and the server weighs every model-sized copy that it received.
        """
        network = self.trained.network
        sent = {"uplink_bytes": self.uplink_bytes, "downlink_bytes": self.downlink_bytes}
        return merge(
            [
                count(network, self.trained.activity, skip_zeros=skip_zeros),
                aggregation(network, self.trained.models),
                {"exchange": {WIRE: sent}},
            ]
        )

    def evaluation(self, *, skip_zeros: bool = False) -> Counts:
        """The inferences of the tests."""
        seen = self.tested
        return count(seen.network, seen.activity, skip_zeros=skip_zeros, training=False)


def work(run: Record, records: Sequence[Record]) -> Work:
    """The sum of these rounds of the run whose summary has the network's shape and its configuration."""
    network = msgspec.convert(run["network_operations"], NetworkOperations)
    uplink_bytes = sum(line["uplink_bytes"] for line in records)

    def shaped(seen: Iterable[Record], uplink_bytes: int = 0) -> Recorded:
        return recorded(
            network,
            reduce(operator.add, (Activity(**one) for one in seen)),
            uplink_bytes=uplink_bytes,
        )

    trained = (seen for line in records for seen in line["activity"].values())
    return Work(
        trained=shaped(trained, uplink_bytes),
        tested=shaped(line["tested"] for line in records),
        uplink_bytes=uplink_bytes,
        downlink_bytes=sum(line["downlink_bytes"] for line in records),
        rounds=len(records),
    )


def rounds_to(accuracy: Sequence[float], target: float) -> int | None:
    """The number of the first round whose accuracy reaches the target; None if none does.

    >>> rounds_to([0.5, 0.86, 0.84], target=0.85)
    2
    """
    return next((number for number, a in enumerate(accuracy, 1) if a >= target), None)


def fields(
    run: Record,
    records: Sequence[Record],
    model: Mapping[str, np.ndarray],
    layers: Mapping[str, Layer],
    target: float,
) -> Record:
    """What the summary of a run says of energy, under all shipped profiles and radios."""
    whole, first = work(run, records), rounds_to(run["accuracy"], target)
    before = records[:first] if first else []
    reached = work(run, before) if any(line["activity"] for line in before) else None
    known = list(shipped().values())
    found: Record = {
        "activity": plain(whole.trained.activity),
        "tested": plain(whole.tested.activity),
        "counts": merge([whole.training(), as_one_phase("evaluation", whole.evaluation())]),
        "target_accuracy": target,
        "rounds_to_target": first,
        "bill": bills(whole, reached, known),
        "bill_by": bill_by(whole, known),
        "bill_evaluation": evaluation(whole, known),
        "neurobench": asdict(
            metrics(model, layers, whole.tested.network, Activity(**records[-1]["tested"]))
        ),
    }
    if run["time_steps"] is None:
        found["bill_skip_zeros"] = bills(whole, reached, known, skip_zeros=True)
    return found


def plain(seen: Activity) -> Record:
    """An activity as a line of `rounds.jsonl` has it."""
    found: Record = {
        "samples": seen.samples,
        "steps": seen.steps,
        "events_in": dict(seen.events_in),
        "events_out": seen.events_out,
    }
    if seen.synapses_met:  # by events into convolutions
        found["synapses_met"] = dict(seen.synapses_met)
    return found


def bills(
    whole: Work,
    reached: Work | None,
    known: Iterable[Profile],
    by: Iterable[Radio] | None = None,
    *,
    skip_zeros: bool = False,
) -> Record:
    """profile -> level -> energy of a mean round, of all rounds, and of those until the target.

    Level "communication" is there once for each radio, as "communication:lte"; a profile has the levels
    that it allows.
    """
    by = radios().values() if by is None else list(by)
    counts = whole.training(skip_zeros=skip_zeros)
    until = None if reached is None else reached.training(skip_zeros=skip_zeros)
    found: Record = {}
    for profile in known:
        found[profile.name] = {
            level: _entry(whole, counts, until, profile, level) for level in allowed(profile)
        }
        if profile.scope == "all-in":
            continue
        for radio in by:
            until_sent = None if until is None else _sent(until)
            sent = _entry(whole, _sent(counts), until_sent, profile, "communication", radio)
            level = f"communication:{radio.name}"
            found[profile.name][level] = _sum(found[profile.name]["training"], sent)
    return found


def allowed(profile: Profile) -> tuple[Level, ...]:
    """The levels that a profile can price without knowing the radio."""
    return LEVELS[:2] if profile.scope == "all-in" else LEVELS[:-1]


def bill_by(whole: Work, known: Iterable[Profile]) -> Record:
    """Nominal millijoule of a mean round by phase and by layer, at the highest level without a radio."""
    counts, sizes = whole.training(), whole.trained.footprint
    del counts["exchange"]
    layers = dict.fromkeys(layer for _, layer, _, _ in entries(counts))

    def millijoule(some: Counts, profile: Profile) -> float:
        level = allowed(profile)[-1]
        return bill(some, profile, level, footprint=sizes, rounds=whole.rounds).nominal_mj

    return {
        "phase": {
            one.name: {phase: millijoule({phase: counts[phase]}, one) for phase in counts}
            for one in known
        },
        "layer": {
            one.name: {layer: millijoule(_of(layer, counts), one) for layer in layers}
            for one in known
        },
    }


def evaluation(whole: Work, known: Iterable[Profile]) -> Record:
    """profile -> energy of a mean round's test, at level "memory" or the highest allowed before it."""
    counts, sizes = whole.evaluation(), whole.tested.footprint
    found: Record = {}
    for one in known:
        level = allowed(one)[:3][-1]
        cost = bill(counts, one, level, footprint=sizes, rounds=whole.rounds)
        found[one.name] = {**_ends(cost), "not_priced": cost.not_priced}
    return found


def as_one_phase(phase: str, counts: Counts) -> Counts:
    """All counts of a layer under one name."""
    return merge({phase: layers} for layers in counts.values())


def _entry(
    whole: Work,
    counts: Counts,
    until: Counts | None,
    profile: Profile,
    level: Level,
    radio: Radio | None = None,
) -> Record:
    def cost(some: Counts, rounds: int = 1) -> Bill:
        sizes = whole.trained.footprint
        return bill(some, profile, level, footprint=sizes, radio=radio, rounds=rounds)

    mean = cost(counts, whole.rounds)
    return {
        **_ends(mean),
        "not_priced": mean.not_priced,
        "to_target": None if until is None else _ends(cost(until)),
        "run": _ends(cost(counts)),
    }


def _ends(cost: Bill) -> dict[str, float]:
    return {"low_mj": cost.low_mj, "nominal_mj": cost.nominal_mj, "high_mj": cost.high_mj}


def _sum(one: Record, other: Record) -> Record:
    """Two entries of the same rounds, added."""
    found: Record = {}
    for name, value in one.items():
        if isinstance(value, dict):
            found[name] = _sum(value, other[name])
        else:
            found[name] = None if value is None else value + other[name]
    return found


def _sent(counts: Counts) -> Counts:
    return {"exchange": counts["exchange"]}


def _of(layer: str, counts: Counts) -> Counts:
    return {phase: {layer: layers[layer]} for phase, layers in counts.items() if layer in layers}
