"""The tables of the energy bill: verdicts, baselines, joules to a target, what the verdict hangs on."""

from collections.abc import Callable

from fedspike.energy.account import RunBills
from fedspike.energy.break_even import PUBLISHED
from fedspike.energy.estimate import Estimate, estimate
from fedspike.energy.levels import Level, level_of_key
from fedspike.energy.verdict import Verdict
from fedspike.records.schema import RunSummary
from fedspike.report.bills import ADDED, BASELINES, Priced, turning, wins
from fedspike.report.comparison import Group
from fedspike.report.repricing import Repriced
from fedspike.report.study_tables import NETWORKS
from fedspike.report.tables import Cell, Column, Table

BITS = (
    "A quantised ANN carries as many levels as the SNN’s time steps can tell apart, "
    "ceil(log2(T + 1)) bits (Yan et al., arXiv:2409.08290), and pays each profile’s price for its own "
    "data type."
)


def verdict_table(view: Priced) -> Table:
    """Every profile and level of the shown setting: the bills and their ratios."""
    judged = {
        baseline.name: {(v.profile, v.level): v for v in view.verdicts(baseline)}
        for baseline in BASELINES
    }
    rows: list[tuple[Cell, ...]] = []
    for (profile, name), dense in judged["dense"].items():
        level, ratios = level_of_key(name), []
        for baseline in BASELINES:
            ratios.append(_ratio(judged[baseline.name].get((profile, level))))
        rows.append(
            (
                profile,
                ADDED[level],
                *(_mj(view, b.network, profile, level, b.bills) for b in BASELINES),
                _mj(view, "snn", profile, level, lambda run: run.bill),
                *ratios,
                dense.winner.upper() if dense.winner in ("ann", "snn") else dense.winner,
                ", ".join(turning(dense)) or None,
            )
        )
    return Table(
        "E2",
        "verdict",
        f"Modelled energy of a round under every profile, {view.main.label}",
        (
            Column("profile", "profile", is_text=True),
            Column("level", "level", is_text=True),
            Column("ann_mj", "ANN", "mJ a round", 3),
            Column("ann_zero_skipping_mj", "skips zeros", "mJ a round", 3),
            Column("qann_mj", "quantised", "mJ a round", 3),
            Column("snn_mj", "SNN", "mJ a round", 3),
            Column("ratio", "ANN", "SNN over", 3),
            Column("ratio_zero_skipping", "skips zeros", "SNN over", 3),
            Column("ratio_quantised", "quantised", "SNN over", 3),
            Column("winner", "cheaper: SNN or ANN", is_text=True),
            Column("could_turn", "the winner’s work without a price", is_text=True, is_long=True),
        ),
        tuple(rows),
        (
            "Each level has the ones above it in it. Nominal prices; the ends of ranges are in "
            "tables/tableE12-bills.csv, with all runs and radios. Ratios are taken within a seed.",
        ),
    )


def baselines_table(view: Priced) -> Table:
    """The conventional networks that the SNN is held against, and how often it is cheaper."""
    rows: list[tuple[Cell, ...]] = []
    for baseline in BASELINES:
        verdicts = view.verdicts(baseline)
        group = view.main.group(baseline.network)
        if not verdicts or group is None:
            continue
        won = [wins(verdicts, level) for level in view.levels]
        rows.append((baseline.title, _accuracy(group), *(_score(count) for count in won)))
    snn = view.main.snn
    rows.append(("SNN", _accuracy(snn) if snn else None, *(None for _ in view.levels)))
    levels = [Column(f"snn_cheaper_{level}", ADDED[level], is_text=True) for level in view.levels]
    return Table(
        "E1",
        "baselines",
        "Against which ANN? Price tables under which the SNN is cheaper",
        (
            Column("network", "network", is_text=True),
            Column("last_round_percent", "accuracy, %", digits=1),
            *levels,
        ),
        tuple(rows),
        (
            "“3 of 9”: under three of the nine profiles that price both.",
            *([BITS] if view.main.qann else []),
        ),
    )


