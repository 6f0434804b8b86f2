"""An experiment's file and a plan: two ways to write the same.

A part is a table with its kind and its plain fields; a part inside it is a table of its own:

    network = "snn"            the network's kind
    [snn]                      its plain fields
    [neuron]                   the part in its field `neuron`
    [surrogate]                the part in the neuron's field `surrogate`

All tables are checked, also those that this plan's network does not have.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from fedspike.errors import InputError
from fedspike.experiment import advice
from fedspike.experiment.document import Document, Key, at
from fedspike.experiment.fields import demand_known, demand_whole, table_of, value_of
from fedspike.experiment.kinds import PLAIN, RECORDS, ROOTS, Kinds, family_of
from fedspike.federation.plan import Plan
from fedspike.learning import Learner
from fedspike.networks import NETWORKS, Network
from fedspike.part import Part, fields_of
from fedspike.reading import limits_in_words, nearest, written
from fedspike.remedies import Remedy
from fedspike.shell import command

EXPERIMENT_KEYS = (
    "centralised_baseline",
    "sweep",
    "tune",
    "tuned",
)  # of a whole file, not of one plan
NOT_SAID = {"data": ("data_dir",)}  # where this machine has its files decides no result


def plan_of(document: Document, values: Mapping[str, Any], kinds: Kinds) -> Plan:
    """The checked plan of `values`, which `document` tells the origin of.

    Raises InputError, naming file, line and key, at the first key that cannot be used.
    """
    return _Reader(document, dict(values), kinds).plan()


def toml_of(plan: Plan) -> dict[str, Any]:
    """A plan as the values of a file, all defaults written out."""
    values = {name: value for name, value in _said(plan).items() if name in PLAIN and value != []}
    values["network"] = plan.network.kind
    values |= {name: _said(record) for name in RECORDS if (record := getattr(plan, name))}
    values[plan.network.kind], inside = _of_network(plan)
    for name in ("data", "partition", "learner", "algorithm"):
        part = getattr(plan, name)
        values |= (
            dict(_tables(name, part)) if isinstance(part, Part) else {name: {"name": part.name}}
        )
    for field, part in (*inside, *_parts(plan.fleet)):
        values |= dict(_tables(field, part))
    if plan.remedies:
        values["remedies"] = [{"kind": one.kind, **_said(one)} for one in plan.remedies]
    return values


def placed(error: InputError, plan: Plan, source: Document, name: str) -> InputError:
    """An error of a plan's data, partition or network with the key in `source` that it comes from.

    What is wrong with data is wrong in the file or folder that is named, unless the error knows better.
    """
    tables = {table: values for table, values in toml_of(plan).items() if isinstance(values, dict)}
    usual = (name,) if name == "network" else (name, "kind")
    if name == "data" and not error.keys:
        plain = _said(plan.data) if isinstance(plan.data, Part) else {}
        usual = next(((name, key) for key, value in plain.items() if isinstance(value, str)), usual)
    return source.placed(error, tables, usual)


def network_tables(plan: Plan) -> list[str]:
    """The tables that only this kind of network has, and those that a learner leaves to the network."""
    common = set.intersection(*(set(kind.__struct_fields__) for kind in NETWORKS))
    _, inside = _of_network(plan)
    own = [name for field, part in inside for name, _ in _tables(field, part)]
    names = [plan.network.kind, *own, *plan.learner.left_to_network]
    return [name for name in names if name not in common]


def keys_of(plan: Plan) -> set[str]:
    """The dotted keys that a file of this plan may have, whether or not they have a value."""
    parts: list[tuple[str, msgspec.Struct]] = [("fleet", plan.fleet)]
    inside: list[tuple[str, Part]] = [(plan.network.kind, plan.network)]
    inside += [(n, p) for n in ROOTS if isinstance(p := getattr(plan, n), Part)]
    while inside:
        name, part = inside.pop()
        parts.append((name, part))
        inside += _parts(part)
    own = {f"{n}.{f.name}" for n, p in parts for f in fields_of(type(p)) if not family_of(f.type)}
    return (
        own
        | {f"{name}.kind" for name, _ in parts}
        | {name for name, _ in parts}
        | {*PLAIN, "remedies"}
    )


def _of_network(plan: Plan) -> tuple[dict[str, Any], list[tuple[str, Part]]]:
    """The plain fields of the network, and its parts; what a module of one's own tells of itself."""
    network = plan.network
    if isinstance(network, Part):
        return _said(network), [*_parts(network)]
    return network.told, [*network.parts.items()]


def _tables(name: str, part: Part) -> Iterator[tuple[str, dict[str, Any]]]:
    """The table of a part, and those of the parts in it."""
    plain = {key: v for key, v in _said(part).items() if key not in NOT_SAID.get(name, ())}
    yield name, {"kind": part.kind, **plain}
    for field, inner in _parts(part):
        yield from _tables(field, inner)


