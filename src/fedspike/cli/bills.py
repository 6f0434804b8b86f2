"""Bills of finished runs as text to read."""

import statistics
from collections.abc import Iterator, Mapping, Sequence

from fedspike.cli.columns import WIDTH, paragraph, table, wrapped
from fedspike.energy.account import RunBill
from fedspike.energy.bill import Bill
from fedspike.energy.estimate import decimals, ends, estimate
from fedspike.energy.levels import ADDS, Level, key, up_to
from fedspike.energy.on_device import BASE_UNITS, OnDevice
from fedspike.energy.repricing import Repriced, RepricedComparison, RepricedRun
from fedspike.energy.units import written
from fedspike.energy.verdict import Verdict

ON_DEVICE = {  # field -> heading
    "model_bytes": "model",
    "operations": "operations",
    "words": "words",
    "latency_s": "latency each",
    "inference_j": "inference",
    "round_j": "round",
    "radio_j": "radio",
    "year_j": "a year",
    "battery_days": "battery life",
}
WHAT_IT_IS_NOT = (
    "These figures are not a measurement. They are counts of what was really computed, times prices that"
    " others published for other chips than yours, without leakage, clock, control and idle time. The"
    " verdict depends on the prices: where it changes from one row to the next, it would also change"
    " between chips. How long this computer took to simulate the devices, and how much energy it used,"
    " says nothing about either network on neuromorphic or any other hardware. What has no price is"
    " missing from the sums."
)


def text(repriced: Repriced) -> str:
    """All tables: each spiking network beside the conventional ones, or every run alone."""
    lines = list(_conditions(repriced))
    if repriced.comparisons:
        for comparison in repriced.comparisons:
            lines += _comparison(comparison, repriced)
        lines += _published(repriced)
    else:
        for run in repriced.runs:
            lines += _alone(run, repriced)
    lines += _evaluation(repriced)
    for profile in repriced.runs[0].on_device:
        lines += _on_device(repriced, profile)
    return "\n".join([*lines, *paragraph(WHAT_IT_IS_NOT, WIDTH), ""])


class NotPriced:
    """What has no price, and in which profiles: each is said once, at the first level that it is in."""

    def __init__(self) -> None:
        self._before: set[tuple[str, str]] = set()
        self._new: dict[str, list[str]] = {}  # operation and networks -> profiles

    def add(self, profile: str, bills: Mapping[str, Sequence[Bill]]) -> None:
        """Note the bills of a level; `bills` are by the name of the network."""
        networks: dict[str, list[str]] = {}
        for network, side in bills.items():
            for term in dict.fromkeys(term for bill in side for term in bill.not_priced):
                networks.setdefault(term, []).append(network)
        for term, those in networks.items():
            words = f"{term} ({' and '.join(those)})"
            if (words, profile) not in self._before:
                self._new.setdefault(words, []).append(profile)
            self._before.add((words, profile))

    def lines(self, profiles: int) -> Iterator[str]:
        """What is new at this level, of so many profiles."""
        terms: dict[tuple[str, ...], list[str]] = {}
        for term, where in self._new.items():
            terms.setdefault(tuple(where), []).append(term)
        for places, operations in terms.items():
            names = "any of them" if len(places) == profiles > 1 else ", ".join(places)
            yield from wrapped(f"no price in {names}: {', '.join(operations)}")
        self._new = {}


def _conditions(repriced: Repriced) -> Iterator[str]:
    yield from paragraph("Modelled energy in millijoule, all devices of a mean round together.")
    if repriced.skip_zeros:
        yield from paragraph(
            "Conventional networks on hardware that leaves out products with zero."
        )
    if any(len(comparison.seeds) > 1 for comparison in repriced.comparisons):
        yield from paragraph(
            "Means over the seeds; accuracies and factors with their 95 % interval over the seeds."
        )
    yield ""


