"""Where a key belongs that a file has in the wrong place: advice that the next reading accepts."""

from collections.abc import Iterator

import msgspec

from fedspike.experiment.document import Key
from fedspike.experiment.kinds import PLAIN, RECORDS, ROOTS, Kinds, family_of
from fedspike.networks import Network
from fedspike.part import Part, fields_of
from fedspike.reading import nearest, written


def for_key(kinds: Kinds, name: str, key: Key, allowed: tuple[str, ...]) -> str:
    """What to do with an unknown key `name` in the table `key`, which has the `allowed` ones."""
    table = key[0] if key else ""
    if name in (*kinds.tables, *kinds.of(Network), *RECORDS):
        return f"write [{name}] as a table of its own"
    if table in kinds.tables and (own := _with(kinds, table, name)):
        return (
            f"set {table}.kind = {' or '.join(map(written, own))}, which has it, or remove {name}"
        )
    if key and name in PLAIN:
        return f"write {name} at the top of the file, above all tables"
    if {f"{name}s", name.removesuffix("s")} & set(allowed):  # one letter too few, or too many
        return nearest(name, allowed)
    return home_of(kinds, name, table) or nearest(name, allowed)


def home_of(kinds: Kinds, name: str, table: str) -> str | None:
    """Advice for a key that other tables have, of which those that have to do with `table` are named."""
    usual: list[str] = []
    others: list[str] = []
    for other, family in kinds.tables.items():
        if owners := _with(kinds, other, name):
            is_usual = owners[0] == next(iter(kinds.of(family)))
            if _related(kinds, table, other, is_usual):
                own = f"{other}.{name}" + (
                    "" if is_usual else f', with {other}.kind = "{owners[0]}"'
                )
                (usual if is_usual else others).append(own)
    plain = [network for network, kind in kinds.of(Network).items() if name in _own(kind)]
    plain += [record for record, own in RECORDS.items() if name in _own(own)]
    homes = [f"{other}.{name}" for other in plain if other != table] + usual or others
    return f"write it as {' or '.join(homes)}" if homes else None


def _with(kinds: Kinds, table: str, name: str) -> list[str]:
    """The kinds of a table that have a key."""
    family = kinds.tables[table]
    return [kind for kind, part in kinds.of(family).items() if name in _own(part)]


def _own(kind: type[msgspec.Struct]) -> list[str]:
    return [f.name for f in fields_of(kind) if not family_of(f.type)]


def _related(kinds: Kinds, table: str, other: str, is_usual: bool) -> bool:
    """Whether a key in `table` may be meant for the `other` one: of an optimiser, none of a normalisation."""
    if table not in kinds.tables:
        return True  # at the top, of a network, of the fleet or a sweep
    return _root(kinds, table) == _root(kinds, other) or (other in ROOTS and is_usual)


def _root(kinds: Kinds, table: str) -> str:
    """The table of the part that has this one in it, itself perhaps; "network" of all that a network has."""
    inside = ((root, dict(kinds.inside(kind))) for root, kind in _parts(kinds))
    return next((root for root, tables in inside if table == root or table in tables), "network")


def _parts(kinds: Kinds) -> Iterator[tuple[str, type[Part]]]:
    for root, family in ROOTS.items():
        for kind in kinds.of(family).values():
            yield root, kind