def _said(record: msgspec.Struct) -> dict[str, Any]:
    """The plain fields of a record as TOML has them: no empty ones, lists for tuples."""
    plain = {f.name: getattr(record, f.name) for f in fields_of(type(record))}
    return {
        name: _lists(value)
        for name, value in plain.items()
        if value is not None and not isinstance(value, Part)
    }


def _lists(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return _said(value)
    return [*map(_lists, value)] if isinstance(value, tuple) else value


def _parts(part: msgspec.Struct) -> Iterator[tuple[str, Part]]:
    for field in fields_of(type(part)):
        if isinstance(inner := getattr(part, field.name), Part):
            yield field.name, inner


class _Reader:
    """One document's values on their way to a plan."""

    def __init__(self, document: Document, values: dict[str, Any], kinds: Kinds) -> None:
        self.document, self.values, self.kinds = document, values, kinds
        self.networks: dict[str, type[Network]] = kinds.networks
        self.plain = {f.name: f for f in fields_of(Plan) if f.name in PLAIN}
        self.read: set[str] = set()

    def plan(self) -> Plan:
        """The plan; see `plan_of`."""
        self._demand_used()
        self._demand_known(self.values, (*self.kinds.top, *EXPERIMENT_KEYS), ())
        if "name" not in self.values:
            raise self.document.error(
                ("name",),
                "name is missing",
                expected=limits_in_words(self.plain["name"].type),
                fix='add a line such as name = "mine"',
            )
        plain = {name: self._value((), self.plain[name]) for name in PLAIN if name in self.values}
        for name, kind in self.networks.items():
            if name in self.values:
                self._own(kind, (name,), self._table((name,)))
        network, learner = self._network(), self._part("learner")
        assert isinstance(network, Network)
        assert isinstance(learner, Learner)
        fields: dict[str, Any] = {
            "network": network,
            "fleet": self._record("fleet"),
            "cameras": self._record("cameras") if "cameras" in self.values else None,
            "learner": learner.suited(network),
            "remedies": tuple(self._remedies()),
            **{name: self._part(name) for name in ("data", "partition", "algorithm")},
        }
        for name in self.kinds.tables:
            if name in self.values and name not in self.read:
                self._kind_of(name, None)
        plan: Plan = self._made(Plan, plain | fields, ())
        return plan

    def _network(self) -> Part:
        name = self.values.get("network", next(iter(self.networks)))
        name = self.kinds.network_called(name) if isinstance(name, str) else name
        if not isinstance(name, str) or name not in self.networks:
            raise self.document.error(
                ("network",),
                f"network = {written(name)}",
                expected=f"one of {', '.join(map(written, self.networks))}",
                fix=nearest(str(name), self.networks)
                if isinstance(name, str)
                else f"write network = {written(next(iter(self.networks)))} above all tables",
            )
        kind = self.networks[name]
        # Twins share what they have in common, such as the time steps.
        shared = {
            field.name: self.values[other][field.name]
            for other, twin in self.networks.items()
            for field in fields_of(kind)
            if isinstance(self.values.get(other), dict) and field.name in self.values[other]
            if field.name not in (*kind.alone, *twin.alone)
        }
        network: Part = self._assembled(kind, (name,), shared | self.values.get(name, {}))
        return network

    def _demand_used(self) -> None:
        """Raise InputError for the class of a file that was not named with --use: no file runs code."""
        swept = self.document.sweep.get("network")
        for name in (self.values.get("network"), *(swept if isinstance(swept, list) else ())):
            file, _, kind = str(name).rpartition(":")
            if file and kind.isidentifier() and self.kinds.network_called(str(name)) == name:
                raise self.document.error(
                    ("network",),
                    f"network = {written(name)}",
                    expected=f"{file} named with --use, and a torch.nn.Module {kind} in it: no "
                    "configuration runs code",
                    fix=command("run", self.document.file.removeprefix("preset "), "--use", file),
                )

    def _part(self, name: str, usual: Part | None = None) -> Part:
        """The part of a table; what the table leaves out is as in the `usual` part, where there is one."""
        self.read.add(name)
        kind = self._kind_of(name, usual)
        like = usual if type(usual) is kind else None
        table = (_said(like) if like else {}) | self.values.get(name, {})
        part: Part = self._assembled(kind, (name,), table, like)
        return part

    def _assembled(
        self,
        kind: type[msgspec.Struct],
        key: Key,
        table: Mapping[str, Any],
        like: Part | None = None,
    ) -> Any:
        """A record of its plain fields, and of the parts in tables of their own."""
        made = self._own(kind, key, table)
        for field in fields_of(kind):
            if family_of(field.type):
                default = None if field.default is msgspec.NODEFAULT else field.default
                usual = default if like is None else getattr(like, field.name)
                if field.required or self._is_written(field.name, usual):
                    made[field.name] = self._part(field.name, usual)
                elif like is not None:
                    made[field.name] = usual
        return self._made(kind, made, key)

    def _is_written(self, name: str, usual: Part | None) -> bool:
        """Whether the file has the table of a part, or that of a part in it."""
        inside = [] if usual is None else _parts(usual)
        return name in self.values or any(self._is_written(*inner) for inner in inside)

    def _kind_of(self, name: str, usual: Part | None) -> type[Part]:
        """The kind that a table says, else the usual one; its keys are checked."""
        kinds, table = self.kinds.of(self.kinds.tables[name]), {}
        if name in self.values:
            table = self._table((name,))
        kind = table.get("kind", next(iter(kinds)) if usual is None else usual.kind)
        if not isinstance(kind, str) or kind not in kinds:
            raise self.document.error(
                (name, "kind"),
                f"{name}.kind = {written(kind)}",
                expected=f"one of {', '.join(map(written, kinds))}",
                fix=f"{nearest(str(kind), kinds)} (a kind of your own needs its file, --use FILE)",
            )
        if name in self.values:
            like = usual is not None and usual.kind == kind
            self._own(kinds[kind], (name,), (_said(usual) if usual and like else {}) | table)
        return kinds[kind]

    def _own(
        self, kind: type[msgspec.Struct], key: Key, table: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The plain fields that a table has, checked."""
        fields = {f.name: f for f in fields_of(kind) if not family_of(f.type)}
        with_kind = key[0] in self.kinds.tables or key[0] == "remedies"
        if key[0] not in self.networks:
            self._demand_known(table, (*fields, *(["kind"] if with_kind else [])), key)
        elif (own := self.values.get(key[0])) is not None:
            self._demand_known(own, tuple(fields), key)
        demand_whole(self.document, table, fields.values(), key)
        return {
            name: self._value(key, field, table) for name, field in fields.items() if name in table
        }

    def _value(self, key: Key, field: Any, table: Mapping[str, Any] | None = None) -> Any:
        """The value of a plain field, in its own type."""
        table = self.values if table is None else table
        return value_of(self.document, table[field.name], field, (*key, field.name))

    def _record(self, name: str) -> Any:
        """What a table without a kind says, and those of the parts in it."""
        table = self._table((name,)) if name in self.values else {}
        return self._assembled(RECORDS[name], (name,), table)

    def _remedies(self) -> Iterator[Part]:
        tables, kinds = self.values.get("remedies", []), self.kinds.of(Remedy)
        if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
            raise self.document.error(
                ("remedies",),
                f"remedies = {written(tables)}",
                expected="a list of tables, each with its kind",
                fix=f"write [[remedies]] and below it a line such as kind = {written(next(iter(kinds)))}",
            )
        for place, table in enumerate(tables):
            kind, key = table.get("kind"), ("remedies", at(place))
            if not isinstance(kind, str) or kind not in kinds:
                raise self.document.error(
                    (*key, "kind"),
                    "remedies.kind is missing"
                    if kind is None
                    else f"remedies.kind = {written(kind)}",
                    expected=f"one of {', '.join(map(written, kinds))}",
                    fix=f"add kind = {written(next(iter(kinds)))}"
                    if kind is None
                    else nearest(str(kind), kinds),
                )
            yield self._made(kinds[kind], self._own(kinds[kind], key, table), key)

    def _made(self, kind: Any, fields: Mapping[str, Any], key: Key) -> Any:
        """The record; an InputError of its own gets the file, line and key where it comes from."""
        try:
            return kind(**fields)
        except InputError as error:
            own = {key[0]: kind.__struct_fields__} if key else {}
            usual = (*key, "kind") if key else ("network",)
            raise self.document.placed(error, own | self._tables(), usual) from error

    def _tables(self) -> dict[str, tuple[str, ...]]:
        """The fields of all tables of the file, those of the kinds that it says."""
        networks = {name: kind.__struct_fields__ for name, kind in self.networks.items()}
        parts = {name: self._kind_of(name, None).__struct_fields__ for name in self.kinds.tables}
        records = {name: record.__struct_fields__ for name, record in RECORDS.items()}
        return {**networks, **records, **parts}

    def _table(self, key: Key) -> dict[str, Any]:
        value, dotted_key = self.values[key[0]], ""
        if isinstance(value, str) and key[0] in self.kinds.tables:
            # A dotted key is right in a file, in a sweep and after --set.
            dotted_key = f"write {key[0]}.kind in the place of {key[0]}"
        return table_of(self.document, value, key, dotted_key)

    def _demand_known(self, table: Mapping[str, Any], allowed: tuple[str, ...], key: Key) -> None:
        """Raise at the first key that its table does not have."""
        of_kind = ""
        if key and key[0] in self.kinds.tables:
            usual = next(iter(self.kinds.of(self.kinds.tables[key[0]])))
            of_kind = f' of kind "{table.get("kind", usual)}"'

        def meant(name: str) -> str:
            return advice.for_key(self.kinds, name, key, allowed)

        demand_known(self.document, table, allowed, key, of_kind, meant)