def _comparison(comparison: RepricedComparison, repriced: Repriced) -> Iterator[str]:
    """Two networks side by side, a table for each level."""
    runs = {run.name: run for run in repriced.runs}
    pairs = [(runs[rival], runs[snn]) for rival, snn in comparison.runs]
    ann, snn = map(str.upper, comparison.networks)
    seeds = f"{len(pairs)} seed{'s' if len(pairs) > 1 else ''}"
    title = f"{comparison.setting}: {snn} beside {ann}, {seeds}"
    yield from (title, "=" * len(title), "")
    for reason in comparison.unfit:
        yield from wrapped(f"no verdict, for a network does not work: {reason}")
    for name, side in zip((ann, snn), zip(*pairs, strict=True), strict=True):
        yield from paragraph(f"{name}: {_reached(side)}")
    yield ""
    judged = {(one.profile, one.level): one for one in comparison.verdicts}
    target, not_priced = f"{pairs[0][0].target_accuracy:.4g}", NotPriced()
    for level in repriced.levels:
        name, rows = key(level, repriced.radio), []
        for profile in repriced.profiles:
            if (profile, name) in judged:
                sides = [_bills(side, profile, name) for side in zip(*pairs, strict=True)]
                winner = _winner(judged[profile, name], ann, snn)
                rows.append([profile, *map(_energy, sides), *winner, *map(_until, sides)])
                not_priced.add(profile, dict(zip((ann, snn), sides, strict=True)))
        until = f"{ann} to {target}", f"{snn} to it"
        header = ["", f"{ann} mJ", f"{snn} mJ", "cheaper", "by", *until]
        yield from _level(level, header, rows, not_priced, repriced)
    phi = statistics.fmean(snn.events_per_synapse for _, snn in pairs)
    steps = _number(phi / comparison.time_steps)
    yield from paragraph(
        f"Spikes of the SNN: {_number(phi)} per synapse and inference, {steps} a time step"
    )
    yield ""
    yield from _break_even(comparison, ann)


def _alone(run: RepricedRun, repriced: Repriced) -> Iterator[str]:
    """A run that is compared with none."""
    yield from (run.name, "=" * len(run.name), "", _reached([run]), "")
    not_priced = NotPriced()
    for level in repriced.levels:
        name, rows = key(level, repriced.radio), []
        for profile in repriced.profiles:
            for bill in _bills([run], profile, name):
                energies = [_number(mj) for mj in (bill.low_mj, bill.nominal_mj, bill.high_mj)]
                energies = energies if bill.is_comparable else ["", "not priced", ""]
                rows.append([profile, *energies, _until([bill])])
                not_priced.add(profile, {run.network.upper(): [bill]})
        header = ["", "low mJ", "nominal", "high", f"nominal to {run.target_accuracy:.4g}"]
        yield from _level(level, header, rows, not_priced, repriced)


def _level(
    level: Level,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    not_priced: NotPriced,
    repriced: Repriced,
) -> Iterator[str]:
    if not rows:
        return
    by = f" ({repriced.radio})" if level == "communication" else ""
    yield from paragraph(
        f"{level}: {''.join(f'{one} + ' for one in up_to(level)[-2:-1])}{ADDS[level]}{by}"
    )
    yield from table(header, rows)
    if any(cell.endswith("*") for row in rows for cell in row):
        yield from wrapped(
            "* some of its work has no price here: each is named once, at its first level"
        )
    yield from not_priced.lines(len(rows))
    yield ""


def _published(repriced: Repriced) -> Iterator[str]:
    """The spikes at which the verdict turns, as others published them."""
    yield from paragraph("Published thresholds, below which an SNN is said to be cheaper:")
    for threshold in repriced.published:
        low, high = f"{threshold.low:g}", f"{threshold.high:g}"
        value = low if low == high else f"{low} to {high}"
        note = f" ({threshold.note})" if threshold.note else ""
        yield from wrapped(f"{value} {threshold.unit}{note}: {threshold.source}")
    yield ""


def _break_even(comparison: RepricedComparison, rival: str) -> Iterator[str]:
    """Each layer of this network beside the spikes, and the time steps, at which it would turn."""
    rows = [
        [
            *(one.profile, one.layer, one.level),
            *(_number(one.spikes), _even(one.spikes_even), _number(one.rate)),
            *(str(one.time_steps), _even(one.time_steps_even)),
        ]
        for one in comparison.break_even
    ]
    if rows:
        header = ["", "layer", "level", "spikes", "even at", "a time step", "T", "even at T"]
        yield from paragraph(
            f"Break-even with the dense {rival}: with fewer spikes per synapse and inference, or fewer "
            "time steps at the same rate, the SNN would be cheaper",
            WIDTH,
        )
        yield from (*table(header, rows, names=3), "")


def _evaluation(repriced: Repriced) -> Iterator[str]:
    """The energy of the server's tests: the mean over the runs of each kind of network."""
    kinds: dict[str, list[RepricedRun]] = {}
    for run in repriced.runs:
        kinds.setdefault(run.network, []).append(run)
    rows = [
        [
            profile,
            *(_energy([run.bill_evaluation[profile] for run in own]) for own in kinds.values()),
        ]
        for profile in repriced.profiles
    ]
    yield from paragraph(
        "The test after each round: inference with memory, on the server, in no figure above"
    )
    yield from (*table(["", *(f"{kind.upper()} mJ" for kind in kinds)], rows), "")