def target_table(view: Priced) -> Table:
    """Rounds and joules until the target accuracy is first reached."""
    rows: list[tuple[Cell, ...]] = []
    short: list[str] = []
    networks = [n for n in NETWORKS if any(c.group(n) for c in view.comparisons)]
    for comparison in view.comparisons:
        rounds: list[Cell] = []
        joules: list[Cell] = []
        for network in networks:
            group = comparison.group(network)
            reached = _reached(group, view.profile)
            rounds.append(estimate([float(n) for n, _ in reached]) if reached else None)
            joules.append(estimate([mj / 1000 for _, mj in reached]) if reached else None)
            if group and 0 < len(reached) < len(group.runs):
                seeds = f"{len(reached)} of {len(group.runs)} seeds"
                short.append(f"{comparison.label}, {NETWORKS[network]}: reached in {seeds}.")
        rows.append((comparison.label, *rounds, *joules))
    targets = {run.target_accuracy for c in view.comparisons for g in c.groups for run in g.runs}
    said = " or ".join(f"{100 * target:g} %" for target in sorted(t for t in targets if t))
    return Table(
        "E3",
        "target",
        f"Until the test accuracy first reaches {said}, at the prices of {view.profile}",
        (
            Column("setting", "each client holds", is_text=True),
            *(Column(f"{n}_rounds", NETWORKS[n], "rounds", 0) for n in networks),
            *(Column(f"{n}_joule", NETWORKS[n], "modelled J, with training", 2) for n in networks),
        ),
        tuple(rows),
        ("A dash: not reached. All devices together, without the radio.", *short),
    )


def parts_table(view: Priced) -> Table:
    """The bill by phase and by layer."""
    rows: list[tuple[Cell, ...]] = []
    for kind in ("phase", "layer"):
        shares = {network: parts(view, network, kind) for network in ("ann", "snn")}
        for name in dict.fromkeys(name for share in shares.values() for name in share):
            rows.append((kind, name, shares["ann"].get(name), shares["snn"].get(name)))
    return Table(
        "E4",
        "parts",
        f"By phase and by layer at the prices of {view.profile}, {view.main.label}",
        (
            Column("by", "by", is_text=True),
            Column("part", "part", is_text=True),
            Column("ann_mj", "ANN", "mJ a round", 4),
            Column("snn_mj", "SNN", "mJ a round", 4),
        ),
        tuple(rows),
    )


def sensitivity_table(repriced: Repriced) -> Table:
    """The ratio at both ends of every price."""
    return Table(
        "E5",
        "sensitivity",
        "One price moved, all others left: SNN over ANN, with training",
        (
            Column("profile", "profile", is_text=True),
            Column("price", "price", is_text=True),
            Column("low_pj", "low", "pJ", 4),
            Column("nominal_pj", "nominal", "pJ", 4),
            Column("high_pj", "high", "pJ", 4),
            Column("ends", "ends from", is_text=True),
            Column("ratio_at_low", "at low", "SNN over ANN", 3),
            Column("ratio_nominal", "nominal", "SNN over ANN", 3),
            Column("ratio_at_high", "at high", "SNN over ANN", 3),
        ),
        tuple(
            (
                *(profile, one.price, one.low_pj, one.nominal_pj, one.high_pj),
                "the source" if one.from_source else "half and twice",
                *(one.ratio_at_low, repriced.ratio[profile], one.ratio_at_high),
            )
            for profile, moved in repriced.sensitivities.items()
            for one in moved
        ),
    )


def published_table(repriced: Repriced) -> Table:
    """Thresholds from the literature, with this network's own figure first."""
    steps = repriced.snn.network.time_steps or 1
    spikes = repriced.snn.events_per_synapse
    per_step = "spikes per neuron and time step"
    rows: list[tuple[Cell, ...]] = [
        ("this network", _ends(spikes), f"{_ends(100 * spikes / steps)} %", None)
    ]
    for one in PUBLISHED:
        source = f"{one.source} ({one.note})" if one.note else one.source
        if one.unit == per_step:
            percent = f"{_ends(100 * one.low, 100 * one.high)} %"
            rows.append(("published", None, percent, source))
        else:
            rows.append(("published", _ends(one.low, one.high), None, source))
    return Table(
        "E6",
        "thresholds",
        "Spikes, beside the thresholds below which an SNN is said to be cheaper",
        (
            Column("what", "", is_text=True),
            Column("spikes", "per synapse and inference", is_text=True),
            Column("rate", "per neuron and time step", is_text=True),
            Column("source", "source", is_text=True, is_long=True),
        ),
        tuple(rows),
        (f"This network’s: mean over its synapses, of an image shown for {steps} time steps.",),
    )


