"""Table E10: every price with its source."""

from collections.abc import Iterator

from fedspike.energy.profiles import Access, Memory, Price, Profile, Radio, radios, shipped
from fedspike.report.analysis.energy_view import EnergyView
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.tables import Caption, Cell, Table, words


def _data(_: EnergyView) -> Table:
    owners = [(profile.name, _prices(profile)) for profile in shipped().values()]
    owners += [(radio.name, _bits(radio)) for radio in radios().values()]
    priced = [(owner, name, price) for owner, prices in owners for name, price in prices]
    sources = list(dict.fromkeys(price.source for _, _, price in priced))
    columns = (
        *(words("profile", "profile or radio"), words("price", "price of")),
        *(words("pj", "pJ"), words("evidence", "evidence"), words("source", "source")),
        *(words("data_type", "data type"), words("node_nm", "nm"), words("voltage_v", "V")),
        words("note", "note", "long"),
    )
    rows = tuple(
        (owner, *_cells(name, price, sources.index(price.source) + 1))
        for owner, name, price in priced
    )
    return Table(columns, rows, tuple(f"[{n}] {text}" for n, text in enumerate(sources, 1)))


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


def _cells(name: str, price: Price, source: int) -> tuple[Cell, ...]:
    """A price's cells, all as text: they are as its source gives them."""
    if isinstance(price, Memory):
        name = f"{name}, {price.bytes:,} bytes"
    if isinstance(price, Access):
        name = f"{name}, {price.access_bits} bits"
    ends = dict.fromkeys(f"{float(pj):,.10g}" for pj in (price.pj.low, price.pj.high))
    node, voltage = (
        f"{value:g}" if isinstance(value, float | int) else value
        for value in (price.node_nm, price.voltage_v)
    )
    return (
        *(name, " to ".join(ends), price.evidence, f"[{source}]", price.data_type, node, voltage),
        price.note or None,
    )


PRICE_SOURCES = Figure(
    "prices",
    _data,
    caption=Caption("The prices, with their sources"),
    needs=lambda results: results.energy,
    number="E10",
    summary="All prices, with source, node and evidence",
)
