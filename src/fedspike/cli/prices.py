"""Price profiles, radios and duties as text to read."""

import shutil
import textwrap
from collections import Counter
from collections.abc import Iterator
from typing import Any


def text(described: dict[str, list[dict[str, Any]]]) -> str:
    """All of them: every number with its unit and where it comes from, as wide as the terminal."""
    width = shutil.get_terminal_size().columns
    blocks = [
        _block(f"{p['name']}: {p['title']} ({p['scope']})", _of_profile(p), width)
        for p in described["profiles"]
    ]
    blocks += [
        _block(f"{r['name']}: {r['title']} (radio)", _of_radio(r), width)
        for r in described["radios"]
    ]
    blocks += [_duty(one, width) for one in described["duties"]]
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


def _block(title: str, prices: Iterator[tuple[str, dict[str, Any]]], width: int) -> str:
    """A title, what most prices share, a line for each with what it does not, and each source once."""
    rows, sources = list(prices), dict[str, int]()
    for _, price in rows:
        sources.setdefault(price["source"], len(sources) + 1)
    origins = [_origin(price, sources) for _, price in rows]
    shared, _ = Counter(origins).most_common(1)[0]
    energies = [_energy(price) for _, price in rows]
    first, second = max(len(name) for name, _ in rows), max(map(len, energies))
    lines = [
        title,
        f"  {', '.join(shared)}" + (", if not said otherwise" if len(set(origins)) > 1 else ""),
    ]
    for (name, price), energy, origin in zip(rows, energies, origins, strict=True):
        own = [part for part, usual in zip(origin, shared, strict=True) if part != usual]
        notes = ", ".join([*own, *([price["note"]] if price["note"] else [])])
        lines.append(f"  {name:{first}}  {energy:>{second}}  {notes}".rstrip())
    lines += [f"  [{number}] {source}" for source, number in sources.items()]
    return "\n".join([*(_wrapped(line, width) for line in lines), ""])


def _duty(duty: dict[str, Any], width: int) -> str:
    """A title, and a line for each number with where it comes from."""
    given = {key: value for key, value in duty.items() if isinstance(value, dict)}
    first = max(map(len, given))
    lines = [f"{duty['name']}: {duty['title']} (duty)"]
    for key, one in given.items():
        words = f"{key:{first}}  {one['value']:>13,.10g}"
        lines.append(f"  {words}  {one['evidence']}: {one['source']}")
    return "\n".join([*(_wrapped(line, width) for line in lines), ""])


def _wrapped(line: str, width: int) -> str:
    return textwrap.fill(line, width, subsequent_indent=" " * 6, break_on_hyphens=False)


def _energy(price: dict[str, Any]) -> str:
    low, high = price["low_pj"], price["high_pj"]
    energy = f"{price['value_pj']:,.10g}" if low is None else f"{low:,.10g} to {high:,.10g}"
    width = f" per {price['access_bits']} bit" if "access_bits" in price else ""
    return f"{energy} pJ{width}"


def _origin(price: dict[str, Any], sources: dict[str, int]) -> tuple[str, ...]:
    node, voltage = (
        f"{price[key]:g} {unit}" if isinstance(price[key], float) else f"{unit} {price[key]}"
        for key, unit in (("node_nm", "nm"), ("voltage_v", "V"))
    )
    evidence = f"{price['evidence']} [{sources[price['source']]}]"
    data_type = price["data_type"].replace("not recorded", "data type not recorded")
    return data_type, node, voltage, evidence
