"""A TOML file and the options that override it, which remembers where every key was written."""

import copy
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fedspike import reading
from fedspike.errors import InputError

Key = tuple[str, ...]  # "[1]" is the second table of a list
PRESETS = Path(__file__).parent / "presets"
# Texts in quotes, comments, and what opens, closes or ends a statement; whatever is between.
TOKENS = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|\'{3}.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*|[][{}\n]|[^]["\'#{}\n]+',
    re.DOTALL,
)
TOGETHER = "together"  # the list of a sweep whose values are tables that set several keys at once
CHOSEN = (
    "sweep",
    "tune",
)  # tables whose keys are those of other tables, with the values to choose from


@dataclass(frozen=True)
class Document:
    """What was written, and where: `values` is the TOML file with the options applied."""

    file: str
    text: str
    values: dict[str, Any]
    options: dict[Key, str] = field(default_factory=dict)

    def override(self, key: Key, value: object, option: str) -> "Document":
        """This document with one key set by a command-line option.

        An option has the last word: a sweep over the same key, or over a part of it, ends, and so does its
        search in [tune]. The tables of `together` no longer set this key; of a kind, only those with it are
        left.
        """
        if key[0] in CHOSEN and len(key) > 1:
            table = self.sweep if key[0] == "sweep" else self.tune
            values = {**self.values, key[0]: {**table, ".".join(key[1:]): value}}
        else:
            values = self._put(self.values, key, value, option)
            scope = key[:-1] if key[-1] == "kind" else key
            if isinstance(values.get("sweep"), dict):
                kept = {name: v for name, v in self.sweep.items() if not _related(name, scope)}
                if isinstance(tables := kept.get(TOGETHER), list):
                    kept[TOGETHER] = left = _agreeing(tables, key, value)
                    kept = kept if any(left) else {n: v for n, v in kept.items() if n != TOGETHER}
                values = {**values, "sweep": kept}
            if isinstance(values.get("tune"), dict):
                kept = {name: v for name, v in self.tune.items() if not _related(name, scope)}
                values = {**values, "tune": kept}
        return replace(self, values=values, options={**self.options, key: option})

    def with_values(self, chosen: dict[str, object]) -> dict[str, Any]:
        """The values with these dotted keys set: one point of the sweep, or a trial at one."""
        values = {name: value for name, value in self.values.items() if name not in CHOSEN}
        for name in sorted(chosen, key=lambda name: not name.endswith("kind")):  # see _put
            origin = f"{self.file}: [{'tune' if name in self.tune else 'sweep'}] {name}"
            values = self._put(values, tuple(name.split(".")), chosen[name], origin)
        return values

    @property
    def sweep(self) -> dict[str, object]:
        """The swept keys, dotted, whether the file wrote them with or without quotes."""
        table = self.values.get("sweep", {})
        if not isinstance(table, dict):
            raise self.error(
                ("sweep",),
                "sweep is not a table",
                expected="a table of keys, each with a list of values",
                fix="write [sweep] and below it a line such as seed = [0, 1, 2]",
            )
        return leaves(table)

    @property
    def tune(self) -> dict[str, object]:
        """What [tune] has by dotted keys, whether the file wrote them with or without quotes."""
        table = self.values.get("tune", {})
        if not isinstance(table, dict):
            raise self.error(
                ("tune",),
                "tune is not a table",
                expected="a table of keys, each with a range or a list of values",
                fix="write [tune] and below it a line such as "
                '"optimiser.learning_rate" = { low = 1e-4, high = 1e-1, log = true }',
            )
        return _ranges(table)

    def error(self, key: Key, passed: str, *, expected: str, fix: str) -> InputError:
        """The error for one key, which names the line or the option where it was written."""
        return InputError(f"{self.where(key)}: {passed}", expected=expected, fix=fix)

    def placed(
        self, error: InputError, tables: Mapping[str, Iterable[str]], usual: Key
    ) -> InputError:
        """A part's error with the place of the key at fault: of its `keys`, the first that was written.

        `tables` has the fields of each table, the likeliest table first. The `usual` key is blamed where the
        error names none of them; of one of several equal tables it says which.
        """
        keys: list[Key] = [
            (table, name) for name in error.keys for table in tables if name in tables[table]
        ]
        keys += [
            (name, "kind") if name in tables else tuple(name.split(".")) for name in error.keys
        ]
        written = self.written
        key = next(iter([*(key for key in keys if dotted(key) in written), *keys]), usual)
        if key[0] == usual[0]:
            key = (*usual[:-1], key[-1])
        passed = error.passed if key[-1] in error.passed else f"{dotted(key)}: {error.passed}"
        return self.error(key, passed, expected=error.expected, fix=error.fix)

    @property
    def written(self) -> set[str]:
        """The dotted keys that the file, its sweep or an option sets."""
        return set(leaves(self.values)).union(*self._chosen().values())

    def _chosen(self) -> dict[tuple[str, str], set[str]]:
        """The keys that each list of the sweep, or entry of [tune], sets, sound or not."""
        swept, tuned = (self.values.get(name, {}) for name in CHOSEN)
        lists = leaves(swept if isinstance(swept, dict) else {})
        entries = _ranges(tuned if isinstance(tuned, dict) else {})
        sets: dict[tuple[str, str], set[str]] = {
            ("sweep", name): {key for value in _listed(values) for key in set_by(name, value)}
            for name, values in lists.items()
        }
        return sets | {("tune", name): {name} for name in entries}

    def where(self, key: Key) -> str:
        """The option or the file and line that set `key`, else the nearest table that holds it."""
        for length in range(len(key), 0, -1):
            if key[:length] in self.options:
                return self.options[key[:length]]
        for (table, name), chosen in self._chosen().items():
            own = (table, *name.split("."))
            if key == own or any(_starts_with(key, tuple(one.split("."))) for one in chosen):
                if own in self.options:
                    return self.options[own]
                line = line_of(self.text, (table, name)) or line_of(self.text, own)
                return f"{self.file}, line {line}" if line else self.file
        for length in range(len(key), 0, -1):
            if line := line_of(self.text, key[:length]):
                return f"{self.file}, line {line}"
        return self.file

    def _put(self, values: dict[str, Any], key: Key, value: object, origin: str) -> dict[str, Any]:
        """A copy of `values` with `key` set. Another `kind` starts its table afresh."""
        first, rest = key[0], key[1:]
        if not rest:
            changed = first == "kind" and values.get("kind", value) != value
            return {"kind": value} if changed else {**values, first: copy.deepcopy(value)}
        inner = values.get(first, {})
        if not isinstance(inner, dict):
            raise InputError(
                f"{origin}: {first} is not a table, so it has no key {rest[0]}",
                expected="a dotted key whose first parts are tables, such as learner.epochs",
                fix=f"set {first} itself, or correct the name",
            )
        return {**values, first: self._put(inner, rest, value, origin)}


