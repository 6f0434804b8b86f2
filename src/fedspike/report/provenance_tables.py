"""The tables beside the bill: other metrics, what was measured, and every price with its source."""

from collections.abc import Callable, Iterator, Sequence

from fedspike.energy.estimate import Estimate, estimate
from fedspike.energy.levels import LEVELS
from fedspike.energy.neurobench import Metrics
from fedspike.energy.profiles import Access, Memory, Price, Profile, Radio, radios, shipped
from fedspike.records.schema import Interval, RunSummary
from fedspike.report.bills import Priced
from fedspike.report.comparison import Comparison, groups_of
from fedspike.report.study_tables import NETWORKS
from fedspike.report.tables import Cell, Column, Table


def neurobench_table(comparisons: Sequence[Comparison]) -> Table:
    """NeuroBench's metrics of the trained models."""
    columns: list[tuple[Column, Callable[[Metrics], float | None]]] = [
        (Column("footprint_bytes", "footprint, bytes"), lambda one: float(one.footprint_bytes)),
        (
            Column("connection_sparsity", "connection sparsity", digits=3),
            lambda one: one.connection_sparsity,
        ),
        (
            Column("activation_sparsity", "activation sparsity", digits=3),
            lambda one: one.activation_sparsity,
        ),
        (Column("effective_macs", "effective MACs"), lambda one: one.effective_macs),
        (Column("effective_acs", "effective ACs"), lambda one: one.effective_acs),
        (Column("dense_operations", "dense"), lambda one: float(one.dense_operations)),
    ]
    return Table(
        "E8",
        "neurobench",
        "NeuroBench’s metrics of the trained models",
        (
            Column("setting", "each client holds", is_text=True),
            Column("network", "network", is_text=True),
            *(column for column, _ in columns),
        ),
        tuple(
            (
                group.label,
                NETWORKS[group.network],
                *(_known([of(one) for one in found]) for _, of in columns),
            )
            for group in groups_of(comparisons)
            if (found := [run.neurobench for run in group.runs if run.neurobench])
        ),
        (
            "Operations per test sample; definitions of Yik et al., “The NeuroBench framework”, "
            "Nature Communications 16, 2025.",
        ),
    )


def measured_table(runs: Sequence[RunSummary]) -> Table:
    """What the sensors of the simulating host read."""
    return Table(
        "E9",
        "measured",
        "What the sensors of the simulating host read",
        (
            Column("run", "run", is_text=True),
            Column("sensor", "sensor", is_text=True),
            Column("domain", "domain", is_text=True),
            Column("joule_per_round", "all", "J a round", 2),
            Column("above_idle_joule_per_round", "above idle", "J a round", 2),
            Column("idle_watt", "idle, W", digits=1),
            Column("seconds", "seconds", digits=1),
            Column("note", "", is_text=True, is_long=True),
        ),
        tuple(
            (
                *(run.name, one.sensor, one.domain),
                _interval(one.joules_per_round, one.windows),
                _interval(one.above_idle_joules_per_round, one.windows),
                *(one.idle_watts, one.seconds),
                one.note if one.unavailable is None else f"unavailable: {one.unavailable}",
            )
            for run in runs
            for one in run.measured or []
        ),
        (
            "What a computer draws while it simulates says nothing about a chip that runs "
            "either network, and is in no other table or chart of this page.",
        ),
    )


def prices_table() -> Table:
    """Every constant with its source: profiles, their memories, radios."""
    rows: list[tuple[Cell, ...]] = []
    for profile in shipped().values():
        rows += [(profile.name, *_priced(name, price)) for name, price in _prices(profile)]
    for radio in radios().values():
        rows += [(radio.name, *_priced(name, price)) for name, price in _bits(radio)]
    return Table(
        "E10",
        "prices",
        "The prices, with their sources",
        (
            Column("profile", "profile or radio", is_text=True),
            Column("price", "price of", is_text=True),
            Column("pj", "pJ", is_text=True),
            Column("evidence", "evidence", is_text=True),
            Column("source", "source", is_text=True, is_long=True),
            Column("data_type", "data type", is_text=True),
            Column("node_nm", "nm", is_text=True),
            Column("voltage_v", "V", is_text=True),
            Column("note", "note", is_text=True, is_long=True),
        ),
        tuple(rows),
    )


