"""Names for settings and networks: what sets them apart, in as few words as possible."""

from collections.abc import Sequence
from typing import Any

from fedspike.energy.description import kind_of
from fedspike.reading import digested
from fedspike.records.schema import RunSummary

# What names begin with, where settings or networks differ in it: a key, or the end of one.
FIRST_KEYS = (
    *("algorithm.kind", "rule.kind"),
    *("code.kind", "time_steps", "read_out", "read_out.kind", "neuron.kind"),
)
SELF_EXPLANATORY = ("kind", "read_out", "network")  # keys whose value needs no word before it
LONGEST_ABBREVIATION = 3  # letters
LONGEST_VALUE = 40  # characters, of a list such as a mixing matrix


def flat(table: dict[str, Any]) -> dict[str, Any]:
    """A nested table's values under dotted keys.

    >>> flat({"snn": {"beta": 0.9}, "rounds": 5})
    {'snn.beta': 0.9, 'rounds': 5}
    """
    values: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            values |= {f"{key}.{inner}": leaf for inner, leaf in flat(value).items()}
        else:
            values[key] = value
    return values


def differing_keys(configurations: Sequence[dict[str, Any]]) -> list[str]:
    """The dotted keys whose values are not the same in every configuration.

    >>> differing_keys([{"snn": {"beta": 0.9}, "rounds": 5}, {"snn": {"beta": 0.8}, "rounds": 5}])
    ['snn.beta']
    """
    tables = [flat(configuration) for configuration in configurations]
    keys = dict.fromkeys(key for table in tables for key in table)
    return [key for key in keys if any(t.get(key) != tables[0].get(key) for t in tables)]


def shared_values(runs: Sequence[RunSummary]) -> dict[str, Any]:
    """The dotted keys that are the same in all runs, those of a network in all runs that have them."""
    tables = [flat(run.config) for run in runs]
    of_networks = {table for run in runs for table in run.network_tables}
    shared: dict[str, Any] = {}
    for key in dict.fromkeys(key for table in tables for key in table):
        optional = key.partition(".")[0] in of_networks
        values = [table.get(key) for table in tables if key in table or not optional]
        if key not in ("name", "seed") and all(value == values[0] for value in values):
            shared[key] = values[0]
    return shared


def of_partition(partition: dict[str, Any]) -> str:
    """How the data are distributed, in words.

    >>> of_partition({"kind": "classes", "classes": 3}), of_partition({"kind": "iid"})
    ('3 classes', 'IID')
    >>> of_partition({"kind": "dirichlet", "alpha": 0.1, "min_samples": 1})
    'dirichlet alpha 0.1'
    >>> of_partition({"name": "one of my own"})
    'one of my own'
    """
    kind = kind_of(partition)
    if kind in partition:
        return f"{partition[kind]} {kind}"
    if len(kind) <= LONGEST_ABBREVIATION:
        kind = kind.upper()
    details = [
        f" {key} {value:g}" if isinstance(value, float) else f" {key} {value}"
        for key, value in partition.items()
        if key not in ("kind", "name", "least")  # least: whom it leaves out
    ]
    return kind + "".join(details[:1])


def of_settings(configurations: Sequence[dict[str, Any]]) -> list[str]:
    """A name for each configuration of an experiment: its partition, and what it needs to be unique."""
    partitions = [of_partition(one["partition"]) for one in configurations]
    tables = [flat(one) for one in configurations]
    keys = {
        partition: _telling([t for t, p in zip(tables, partitions, strict=True) if p == partition])
        for partition in dict.fromkeys(partitions)
    }
    return [
        ", ".join([partition, *(_in_words(k, table[k]) for k in keys[partition] if k in table)])
        for table, partition in zip(tables, partitions, strict=True)
    ]


def of_networks(networks: Sequence[dict[str, Any]]) -> list[str]:
    """A name for each network, from its configuration; one alone needs none.

    A key is used only if the keys before it leave two networks alike: not the loss, say, where it
    follows from the read-out.

    >>> both = [{"code": {"kind": "rate"}, "snn": {"time_steps": n}} for n in (5, 10)]
    >>> of_networks(both), of_networks(both[:1])
    (['T = 5', 'T = 10'], [''])
    """
    tables = [flat(network) for network in networks]
    keys = _telling(tables)
    return [
        ", ".join(_in_words(key, table[key]) for key in keys if key in table) for table in tables
    ]


def of_methods(methods: Sequence[dict[str, Any]]) -> list[str]:
    """A name for each algorithm: its kind, its learner, and what is not as in the first.

    >>> of_methods([
    ...     {"algorithm.kind": "fedavg", "rule.kind": "mean"},
    ...     {"algorithm.kind": "fedavg", "rule.kind": "median"},
    ...     {"algorithm.kind": "fedprox", "algorithm.mu": 0.1, "rule.kind": "mean"},
    ... ])
    ['fedavg', 'fedavg, median', 'fedprox']
    """
    tables = [flat(method) for method in methods]
    keys = _telling(tables)
    always = (*keys[:1], "learner.kind")
    names = []
    for table in tables:
        own = [
            key
            for key in keys
            if key in table and (key in always or table[key] != tables[0].get(key))
        ]
        names.append(", ".join(_in_words(key, table[key]) for key in own))
    return names if len({*names}) == len(names) else of_networks(methods)


def _telling(tables: Sequence[dict[str, Any]]) -> list[str]:
    """As few keys as possible in which all of these differ, as far as they do."""
    others = dict.fromkeys(key for table in tables for key in table)
    first = [key for end in FIRST_KEYS for key in others if f".{key}".endswith(f".{end}")]
    keys: list[str] = []
    distinct = 1
    for key in dict.fromkeys((*first, *others)):
        told_apart = len({repr([table.get(k) for k in (*keys, key)]) for table in tables})
        if told_apart > distinct:
            keys, distinct = [*keys, key], told_apart
    return keys


def _in_words(key: str, value: object) -> str:
    """A key and its value in words.

    >>> _in_words("code.kind", "phase"), _in_words("snn.time_steps", 10)
    ('phase', 'T = 10')
    >>> _in_words("code.most_spikes", 3), _in_words("normalisation.kind", "none")
    ('code most spikes 3', 'no normalisation')
    """
    table, _, leaf = key.rpartition(".")
    if leaf == "time_steps":
        return f"T = {value}"
    if isinstance(value, bool):
        return f"{'' if value else 'not '}{leaf.replace('_', ' ')}"
    if isinstance(value, list) and all(isinstance(one, dict) for one in value):
        return " and ".join(map(of_partition, value)) or f"no {leaf}"
    if leaf in SELF_EXPLANATORY:
        return f"no {table}" if value == "none" else str(value)
    words = key.removeprefix("algorithm.").replace(".", " ").replace("_", " ")
    return f"{words} {digested(str(value), LONGEST_VALUE)}"
