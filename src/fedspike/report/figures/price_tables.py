"""Tables E10 to E12: every price with its source, what has no price, and every bill of every run."""

from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter

from fedspike.energy.levels import LEVELS
from fedspike.energy.profiles import Access, Memory, Price, Profile
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


def _sources(view: EnergyView) -> Table:
    listed = [
        *(Listed(p.name, *price) for p in view.hardware.profiles.values() for price in _prices(p)),
        *(
            Listed(radio.name, *bit)
            for radio in view.hardware.radios.values()
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
    rows = []
    for network in view.twins:
        for profile, bills in network.runs[0].bill.items():
            level = next(name for one in reversed(LEVELS) if (name := view.key(one)) in bills)
            terms = ", ".join(bills[level].not_priced) or "nothing"
            rows.append((profile, network.title, level, terms))
    return table(
        sorted(rows, key=itemgetter(0)),
        *(words("profile"), words("network"), words("level", "up to level")),
        words("not_priced", "without a price: phase.operation", form="long"),
    )


def _bills(runs: list[RunSummary]) -> Table:
    rows = (
        (
            *(run.name, hardware, profile, level, one.low_mj, one.nominal_mj, one.high_mj),
            None if one.to_target is None else one.to_target.nominal_mj,
            *(one.run.nominal_mj, ", ".join(one.not_priced) or None),
        )
        for run in runs
        for hardware, bills in (("dense", run.bill), ("zero-skipping", run.bill_skip_zeros))
        for profile, levels in bills.items()
        for level, one in levels.items()
    )
    return table(
        rows,
        *map(words, ("run", "hardware", "profile", "level")),
        *(Column(f"{end}_mj", end, None, "mJ per round", 6) for end in ("low", "nominal", "high")),
        Column("to_target_mj", "to target", None, "mJ", 6),
        Column("run_mj", "whole run", None, "mJ", 6),
        words("not_priced", "not priced", form="long"),
    )


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
