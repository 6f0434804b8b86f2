"""Advice is followed to the letter, and the next reading must accept what it made of a mistake."""

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fedspike.cli import main
from fedspike.cli.parser import parser
from fedspike.deploy.folder import FleetFolder
from fedspike.errors import InputError
from fedspike.experiment import sweep
from fedspike.experiment.document import Document
from fedspike.experiment.kinds import Kinds, family_of
from fedspike.federation.devices import Fleet
from fedspike.federation.plan import Plan
from fedspike.networks import SNN, Network
from fedspike.remedies import Clipping

KINDS = Kinds()
NEEDED = {
    "alpha": 0.9,
    "classes": 2,
    "shards_per_client": 1,
    "adaptation": 1.0,
    "rho": 0.9,
    "path": "x",
    "label": "y",
    "candidates": 10,
    "sensor": [2, 2],
    "set": "MNIST",
    "folder": "x",
    "degree": 2,
}
Values = dict[str, Any]
BASE: Values = {"optimiser": {"kind": "sgd"}}  # which all algorithms can have
TABLES = [*KINDS.tables, *KINDS.of(Network), "fleet"]


def keys() -> Iterator[tuple[str, Any]]:
    """Every key of every table with a value that it may have, and of the top."""
    kinds: list[Any] = [
        kind for family in KINDS.tables.values() for kind in KINDS.of(family).values()
    ]
    for kind in (*kinds, *KINDS.of(Network).values(), Fleet):
        for field in msgspec.structs.fields(kind):
            if not family_of(field.type):
                value = NEEDED[field.name] if field.required else field.default
                if value is not None:
                    yield field.name, list(value) if isinstance(value, tuple) else value
    yield from (("rounds", 3), ("seed", 1))


MISTAKES = [(table, name, value) for table in TABLES for name, value in dict(keys()).items()]
AT_TOP = [
    ("", name, value) for name, value in dict(keys()).items() if name not in ("rounds", "seed")
]


def refused(values: Values) -> InputError | None:
    try:
        sweep.expand(Document("mine.toml", "", {"name": "mine", **BASE, **values}))
    except InputError as error:
        return error
    return None


def put(values: Values, dotted: str, value: object) -> None:
    *tables, name = dotted.split(".")
    for table in tables:
        values = values.setdefault(table, {})
    values[name] = value


def ways(fix: str, table: str, name: str, value: Any) -> Iterator[Values]:
    """What follows from each thing that a piece of advice says, without the mistake."""
    if fix.startswith("write it as "):
        for way in fix.removeprefix("write it as ").split(" or "):
            home = re.fullmatch(r'([\w.]+)(?:, with ([\w.]+) = "([\w-]+)")?', way)
            assert home, fix
            values: Values = {}
            put(values, home[1], value)
            if home[2]:
                put(values, home[2], home[3])
            yield values
    elif found := re.fullmatch(r"set ([\w.]+) = (.*), which has it, or remove (\w+)", fix):
        assert found[3] == name
        for kind in re.findall(r'"([\w-]+)"', found[2]):
            yield {table: {"kind": kind, name: value}}
        yield {table: {}}
    elif fix.startswith(f"write {name} at the top"):
        yield {name: value}
    elif found := re.fullmatch(r"did you mean (.*)\?", fix):
        for other in found[1].split(" or "):
            yield {table: {other: value}} if table else {other: value}
    else:
        assert fix.startswith(("use one of: ", "remove it")), fix
        yield {table: {}} if table else {}


def missing(error: InputError | None) -> bool:
    """Whether only something is missing that the advice could not know."""
    return error is not None and error.passed.endswith("is missing")


@pytest.mark.parametrize("table", [*TABLES, ""])
def test_a_key_in_the_wrong_place_is_sent_to_where_it_is_accepted(table: str) -> None:
    followed = 0
    for where, name, value in [*MISTAKES, *AT_TOP]:
        if where == table and (
            error := refused({table: {name: value}} if table else {name: value})
        ):
            if "unknown key" not in error.passed:
                continue
            for values in ways(error.fix, table, name, value):
                after = refused(copy.deepcopy(values))
                # The key is right; its value was one of another key's.
                known = after is None or missing(after) or " = " in after.passed
                # A local rule needs other parts, too.
                known = known or (after is not None and "by a local rule" in after.passed)
                assert known, (error, values, after)
                followed += 1
    assert followed