def _on_device(repriced: Repriced, profile: str) -> Iterator[str]:
    """What each network costs one device at the prices of a profile; the mean over the seeds."""
    rows, not_priced = [], dict[str, None]()
    for name, runs in _networks(repriced).items():
        own = [run.on_device[profile] for run in runs]
        not_priced |= dict.fromkeys(term for one in own for term in one.not_priced)
        rows.append([name, *(_mean(own, field) for field in ON_DEVICE)])
    duty = repriced.duty
    yield from paragraph(
        f"On one device, {duty.title} ({duty.name}): {profile}, {repriced.radio}, modelled"
    )
    yield from table(["", *ON_DEVICE.values()], rows)
    yield from wrapped(
        "operations, words, latency and energy of an inference; energy of a round of training, without and "
        "of the radio; energy of a year, and battery life. A dash: no price, or no number in the duty."
    )
    yield from wrapped(duty.in_words)
    if not_priced:
        yield from wrapped(f"no price, so missing here: {', '.join(not_priced)}")
    yield ""


def _networks(repriced: Repriced) -> dict[str, list[RepricedRun]]:
    """The networks that are compared, by setting and kind, or else every run."""
    runs = {run.name: run for run in repriced.runs}
    if not repriced.comparisons:
        return {name: [run] for name, run in runs.items()}
    return {
        f"{comparison.setting} {kind.upper()}": [runs[name] for name in names]
        for comparison in repriced.comparisons
        for kind, names in zip(comparison.networks, zip(*comparison.runs, strict=True), strict=True)
    }


def _mean(own: Sequence[OnDevice], field: str) -> str:
    values = [getattr(one, field) for one in own]
    return "-" if None in values else written(statistics.fmean(values), BASE_UNITS[field])


def _reached(runs: Sequence[RepricedRun]) -> str:
    accuracy = estimate([run.final_accuracy for run in runs])
    half, digits = "", 1
    if accuracy.half_width:
        digits = decimals(100 * accuracy.half_width, digits)
        half = f" ± {accuracy.half_width:.{digits}%}"
    words = f"accuracy {accuracy.mean:.{digits}%}{half} after {runs[0].rounds} rounds"
    target = f"{runs[0].target_accuracy:.4g}"
    reached = [run.rounds_to_target for run in runs if run.rounds_to_target is not None]
    if not reached:
        return f"{words}, target {target} never reached"
    when = f"in round {statistics.fmean(reached):.4g}"
    missed = "" if len(reached) == len(runs) else f" ({len(reached)} of {len(runs)} seeds)"
    return f"{words}, target {target} reached {when}{missed}"


def _bills(runs: Sequence[RepricedRun], profile: str, level: str) -> list[RunBill]:
    """The bill of each run that has this profile and level."""
    return [run.bill[profile][level] for run in runs if level in run.bill.get(profile, {})]


def _energy(bills: Sequence[Bill]) -> str:
    """The mean over seeds."""
    if not bills[0].is_comparable:
        return "not priced"
    return _number(statistics.fmean(bill.nominal_mj for bill in bills))


def _winner(verdict: Verdict, ann: str, snn: str) -> list[str]:
    names = {"conventional": ann, "spiking": snn}
    if verdict.winner not in names:
        return [verdict.winner, ""]
    name = names[verdict.winner] + ("*" if verdict.could_flip else "")
    if verdict.factor is None:
        return [name, "any factor"]
    by = f"{verdict.factor:.3f}" if verdict.factor < 2 else f"{verdict.factor:.3g}"
    return [name, by if verdict.interval is None else f"{by} ({ends(*verdict.interval)})"]


def _until(bills: Sequence[RunBill]) -> str:
    """The mean over the seeds that reached the target."""
    reached = [bill.to_target.nominal_mj for bill in bills if bill.to_target]
    return _number(statistics.fmean(reached)) if reached and bills[0].is_comparable else "-"


def _even(value: float) -> str:
    """A break-even: without bounds any number is below it, and a negative one cannot be reached."""
    if value == float("inf"):
        return "any"
    return "never" if value < 0 else _number(value)


def _number(value: float) -> str:
    """Four significant digits, thousands whole.

    >>> _number(4.92284), _number(1373967.43), _number(0.0)
    ('4.923', '1,373,967', '0')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 and value < float("inf") else f"{value:.4g}"
