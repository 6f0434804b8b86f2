"""Price profiles: what an operation costs on some hardware, every number with its source.

A profile is one TOML file in `energy/profiles/`, a radio one in `energy/radios/`; either may be yours.
Prices are computed with as exact fractions of the decimals that are printed.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from fedspike import reading
from fedspike.energy.counts import ARITHMETIC, MEMORY, PHASES
from fedspike.errors import InputError
from fedspike.files import content_of

Name = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]*\Z")]
Text = Annotated[str, Meta(min_length=1)]
Count = Annotated[int, Meta(ge=1)]
Positive = Annotated[float, Meta(gt=0, lt=1e9)]  # finite, in any unit
Scope = Literal["per-term", "all-in"]
Evidence = Literal["measured", "pre-silicon", "datasheet", "derived", "assumed"]
SHOWN_FIRST = "horowitz45-int8"  # the profile, where one is shown of many
USUAL_RADIO = "bluetooth-le"
SYNAPTIC = ("mac", "ac")  # all that an all-in profile may price
WAYS = ("uplink_bit", "downlink_bit")  # all that a radio prices, and must
WORD_BITS = 32
ENERGY = "a number of picojoule, 0 or more"
# What stands in a key, for whoever has it wrong.
KEYS = {
    "name": 'letters, digits, ".", "_" and "-"',
    "title": "what the hardware is, in words",
    "unit": '"pJ", with all energies in picojoule (1 nJ is 1000 pJ)',
    "scope": '"per-term", or "all-in" if a price has everything around the operation in it',
    "price": "a table [price.OPERATION] for each operation that has a price",
    "every_price": "a table of what all prices share; a price may say otherwise",
    "memory": "a table [[memory]] for each size of memory",
    "dram": "one table [dram]",
    "not_used": "tables [not_used.NAME]",
    "source": "where the number is published",
    "evidence": '"measured", "pre-silicon", "datasheet", "derived" or "assumed"',
    "data_type": 'what is computed with, such as "int8"',
    "node_nm": 'a number of nanometre above 0, or "not recorded"',
    "voltage_v": 'a number of volt above 0, or "not recorded"',
    **dict.fromkeys(("value_pj", "low_pj", "nominal_pj", "high_pj"), ENERGY),
    "includes": "a list of the operations that this price pays for too",
    "access_bits": "a whole number of bits, 1 or more",
    "bytes": "a whole number of bytes, 1 or more",
    "note": "a text",
}
S = TypeVar("S", bound=Struct)


@dataclass(frozen=True)
class Range:
    """An energy in pJ with its uncertainty: all three are equal where a source gives one number."""

    low: Fraction
    nominal: Fraction
    high: Fraction

    def __add__(self, other: "Range") -> "Range":
        return Range(self.low + other.low, self.nominal + other.nominal, self.high + other.high)

    def __mul__(self, factor: int | Fraction) -> "Range":
        return Range(self.low * factor, self.nominal * factor, self.high * factor)


NOTHING = Range(Fraction(0), Fraction(0), Fraction(0))


class Price(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The energy of one operation: one value, or low, nominal and high; and where it comes from.

    `includes` names operations whose energy is inside this price.
    """

    source: Text
    evidence: Evidence
    data_type: Text
    node_nm: Positive | Literal["not recorded"]
    voltage_v: Positive | Literal["not recorded"]
    value_pj: float | None = None
    low_pj: float | None = None
    nominal_pj: float | None = None
    high_pj: float | None = None
    note: str = ""
    includes: tuple[str, ...] = ()

    @property
    def pj(self) -> Range:
        """The energy of one operation."""
        given = (self.low_pj, self.nominal_pj, self.high_pj)
        return Range(*(_as_printed(self.value_pj if pj is None else pj) for pj in given))


@cache
def _as_printed(pj: float | None) -> Fraction:
    """In binary fractions 3.1 pJ would not be 3.1 pJ."""
    return Fraction(str(pj))


P = TypeVar("P", bound=Price)