def not_priced_table(view: Priced) -> Table:
    """What was done and has no price, under every profile at its highest level."""
    rows: list[tuple[Cell, ...]] = []
    for network in ("ann", "snn"):
        group = view.main.group(network)
        bills = (group.runs[0].bill if group else None) or {}
        for profile, levels in bills.items():
            level = next(key for one in reversed(LEVELS) if (key := view.key(one)) in levels)
            terms = levels[level].not_priced
            rows.append((profile, NETWORKS[network], level, ", ".join(terms) or "nothing"))
    rows.sort(key=lambda row: str(row[0]))
    return Table(
        "E11",
        "not-priced",
        "What was counted and has no price, so that the energy is short of it",
        (
            Column("profile", "profile", is_text=True),
            Column("network", "network", is_text=True),
            Column("level", "up to level", is_text=True),
            Column("not_priced", "without a price: phase.operation", is_text=True, is_long=True),
        ),
        tuple(rows),
    )


def bills_table(runs: Sequence[RunSummary]) -> Table:
    """Every bill of every run; for the files, not for the page."""
    return Table(
        "E12",
        "bills",
        "All bills",
        (
            *(Column(key, key.replace("_", " "), is_text=True) for key in ("run", "hardware")),
            *(Column(key, key, is_text=True) for key in ("profile", "level")),
            *(Column(f"{end}_mj", end, "mJ a round", 6) for end in ("low", "nominal", "high")),
            Column("to_target_mj", "to target", "mJ", 6),
            Column("run_mj", "whole run", "mJ", 6),
            Column("not_priced", "not priced", is_text=True, is_long=True),
        ),
        tuple(
            (
                *(run.name, hardware, profile, level),
                *(one.low_mj, one.nominal_mj, one.high_mj),
                None if one.to_target is None else one.to_target.nominal_mj,
                one.run.nominal_mj,
                ", ".join(one.not_priced) or None,
            )
            for run in runs
            for hardware, bills in (("dense", run.bill), ("zero-skipping", run.bill_skip_zeros))
            for profile, levels in (bills or {}).items()
            for level, one in levels.items()
        ),
    )


def _known(values: Sequence[float | None]) -> Estimate | None:
    """The mean over the seeds, where all have a value."""
    known = [value for value in values if value is not None]
    return estimate(known) if known and len(known) == len(values) else None


def _interval(read: Interval | None, windows: int | None) -> Estimate | None:
    if read is None:
        return None
    return Estimate(read.mean, None if read.high is None else read.high - read.mean, windows or 1)


def _prices(profile: Profile) -> Iterator[tuple[str, Price]]:
    yield from profile.price.items()
    for memory in profile.memory:
        yield "memory access", memory
    if profile.dram is not None:
        yield "DRAM access", profile.dram
    for name, price in profile.not_used.items():
        yield f"{name} (not used)", price


def _bits(radio: Radio) -> Iterator[tuple[str, Price]]:
    yield "bit sent", radio.uplink_bit
    yield "bit received", radio.downlink_bit


def _priced(name: str, price: Price) -> tuple[Cell, ...]:
    """A price's cells, all as text: they are as its source gives them."""
    if isinstance(price, Memory):
        name = f"{name}, {price.bytes:,} bytes"
    if isinstance(price, Access):
        name = f"{name}, {price.access_bits} bits"
    ends = [float(pj) for pj in (price.pj.low, price.pj.high)]
    energy = f"{ends[0]:,.10g}" if ends[0] == ends[1] else f"{ends[0]:,.10g} to {ends[1]:,.10g}"
    node, voltage = (
        f"{value:g}" if isinstance(value, float | int) else value
        for value in (price.node_nm, price.voltage_v)
    )
    return (
        *(name, energy, price.evidence, price.source, price.data_type, node, voltage),
        price.note or None,
    )