def read(file: Path, name: str | None = None) -> Document:
    """Read a TOML file; `name` is what errors call it.

    Raises InputError where it cannot be read or is not TOML.
    """
    name = name or str(file)
    text = reading.read(
        file,
        name,
        expected="a TOML file in UTF-8, or the name of a preset",
        fix=_advice(file),
        longest=reading.LONGEST_STORED,
    )
    return parse(text, name)


def _advice(file: Path) -> str:
    """What may have been meant by a file that cannot be read: one beside it, or a preset."""
    usual = "check the path; `fedspike presets` lists the presets"
    beside = [str(path) for path in file.parent.glob("*.toml") if path != file]
    presets = [path.stem for path in PRESETS.glob("*.toml")]
    return reading.nearest(str(file), beside, reading.nearest(file.stem, presets, usual))


def parse(text: str, name: str) -> Document:
    """The document of a TOML text. Raises InputError where it is not TOML."""
    fix = "correct that place, or copy a preset: fedspike presets --show quickstart"
    values = reading.parse(text, name, fix=fix, longest=reading.LONGEST_STORED)
    return Document(file=name, text=text, values=values)


def parse_option(text: str) -> tuple[Key, object]:
    """The key and the value of `--set KEY=VALUE`; the value as TOML, else as text.

    >>> parse_option("snn.time_steps=10")
    (('snn', 'time_steps'), 10)
    >>> parse_option("network=snn")
    (('network',), 'snn')
    >>> parse_option('sweep."code.kind"=["rate"]')  # as a file has it
    (('sweep', 'code', 'kind'), ['rate'])
    """
    name, equals, written = text.partition("=")
    key = tuple(part.strip(" \"'") for part in name.split("."))
    try:
        values = tomllib.loads(f"value = {written}")
    except (ValueError, RecursionError):
        values = {"value": written.strip()}
    value = values["value"] if len(values) == 1 else written.strip()
    if not equals or not all(key) or max(len(key), reading.depth(value)) > reading.DEEPEST:
        raise InputError(
            f"--set {text[:60]}",
            expected="KEY=VALUE with a dotted key",
            fix="write for example --set rounds=5 or --set snn.time_steps=10",
        )
    return key, value


