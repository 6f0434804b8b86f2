"""Tables that no run reads: what they say decides nothing, which nobody means.

A part's table is read where another part has it in it, as [graph] in an algorithm without a server. What any
network has may stand in a file beside another network, for twins share a file. A table of the file that an
option left without a use is no mistake of the file, nor one beside a kind that is searched.
"""

from collections.abc import Collection, Sequence

from fedspike.experiment.document import Document, Key, dotted
from fedspike.experiment.kinds import Kinds, family_of
from fedspike.experiment.plans import keys_of, toml_of
from fedspike.federation.plan import Plan
from fedspike.part import fields_of
from fedspike.reading import written

SHOWN = 3  # kinds that have a part


def demand_read(source: Document, plans: Sequence[Plan], kinds: Kinds) -> None:
    """Raise InputError at the first table for which none of these plans has a part."""
    read = set[str]().union(*map(keys_of, plans))
    for name, key in _tables(source, kinds).items():
        holder = None if name in read else _holder(kinds, name, read)
        if holder is None or _has_reason(source, name, holder):
            continue
        used = sorted({toml_of(plan)[holder]["kind"] for plan in plans})
        family = kinds.of(kinds.tables[holder])
        able = [kind for kind, part in family.items() if name in dict(kinds.inside(part))]
        more = " or another that has it" if len(able) > SHOWN else ""
        raise source.error(
            key,
            f"{dotted(key)} decides nothing beside {holder}.kind = {' and '.join(map(written, used))}",
            expected=f"{holder}.kind = {' or '.join(map(written, able[:SHOWN]))}{more}, beside [{name}]",
            fix=f"leave [{name}] out, or set {holder}.kind = {written(able[0])}",
        )


def _tables(source: Document, kinds: Kinds) -> dict[str, Key]:
    """The tables that are written anywhere, and of each a key: an option's, or its kind if it is written."""
    keys = [tuple(key.split(".")) for key in sorted(source.written)]
    keys.sort(key=lambda key: (key in source.options, key[-1] == "kind"))
    whole = [(name, "kind") for name in source.values]
    return {key[0]: key for key in (*whole, *keys) if key[0] in kinds.tables}


def _holder(kinds: Kinds, name: str, read: Collection[str]) -> str | None:
    """The table, of those that are read, whose kind might have had this part; none of what networks have."""
    for table, family in kinds.tables.items():
        parts = kinds.of(family).values()
        if any(
            field.name == name and family_of(field.type) for p in parts for field in fields_of(p)
        ):
            above = table if table in read else _holder(kinds, table, read)
            if above is not None:
                return above
    return None


def _has_reason(source: Document, name: str, holder: str) -> bool:
    """Whether a table stands there that another kind reads, which an option or a search has replaced."""
    written_by_option = any(key[0] == name for key in source.options)
    tuned = source.values.get("tuned", [])
    searched = f"{holder}.kind" in source.tune or holder in tuned
    return searched or ((holder, "kind") in source.options and not written_by_option)