class Access(Price, frozen=True, kw_only=True):
    """The energy of one access to a memory, of so many bits at once."""

    access_bits: Count

    @property
    def word_pj(self) -> Range:
        """The energy of a 32-bit word."""
        return self.pj * Fraction(WORD_BITS, self.access_bits)


class Memory(Access, frozen=True, kw_only=True):
    """An access to a memory of this size."""

    bytes: Count


class Profile(Struct, frozen=True, kw_only=True):
    """The prices of one kind of hardware. A key is an operation, or `phase.operation` for one phase.

    `per-term` prices stand for one operation each; an `all-in` price is that of a synaptic operation
    with everything around it. `not_used` are numbers of the source that nothing here is counted for.
    """

    name: str
    title: str
    scope: Scope
    price: dict[str, Price]
    memory: tuple[Memory, ...] = ()
    dram: Access | None = None
    not_used: dict[str, Price] = {}

    def word_pj(self, size: int) -> Range | None:
        """A 32-bit word of a memory of `size` bytes; None if the profile has no memory prices.

        In between the memories priced it is interpolated (Lemaire et al., ICONIP 2022), below the
        smallest it is the smallest's; beyond the largest it is DRAM's or, without DRAM, the largest's.
        """
        if not self.memory:
            return None if self.dram is None else self.dram.word_pj
        if size > self.memory[-1].bytes and self.dram is not None:
            return self.dram.word_pj
        if size <= self.memory[0].bytes or size >= self.memory[-1].bytes:
            return self.memory[0 if size <= self.memory[0].bytes else -1].word_pj
        above = next(i for i, memory in enumerate(self.memory) if memory.bytes >= size)
        small, large = self.memory[above - 1 : above + 1]
        part = Fraction(size - small.bytes, large.bytes - small.bytes)
        return small.word_pj * (1 - part) + large.word_pj * part

    @property
    def included(self) -> frozenset[str]:
        """Operations that are paid for by the price of another one."""
        return frozenset(name for price in self.price.values() for name in price.includes)


class Radio(Struct, frozen=True, kw_only=True):
    """What a bit costs the device that sends it (uplink) or receives it (downlink)."""

    name: str
    title: str
    uplink_bit: Price
    downlink_bit: Price