def standings_table(repriced: Repriced) -> Table:
    """Each layer beside its own break-even, under every profile."""
    return Table(
        "E7",
        "break-even",
        "Where each layer would break even with the dense ANN, at inference",
        (
            Column("profile", "profile", is_text=True),
            Column("layer", "layer", is_text=True),
            Column("level", "up to level", is_text=True),
            Column("spikes", "here", "spikes per synapse", 2),
            Column("spikes_even", "must be under", "spikes per synapse", 2),
            Column("rate_percent", "here", "rate, %", 1),
            Column("rate_even_percent", "must be under", "rate, %", 1),
            Column("time_steps", "here", "time steps"),
            Column("time_steps_even", "must be under", "time steps", 1),
        ),
        tuple(
            (
                *(profile, one.layer, one.level, one.spikes, _reachable(one.spikes_even)),
                *(100 * one.rate, _reachable(100 * one.rate_even)),
                *(one.time_steps, one.time_steps_even),
            )
            for profile, layers in repriced.standings.items()
            for one in layers
        ),
        (
            "Spikes and rate at these time steps; time steps at this rate. Never: the neurons’ "
            "updates alone cost more than the ANN. The formula is in docs/energy.md.",
        ),
    )


def parts(view: Priced, network: str, kind: str) -> dict[str, float]:
    """Phase or layer -> millijoule of a round under the shown profile, mean over the seeds."""
    group = view.main.group(network)
    tables = [getattr(run.bill_by, kind).get(view.profile, {}) for run in _billed_by(group)]
    names = dict.fromkeys(name for table in tables for name in table)
    return {name: sum(table.get(name, 0.0) for table in tables) / len(tables) for name in names}


def _billed_by(group: Group | None) -> list[RunSummary]:
    return [run for run in group.runs if run.bill_by] if group else []


def _mj(
    view: Priced,
    network: str,
    profile: str,
    level: Level,
    bills: Callable[[RunSummary], RunBills | None],
) -> Estimate | None:
    """Energy of a mean round of a network, over its seeds; None without a price for its synapses."""
    group = view.main.group(network)
    found = [(bills(run) or {}).get(profile, {}) for run in (group.runs if group else ())]
    billed = [levels[view.key(level)] for levels in found if view.key(level) in levels]
    values = [one.nominal_mj for one in billed if one.is_comparable]
    return estimate(values) if values else None


def _ratio(verdict: Verdict | None) -> Estimate | None:
    if verdict is None or verdict.ratio is None:
        return None
    high = verdict.ratio_high
    return Estimate(verdict.ratio, None if high is None else high - verdict.ratio, verdict.seeds)


def _accuracy(group: Group) -> Estimate:
    return group.estimate(lambda run: 100 * run.final_accuracy)


def _score(won: dict[str, int]) -> str | None:
    judged = sum(won.values())
    return f"{won['snn']} of {judged}" if judged else None


def _reached(group: Group | None, profile: str) -> list[tuple[int, float]]:
    """Rounds and millijoule until the target, of the seeds that reached it."""
    found = []
    for run in group.runs if group else ():
        billed = (run.bill or {}).get(profile, {}).get("training")
        if billed and billed.to_target and run.rounds_to_target is not None:
            found.append((run.rounds_to_target, billed.to_target.nominal_mj))
    return found


def _ends(low: float, high: float | None = None) -> str:
    """One number with at most two decimals, or from the lower to the higher.

    >>> _ends(0.15, 1.38), _ends(28.52)
    ('0.15 to 1.38', '28.5')
    """
    ends = [f"{end:.3g}" for end in (low, low if high is None else high)]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def _reachable(threshold: float) -> float | str:
    return threshold if threshold > 0 else "never"
