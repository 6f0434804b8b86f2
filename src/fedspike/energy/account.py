"""The account of a run: what was done, and what it costs, from the run's records alone.

Nothing is trained again, and nothing needs torch. The devices pay for their training at the levels of
`energy/levels.py`. The server tests each round's model: that energy is in no level of the devices but stands
apart (`bill_evaluation`), at level "memory", as what an inference costs.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as replaced
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict, replace

from fedspike.energy.bill import Bill, Energy, Millijoule, highest_level
from fedspike.energy.counts import Counts, aggregation, count, entries, merge
from fedspike.energy.description import Count, Fraction, RunDescription, Size
from fedspike.energy.levels import HIGHEST_OF_INFERENCE, Level, LevelName, key, up_to
from fedspike.energy.neurobench import Metrics
from fedspike.energy.profiles import Profile, Radio, radios, shipped
from fedspike.energy.recorded import Recorded, by_clients, recorded
from fedspike.errors import InputError
from fedspike.layers.activity import Activity
from fedspike.layers.operations import NetworkOperations

MOST_KEPT = 256  # of the works of a run's rounds
WIRE = "radio"  # what the phase `exchange` has in place of a layer's name
WITHOUT_PARTS: dict[str, Any] = {"terms": {}, "included": []}  # as bills are stored


class RoundCounts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The part of a round's record that an account is made from; `activity` is by client.

    `unpacked_bytes` are those of the clients' answers as the server joins them, where they travelled packed.
    """

    accuracy: Fraction
    activity: dict[int, Activity]
    tested: Activity
    uplink_bytes: Count
    downlink_bytes: Count
    unpacked_bytes: Count | None = None


class RunBill(Bill, frozen=True, kw_only=True):
    """The bill of a mean round, the energy until the target accuracy, and that of the whole run."""

    to_target: Energy | None
    run: Energy


RunBills = dict[str, dict[LevelName, RunBill]]
"""profile -> name of the level (`levels.key`) -> bill."""


class BillBy(Struct, frozen=True, kw_only=True):
    """Profile -> phase, or layer, -> millijoule of a mean round, at the highest level without a radio."""

    phase: dict[str, dict[str, Millijoule]]
    layer: dict[str, dict[str, Millijoule]]


class Account(RunDescription, frozen=True, kw_only=True):
    """A run, what it did and what that costs, under all profiles and radios that ship.

    `unfit` says why its energy is not to be compared with another run's: its network does not work.
    `activity` and `counts` are sums over all rounds. `bill_skip_zeros` is the bill on hardware that leaves
    out products with zero; a spiking network has none, because its hardware waits for spikes.
    """

    unfit: list[str]
    activity: Activity
    tested: Activity
    counts: Counts
    target_accuracy: Fraction
    rounds_to_target: Size | None
    bill: RunBills
    bill_skip_zeros: RunBills
    bill_by: BillBy
    bill_evaluation: dict[str, Bill]
    neurobench: Metrics | None


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
                self.trained.trained(skip_zeros=skip_zeros),
                aggregation(network, self.trained.models),
                {"exchange": {WIRE: sent}},
            ]
        )

    def evaluation(self, *, skip_zeros: bool = False) -> Counts:
        """The inferences of the tests."""
        return count(
            self.tested.network, self.tested.activity, skip_zeros=skip_zeros, training=False
        )


def work(network: NetworkOperations, rounds: Sequence[RoundCounts]) -> Work:
    """The sum of these rounds of a network. Raises InputError where nobody trained in them."""
    tally = _Tally(network)
    for round in rounds:
        tally.add(round)
    if (whole := tally.work()) is None:
        raise InputError(
            f"{len(rounds)} rounds in which nobody trained",
            expected="a client that trained, at least once",
            fix="see in rounds.jsonl whether nobody was there, or why all were missing or rejected",
        )
    return whole