class _File(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A file of either kind, its prices not yet read."""

    name: Name
    title: Text
    unit: Literal["pJ"]
    price: Annotated[dict[str, dict[str, Any]], Meta(min_length=1)]
    scope: Scope = "per-term"
    every_price: dict[str, Any] = {}
    memory: list[dict[str, Any]] = []
    dram: dict[str, Any] | None = None
    not_used: dict[str, dict[str, Any]] = {}


@cache
def shipped() -> Mapping[str, Profile]:
    """The profiles that come with the package, by name."""
    own = [profile(text, where) for where, text in _files("profiles")]
    return {one.name: one for one in own}


@cache
def radios() -> Mapping[str, Radio]:
    """The radios that come with the package, by name."""
    own = [radio(text, where) for where, text in _files("radios")]
    return {one.name: one for one in own}


def profile(text: str, where: str) -> Profile:
    """The profile in a TOML text; `where` names it in errors."""
    file = _parse(text, where)
    made = Profile(
        name=file.name,
        title=file.title,
        scope=file.scope,
        price=_prices(file, "price", where),
        memory=tuple(_price(file, entry, Memory, f"{where}, memory") for entry in file.memory),
        dram=None if file.dram is None else _price(file, file.dram, Access, f"{where}, dram"),
        not_used=_prices(file, "not_used", where),
    )
    _consistent(made, where)
    return made


def looks_like_a_radio(values: Mapping[str, Any]) -> bool:
    """Whether the prices in a file are those of a radio's links."""
    prices = values.get("price")
    return isinstance(prices, dict) and any(k.startswith(("uplink", "downlink")) for k in prices)


def radio(text: str, where: str) -> Radio:
    """The radio in a TOML text: prices of `uplink_bit` and `downlink_bit`, and nothing else."""
    file = _parse(text, where)
    bits = _prices(file, "price", where)
    extra = (file.memory, file.dram, file.not_used, file.scope != "per-term")
    if bits.keys() != set(WAYS) or any(extra) or any(bit.includes for bit in bits.values()):
        raise InputError(
            f"{where}: a radio with prices of {', '.join(bits)}",
            expected="[price.uplink_bit] and [price.downlink_bit], in pJ per bit, and nothing else",
            fix="give both, the same numbers twice if the source does not tell them apart",
        )
    return Radio(name=file.name, title=file.title, **bits)


def _files(folder: str) -> list[tuple[str, str]]:
    """Names and texts of the TOML files that the package has in a folder."""
    paths = sorted((Path(__file__).parent / folder).glob("*.toml"))
    return [(path.name, content_of(path).decode()) for path in paths]


def _parse(text: str, where: str) -> _File:
    fix = f"correct that place, or copy one that ships, from {Path(__file__).parent}/profiles or radios"
    return _convert(reading.parse(text, where, fix=fix), _File, where)


def _prices(file: _File, table: Literal["price", "not_used"], where: str) -> dict[str, Price]:
    tables = file.price if table == "price" else file.not_used
    return {k: _price(file, p, Price, f"{where}, {table}.{k}") for k, p in tables.items()}


def _price(file: _File, values: dict[str, Any], kind: type[P], where: str) -> P:
    """A price with one value or three, none below zero and in order; what all share stands once."""
    price = _convert({**file.every_price, **values}, kind, where)
    three = (price.low_pj, price.nominal_pj, price.high_pj)
    given = [pj for pj in (price.value_pj, *three) if pj is not None]
    wrong = None
    if len(given) != (3 if price.value_pj is None else 1):
        wrong = f"{len(given)} energies"
    elif any(not math.isfinite(pj) or pj < 0 for pj in given):
        wrong = f"an energy of {', '.join(map(str, given))} pJ"
    elif given != sorted(given):
        wrong = f"low, nominal and high of {', '.join(map(str, given))} pJ"
    if wrong:
        raise InputError(
            f"{where}: {wrong}",
            expected="value_pj >= 0, or 0 <= low_pj <= nominal_pj <= high_pj",
            fix="give the energy of one operation in pJ (1 nJ is 1000 pJ)",
        )
    return price


def _convert(values: object, kind: type[S], where: str) -> S:
    """`values` as a struct, or an InputError in the words of the file."""
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        keys = [field.name for field in msgspec.structs.fields(kind)]
        key = reading.key_of(error)
        fix = "correct it, or add it; what all prices share may stand once in [every_price]"
        if key not in keys:
            fix = reading.nearest(key, keys, otherwise="leave it out")
            if fix.endswith("_pj?"):
                fix += " Energies are in pJ; 1 nJ is 1000 pJ"
        raise InputError(
            f"{where}: {error}",
            expected=f"{key} = {KEYS[key]}" if key in keys else f"one of {', '.join(keys)}",
            fix="correct it, or add it" if kind is _File and key in keys else fix,
        ) from error


def _consistent(profile: Profile, where: str) -> None:
    """Raise where prices that are each right cannot be those of one profile."""
    operations = (*ARITHMETIC, *MEMORY)
    names = {*operations, *(f"{phase}.{name}" for phase in PHASES for name in operations)}
    for key in (*profile.price, *profile.included):
        if key not in names:
            raise InputError(
                f"{where}: a price of {key}",
                expected=f"one of {', '.join(operations)}, or one of them after a phase and a dot; "
                f"of a radio {' and '.join(WAYS)}",
                fix="put a number that nothing is counted for into [not_used]",
            )
    if profile.scope == "all-in" and (
        not set(profile.price) <= set(SYNAPTIC) or profile.memory or profile.dram
    ):
        raise InputError(
            f'{where}: scope = "all-in" with prices of more than synaptic operations',
            expected=f"prices of {' and '.join(SYNAPTIC)} alone, which have everything in them",
            fix='leave the others out, or set scope = "per-term"',
        )
    sizes = [memory.bytes for memory in profile.memory]
    if sizes != sorted(set(sizes)):
        raise InputError(
            f"{where}: memories of {sizes} bytes",
            expected="one [[memory]] for each size, the smallest first",
            fix="sort them",
        )