@pytest.mark.parametrize(
    ("values", "fix", "after"),
    [
        (
            {"sweep": {"algorithm": ["fedavg", "fedprox"]}},
            "write algorithm.kind in the place of algorithm",
            {"sweep": {"algorithm.kind": ["fedavg", "fedprox"]}},
        ),
        (
            {"sweep": {"together": [{"partition": "iid"}]}},
            "write partition.kind in the place of partition",
            {"sweep": {"together": [{"partition": {"kind": "iid"}}]}},
        ),
        ({"code": "phase"}, "write code.kind in the place of code", {"code": {"kind": "phase"}}),
        ({"code": 3}, "write [code] on a line", {"code": {}}),
        (
            {"sweep": {"learning_rate": [0.1, 0.2]}},
            "write it as optimiser.learning_rate",
            {"sweep": {"optimiser.learning_rate": [0.1, 0.2]}},
        ),
        (
            {"sweep": {"clients": [5]}},
            "write it as fleet.clients",
            {"sweep": {"fleet.clients": [5]}},
        ),
        ({"sweep": {"seeds": [5]}}, "did you mean seed?", {"sweep": {"seed": [5]}}),
        (
            {"algorithm": {"kind": "scaffold"}, "optimiser": {}},
            'set optimiser.kind = "sgd"',
            {"algorithm": {"kind": "scaffold"}, "optimiser": {"kind": "sgd"}},
        ),
        ({"snn": {"code": "phase"}}, "write [code] as a table of", {"code": {"kind": "phase"}}),
        ({"learner": {"optimiser": {}}}, "write [optimiser] as a table of", {"optimiser": {}}),
        ({"network": {"kind": "snn"}}, 'write network = "ann" above', {"network": "ann"}),
        ({"network": "SNN"}, "did you mean snn", {"network": "snn"}),
        ({"remedies": [{}]}, 'add kind = "clipping"', {"remedies": [{"kind": "clipping"}]}),
        ({"remedies": {}}, "write [[remedies]] and below it", {"remedies": [{"kind": "clipping"}]}),
    ],
)
def test_a_wrong_form_is_answered_with_a_right_one(values: Values, fix: str, after: Values) -> None:
    error = refused(values)
    assert error is not None
    assert fix in error.fix
    assert refused(after) is None


def test_a_letter_that_is_missing_is_not_a_key_of_another_table() -> None:
    """Availability and graphs have a client too."""
    error = refused({"fleet": {"client": 5}})
    assert error is not None
    assert "did you mean clients" in str(error)


def test_an_optimiser_is_not_sent_to_a_normalisation() -> None:
    error = refused({"optimiser": {"momentum": 0.9}})
    assert error is not None
    assert "normalisation" not in error.fix


def test_a_folder_that_is_no_fleet_s_gets_a_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"fleet\.toml: cannot be read") as caught:
        _ = FleetFolder(tmp_path).settings
    program, *words = caught.value.fix.partition("to make one: ")[2].split()
    assert (program, parser().parse_args(words).nodes) == ("fedspike", 2)


def test_remedies_that_are_no_list_get_the_line_to_write() -> None:
    with pytest.raises(InputError, match="expected: a list\n") as caught:
        Plan(network=SNN(), data=None, remedies=Clipping(2.0))  # type: ignore[arg-type]
    assert caught.value.fix == "write remedies=(Clipping(1.0),)"


COMMANDS = {
    "": ("run", "report", "data", "presets", "explain", "energy", "fleet", "doctor"),
    "data": ("check", "show", "fetch", "deal"),
    "energy": ("profiles",),
    "fleet": ("init", "server", "node", "run", "status", "logs", "stop", "local"),
}
WORDS = {
    "run": "quickstart",
    "report": "x",
    "data check": "x",
    "presets": "",
    "explain": "x",
    "energy profiles": "",
    "energy x": "",
    "fleet init": "x quickstart",  # --nodes is missing, and may be what was mistyped
    "fleet local": "2",
    "fleet node": "x",
    "fleet status": "x",
    "doctor": "",
}


@pytest.mark.parametrize(("group", "names"), COMMANDS.items())
def test_a_mistyped_command_gets_the_nearest(
    group: str, names: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in names:
        for typed in (name[0] + name[2] + name[1] + name[3:], name[:-1] + "x", f"{name}s"):
            if typed not in names:
                assert main([*group.split(), typed]) == 2
                assert f"fix: did you mean {name}" in capsys.readouterr().err, typed


@pytest.mark.parametrize(("command", "words"), WORDS.items())
def test_a_mistyped_option_gets_the_nearest(
    command: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*command.split(), "--help"])
    options = {*re.findall(r"--[a-z-]+", capsys.readouterr().out)} - {"--help", "--own-data"}
    for option in options:
        for typed in (option[:3] + option[4:] + "z", option[:-1]):  # nor is a beginning enough
            assert main([*command.split(), *words.split(), f"{typed}=1"]) == 2
            said = capsys.readouterr().err
            assert f"{typed}=1 is not known" in said
            assert re.search(rf"fix: did you mean (--[\w-]+ or )?{option}\b", said)