class Works(Sequence["Work | None"]):
    """The work of the first round, of the first two, and so on; None while nobody has trained.

    Of many rounds some are kept, and those between are made again from the `rounds`, one by one.
    """

    def __init__(self, network: NetworkOperations, rounds: Sequence[RoundCounts]) -> None:
        """None yet: each round is added in its turn."""
        self._rounds, self._tally = rounds, _Tally(network)
        self._every = max(1, math.ceil(len(rounds) / MOST_KEPT))
        self._kept = [self._tally.copy()]

    def add(self, round: RoundCounts) -> None:
        """Go on by the next round."""
        self._tally.add(round)
        if len(self) % self._every == 0:
            self._kept.append(self._tally.copy())

    def __len__(self) -> int:
        return self._tally.rounds

    def __getitem__(self, place: Any) -> Any:
        """The work up to a round and with it; the first one has number 0."""
        last = range(len(self))[place]
        if isinstance(last, range):
            return [self[number] for number in last]
        tally = self._kept[(last + 1) // self._every].copy()
        for number in range(tally.rounds, last + 1):
            tally.add(self._rounds[number])
        return tally.work()


@dataclass
class _Tally:
    """What was done in the rounds so far; of each size of the network by one of its clients and in all."""

    network: NetworkOperations
    by_size: dict[str, tuple[int, Activity]] = field(default_factory=dict)
    tested: Activity | None = None
    uplink_bytes: int = 0
    joined_bytes: int = 0
    downlink_bytes: int = 0
    rounds: int = 0

    def add(self, round: RoundCounts) -> None:
        """Go on by a round."""
        for client, own in round.activity.items():
            size = self.network.sizes.get(client, "")
            first, before = self.by_size.get(size, (client, None))
            self.by_size[size] = first, own if before is None else before + own
        self.tested = round.tested if self.tested is None else self.tested + round.tested
        unpacked, sent = round.unpacked_bytes, round.uplink_bytes
        self.joined_bytes += sent if unpacked is None else unpacked
        self.uplink_bytes += round.uplink_bytes
        self.downlink_bytes += round.downlink_bytes
        self.rounds += 1

    def copy(self) -> "_Tally":
        """The same, which goes on by itself."""
        return replaced(self, by_size=dict(self.by_size))

    def work(self) -> Work | None:
        """All of it; None if nobody has trained."""
        if not self.by_size or self.tested is None:
            return None
        return Work(
            trained=by_clients(self.network, self.by_size.values(), self.joined_bytes),
            tested=recorded(self.network, self.tested),
            uplink_bytes=self.uplink_bytes,
            downlink_bytes=self.downlink_bytes,
            rounds=self.rounds,
        )


def rounds_to(accuracy: Iterable[float], target: float) -> int | None:
    """The number of the first round whose `accuracy` reaches the target; None if none does."""
    return next((n for n, own in enumerate(accuracy, 1) if own >= target), None)


def until(
    rounds: Sequence[RoundCounts], number: int | None, network: NetworkOperations
) -> Work | None:
    """The work of the first rounds; None where there are none, or nobody trained in them."""
    first = rounds[:number] if number else []
    return work(network, first) if any(round.activity for round in first) else None


def account(
    run: RunDescription,
    rounds: Sequence[RoundCounts],
    neurobench: Metrics,
    target: float,
    unfit: Sequence[str] = (),
) -> Account:
    """The account of a finished run, with NeuroBench's metrics of its model, and why it is `unfit`, if so."""
    network = run.network_operations
    whole, number = work(network, rounds), rounds_to((r.accuracy for r in rounds), target)
    reached = until(rounds, number, network)
    profiles = list(shipped().values())
    skipping = {}
    if network.time_steps is None:
        skipping = bills(whole, reached, profiles, skip_zeros=True)
    return Account(
        **asdict(run),
        unfit=list(unfit),
        activity=whole.trained.activity,
        tested=whole.tested.activity,
        counts=merge([whole.training(), _as_one_phase("evaluation", whole.evaluation())]),
        target_accuracy=target,
        rounds_to_target=number,
        bill=bills(whole, reached, profiles),
        bill_skip_zeros=skipping,
        bill_by=bill_by(whole, profiles),
        bill_evaluation=evaluation(whole, profiles),
        neurobench=neurobench,
    )


def bills(
    whole: Work,
    reached: Work | None,
    profiles: Iterable[Profile],
    by: Iterable[Radio] | None = None,
    *,
    skip_zeros: bool = False,
) -> RunBills:
    """The bills of a run whose first rounds, until the target, are the work `reached`.

    A profile has the levels that it allows, the level "communication" once for each of the radios `by`.
    """
    by = radios().values() if by is None else list(by)
    counts = whole.training(skip_zeros=skip_zeros)
    first = None if reached is None else reached.training(skip_zeros=skip_zeros)
    made: RunBills = {}
    for profile in profiles:
        levels = up_to(highest_level(profile))
        made[profile.name] = {
            key(level): _bill(whole, counts, first, profile, level) for level in levels
        }
        if highest_level(profile, "communication") != "communication":
            continue
        for radio in by:
            first_sent = None if first is None else _sent(first)
            sent = _bill(whole, _sent(counts), first_sent, profile, "communication", radio)
            name = key("communication", radio.name)
            made[profile.name][name] = _plus(made[profile.name]["training"], sent)
    return made


def bill_by(whole: Work, profiles: Sequence[Profile]) -> BillBy:
    """Nominal millijoule of a mean round by phase and by layer."""
    counts = {phase: of for phase, of in whole.training().items() if phase != "exchange"}

    def millijoule(parts: Mapping[str, Counts]) -> dict[str, dict[str, Millijoule]]:
        return {
            profile.name: {
                name: whole.trained.cost(part, profile, highest_level(profile))
                .energy(whole.rounds)
                .nominal_mj
                for name, part in parts.items()
            }
            for profile in profiles
        }

    layers = dict.fromkeys(layer for _, layer, _, _ in entries(counts))
    return BillBy(
        phase=millijoule({phase: {phase: of} for phase, of in counts.items()}),
        layer=millijoule({layer: _of(layer, counts) for layer in layers}),
    )


def evaluation(whole: Work, profiles: Iterable[Profile]) -> dict[str, Bill]:
    """profile -> bill of a mean round's test, as what an inference costs."""
    counts, made = whole.evaluation(), {}
    for profile in profiles:
        level = highest_level(profile, HIGHEST_OF_INFERENCE)
        cost = whole.tested.bill(counts, profile, level, rounds=whole.rounds)
        made[profile.name] = replace(cost, **WITHOUT_PARTS)
    return made


def _as_one_phase(phase: str, counts: Counts) -> Counts:
    """All counts of a layer under one name."""
    return merge({phase: layers} for layers in counts.values())


def _bill(
    whole: Work,
    counts: Counts,
    first: Counts | None,
    profile: Profile,
    level: Level,
    radio: Radio | None = None,
) -> RunBill:
    cost = whole.trained.cost(counts, profile, level, radio)
    until = None if first is None else whole.trained.cost(first, profile, level, radio)
    return RunBill(
        **asdict(cost.energy(whole.rounds)),
        not_priced=cost.not_priced,
        to_target=None if until is None else until.energy(),
        run=cost.energy(),
    )


def _plus(one: RunBill, other: RunBill) -> RunBill:
    """The bill of what both are bills of, in the same rounds."""
    first, second = one.to_target, other.to_target
    return RunBill(
        **asdict(one + other),
        not_priced=list(dict.fromkeys(one.not_priced + other.not_priced)),
        to_target=None if first is None or second is None else first + second,
        run=one.run + other.run,
    )


def _sent(counts: Counts) -> Counts:
    return {"exchange": counts["exchange"]}


def _of(layer: str, counts: Counts) -> Counts:
    return {phase: {layer: layers[layer]} for phase, layers in counts.items() if layer in layers}
