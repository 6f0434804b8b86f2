"""Tables E10 to E12: every price with its source, what has no price, and every bill of every run."""

from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter

from fedspike.energy.bill import Energy
from fedspike.energy.levels import LEVELS
from fedspike.energy.profiles import Access, Memory, Price, Profile, radios, shipped
from fedspike.records.schema import RunSummary
from fedspike.report.analysis.energy_view import EnergyView
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.tables import Caption, Column, Table, table, words


@dataclass(frozen=True)
class Listed:
    """A price under the name of its owner, a profile or a radio."""

    owner: str
    name: str
    price: Price

    @property
    def title(self) -> str:
        """What it is a price of, with the sizes of a memory and of its accesses."""
        title = self.name
        if isinstance(self.price, Memory):
            title = f"{title}, {self.price.bytes:,} bytes"
        return (
            f"{title}, {self.price.access_bits} bits" if isinstance(self.price, Access) else title
        )

    @property
    def pj(self) -> str:
        """As its source gives it, as all cells of this table are."""
        ends = (self.price.pj.low, self.price.pj.high)
        return " to ".join(dict.fromkeys(f"{float(pj):,.10g}" for pj in ends))


def _sources(_: EnergyView) -> Table:
    listed = [
        *(Listed(p.name, *price) for p in shipped().values() for price in _prices(p)),
        *(
            Listed(radio.name, *bit)
            for radio in radios().values()
            for bit in (("bit sent", radio.uplink_bit), ("bit received", radio.downlink_bit))
        ),
    ]
    sources = list(dict.fromkeys(one.price.source for one in listed))
    return table(
        listed,
        words("profile", "profile or radio", lambda one: one.owner),
        words("price", "price of", lambda one: one.title),
        words("pj", "pJ"),
        words("evidence", None, lambda one: one.price.evidence),
        words("source", None, lambda one: f"[{sources.index(one.price.source) + 1}]"),
        words("data_type", "data type", lambda one: one.price.data_type),
        words("node_nm", "nm", lambda one: _given(one.price.node_nm)),
        words("voltage_v", "V", lambda one: _given(one.price.voltage_v)),
        words("note", None, lambda one: one.price.note or None, "long"),
        footnotes=(f"[{n}] {text}" for n, text in enumerate(sources, 1)),
    )


def _prices(profile: Profile) -> Iterator[tuple[str, Price]]:
    yield from profile.price.items()
    for memory in profile.memory:
        yield "memory access", memory
    if profile.dram is not None:
        yield "DRAM access", profile.dram
    for name, price in profile.not_used.items():
        yield f"{name} (not used)", price


def _given(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _not_priced(view: EnergyView) -> Table:
    """Up to the highest level that there is a bill for."""
    rows = [
        (profile, network.title, *next((n, bills[n]) for n in highest_first if n in bills))
        for highest_first in [[view.key(level) for level in reversed(LEVELS)]]
        for network in view.twins
        for profile, bills in network.runs[0].bill.items()
    ]
    return table(
        sorted(rows, key=itemgetter(0)),
        words("profile", None, itemgetter(0)),
        words("network", None, itemgetter(1)),
        words("level", "up to level", itemgetter(2)),
        words(
            "not_priced",
            "without a price: phase.operation",
            lambda row: ", ".join(row[3].not_priced) or "nothing",
            "long",
        ),
    )


def _bills(runs: list[RunSummary]) -> Table:
    per_round = "mJ per round"
    return table(
        (
            (run.name, hardware, profile, level, bill)
            for run in runs
            for hardware, bills in (("dense", run.bill), ("zero-skipping", run.bill_skip_zeros))
            for profile, levels in bills.items()
            for level, bill in levels.items()
        ),
        words("run", None, itemgetter(0)),
        words("hardware", None, itemgetter(1)),
        words("profile", None, itemgetter(2)),
        words("level", None, itemgetter(3)),
        Column("low_mj", "low", lambda row: row[4].low_mj, per_round, 6),
        Column("nominal_mj", "nominal", lambda row: row[4].nominal_mj, per_round, 6),
        Column("high_mj", "high", lambda row: row[4].high_mj, per_round, 6),
        Column("to_target_mj", "to target", lambda row: _nominal(row[4].to_target), "mJ", 6),
        Column("run_mj", "whole run", lambda row: row[4].run.nominal_mj, "mJ", 6),
        words("not_priced", "not priced", lambda row: ", ".join(row[4].not_priced) or None, "long"),
    )


def _nominal(energy: Energy | None) -> float | None:
    return None if energy is None else energy.nominal_mj


PRICE_SOURCES = Figure(
    "prices",
    _sources,
    Caption("The prices, with their sources"),
    lambda results: results.energy,
    "E10",
    summary="All prices, with source, node and evidence",
)
NOT_PRICED_TABLE = Figure(
    "not-priced",
    _not_priced,
    Caption("Work that was counted but has no price; it is missing in the energy"),
    lambda results: results.energy,
    "E11",
    summary="What was counted and has no price",
)
ALL_BILLS = Figure(
    "bills",
    _bills,
    Caption("All bills"),
    lambda results: [run for run in results.runs if run.bill],
    "E12",
    only_as_file=True,
)
