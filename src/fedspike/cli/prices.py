"""Price profiles as text to read."""

from collections.abc import Iterator
from typing import Any


def text(described: dict[str, list[dict[str, Any]]]) -> str:
    """All profiles and radios: every price with its unit and where it comes from."""
    blocks = [
        _block(f"{p['name']}: {p['title']} ({p['scope']})", _of_profile(p))
        for p in described["profiles"]
    ]
    blocks += [
        _block(f"{r['name']}: {r['title']} (radio)", _of_radio(r)) for r in described["radios"]
    ]
    return "\n".join(blocks)


def _of_profile(profile: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from profile["price"].items()
    for memory in profile["memory"]:
        yield f"memory of {memory['bytes']:,} bytes", memory
    if profile["dram"]:
        yield "dram", profile["dram"]
    for name, price in profile["not_used"].items():
        yield f"{name} (not used)", price


def _of_radio(radio: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "uplink, a bit", radio["uplink_bit"]
    yield "downlink, a bit", radio["downlink_bit"]


def _block(title: str, prices: Iterator[tuple[str, dict[str, Any]]]) -> str:
    """A title, a line for each price, and each source once."""
    lines, sources = [title], dict[str, int]()
    for name, price in prices:
        number = sources.setdefault(price["source"], len(sources) + 1)
        lines.append(f"  {name:32} {_energy(price):>24}  {_origin(price)} [{number}]")
    lines += [f"  [{number}] {source}" for source, number in sources.items()]
    return "\n".join([*lines, ""])


def _energy(price: dict[str, Any]) -> str:
    low, high = price["low_pj"], price["high_pj"]
    energy = f"{price['value_pj']:,.10g}" if low is None else f"{low:,.10g} to {high:,.10g}"
    width = f" per {price['access_bits']} bit" if "access_bits" in price else ""
    return f"{energy} pJ{width}"


def _origin(price: dict[str, Any]) -> str:
    node, voltage = (
        f"{price[key]:g} {unit}" if isinstance(price[key], float) else f"{unit} {price[key]}"
        for key, unit in (("node_nm", "nm"), ("voltage_v", "V"))
    )
    words = [price["data_type"], node, voltage, price["evidence"]]
    return ", ".join([*words, *([price["note"]] if price["note"] else [])])