def line_of(text: str, key: Sequence[str]) -> int | None:
    """The line where the first statement begins that sets `key`.

    tomllib tells no positions, but it reads a statement alone, behind the header of its table and, in a list
    of tables, the headers before it.

    >>> line_of("rounds = 3\\n[snn]\\nbeta = 0.9\\n", ("snn", "beta"))
    3
    >>> line_of("[[remedies]]\\nnorm = 1\\n[[remedies]]\\nnorm = 2\\n", ("remedies", "[1]", "norm"))
    4
    """
    header = lists = ""
    for line, statement in _statements(text):
        if statement.startswith("[["):
            header = lists = lists + statement
        elif statement.startswith("["):
            header = statement
        value: Any = tomllib.loads(header if statement.startswith("[") else header + statement)
        for part in key:
            value = _inside(value, part)
        if value is not None:
            return line
    return None


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """The statements of a TOML text, each with the line where it begins, without blank lines and comments."""
    line, depth, statement, begins = 1, 0, "", 1
    for token in TOKENS.findall(f"{text}\n"):
        depth += (token in "[{") - (token in "]}")
        if token == "\n" and not depth:
            if statement:
                yield begins, f"{statement}\n"
            statement = ""
        elif not token.startswith("#"):
            begins = begins if statement else line
            statement += token if statement else token.lstrip()
        line += token.count("\n")


def leaves(table: dict[str, Any], prefix: str = "") -> dict[str, object]:
    """The values in a table and in those inside it, by their dotted names.

    >>> leaves({"rounds": 5, "neuron": {"beta": 0.9}})
    {'rounds': 5, 'neuron.beta': 0.9}
    """
    flat: dict[str, object] = {}
    for name, value in table.items():
        inner = isinstance(value, dict)
        flat |= leaves(value, f"{prefix}{name}.") if inner else {prefix + name: value}
    return flat


def _ranges(table: dict[str, Any], prefix: str = "") -> dict[str, object]:
    """What [tune] has by dotted names; a table with a plain value in it is a range, and stays one.

    >>> _ranges({"trials": 3, "algorithm": {"mu": {"low": 0.1, "high": 1.0}}})
    {'trials': 3, 'algorithm.mu': {'low': 0.1, 'high': 1.0}}
    """
    flat: dict[str, object] = {}
    for name, value in table.items():
        inner = isinstance(value, dict) and value
        if inner and all(isinstance(one, dict | list) for one in value.values()):
            flat |= _ranges(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def set_by(name: str, value: object) -> dict[str, object]:
    """The keys that one value of a sweep's list sets.

    >>> set_by("seed", 3), set_by("together", {"code": {"kind": "phase"}, "neuron": {"beta": 1.0}})
    ({'seed': 3}, {'code.kind': 'phase', 'neuron.beta': 1.0})
    """
    return leaves(value) if name == TOGETHER and isinstance(value, dict) else {name: value}


def _inside(value: Any, part: str) -> Any:
    """What a table has under a name, or a list at a place; None where there is none."""
    if isinstance(value, list):
        value = {at(place): inner for place, inner in enumerate(value)}
    return value.get(part) if isinstance(value, dict) else None


def at(place: int) -> str:
    """The part of a key for a place in a list."""
    return f"[{place}]"


def dotted(key: Key) -> str:
    """The key as a file has it."""
    return ".".join(part for part in key if not part.startswith("["))


def _listed(values: object) -> list[Any]:
    return values if isinstance(values, list) else [values]


def _agreeing(tables: list[Any], key: Key, value: object) -> list[Any]:
    """The tables of `together` when an option has set `key`."""
    sets = [set_by(TOGETHER, table) for table in tables]
    if key[-1] == "kind":
        return [keys for keys in sets if keys.get(".".join(key), value) == value]
    rest = [{name: v for name, v in keys.items() if not _related(name, key)} for keys in sets]
    return [keys for index, keys in enumerate(rest) if keys not in rest[:index]]


def _starts_with(key: Key, prefix: Key) -> bool:
    return key[: len(prefix)] == prefix


def _related(swept: str, key: Key) -> bool:
    parts = tuple(swept.split("."))
    return _starts_with(parts, key) or _starts_with(key, parts)
