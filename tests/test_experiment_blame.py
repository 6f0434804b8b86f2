"""Whatever the library refuses reaches a file's user with file, line and key, and with no code of ours."""

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from fedspike.algorithms import FedAvg
from fedspike.errors import InputError
from fedspike.experiment import document, sweep
from fedspike.experiment.kinds import FAMILIES, PLAIN, Kinds, family_of
from fedspike.federation.devices import Fleet
from fedspike.federation.plan import Plan
from fedspike.learning import STDP
from fedspike.networks import NETWORKS
from fedspike.part import Part, tag
from fedspike.remedies import REMEDIES
from fedspike.rules import Mean, Rule
from running import events

CODE = re.compile(
    r"\b[A-Z]\w*\(|\w+=\w|object at 0x|<class"
)  # a call, or how Python shows an object
WRONG = ("-7", "1e300", "true", '"no such word"', '[["a"]]', "{ a = 1 }", "[nan]")
KINDS = Kinds()
TABLES: list[tuple[str, type[msgspec.Struct]]] = [
    ("", Plan),
    ("fleet", Fleet),
    *((tag(network), network) for network in NETWORKS),
    *(("remedies", remedy) for remedy in REMEDIES),
    *((table, kind) for table, family in KINDS.tables.items() for kind in FAMILIES[family]),
]


# What a kind needs beside it.
BESIDE: dict[type[msgspec.Struct], str] = {
    STDP: 'network = "snn"\n[neuron]\nkind = "competitive"\n[read_out]\nkind = "membrane"\n'
}


def keys_of(kind: type[msgspec.Struct]) -> list[str]:
    plain = [field.name for field in msgspec.structs.fields(kind) if not family_of(field.type)]
    return [name for name in plain if kind is not Plan or name in PLAIN]


def header(table: str, kind: type[msgspec.Struct]) -> str:
    """What stands in a file before a key; of a list of tables it is the second one's."""
    said = f'kind = "{tag(kind)}"\n' if issubclass(kind, Part) and kind not in NETWORKS else ""
    if kind in REMEDIES:
        return f'[[{table}]]\nkind = "clipping"\nnorm = 1.0\n[[{table}]]\n{said}'
    return f"{BESIDE.get(kind, '')}[{table}]\n{said}" if table else ""


@pytest.mark.parametrize(("table", "kind"), TABLES, ids=lambda one: getattr(one, "__name__", one))
def test_every_key_s_wrong_values_are_placed(table: str, kind: type[msgspec.Struct]) -> None:
    refused = dict.fromkeys(keys_of(kind), 0)
    for key in refused:
        named = "" if key == "name" else 'name = "mine"\n'
        for wrong in WRONG:
            text = f"{named}{header(table, kind)}{key} = {wrong}"
            try:
                sweep.expand(document.parse(text, "mine.toml"))
            except InputError as error:
                message = str(error)
                assert message.startswith("mine.toml, line "), message
                if f"{key} = " in message:
                    assert message.startswith(f"mine.toml, line {len(text.splitlines())}: "), text
                assert re.search(rf"\b{table}\.\w+\b" if table else key, message), message
                assert not CODE.search(message), message
                refused[key] += 1
    assert all(times >= 3 for times in refused.values()), refused


FILE = """\
name = "mine"
network = "snn"
rounds = 1

[data]
kind = "fashion-mnist-sample"

[fleet]
clients = 10
samples_per_round = 1
"""
# What stands at the end of FILE, and what the error begins with, behind the file; lines begin with 12.
UNFIT = [
    (
        '[architecture]\nkind = "convolutional"\nfeatures = [2, "pool", "pool", "pool"]',
        r'14: architecture\.features: a pool of 2 x 2 over 7 x 7 values(.|\n)*uneven = "cut"',
    ),
    (
        '[architecture]\nkind = "convolutional"\nuneven = "cut"\n'
        'features = [2, "pool", "pool", "pool", "pool", "pool"]',
        r"15: architecture\.features: a pool of 2 x 2 over 1 x 1 values in 2 channels",
    ),
    (
        '[architecture]\nkind = "convolutional"\nfeatures = ["pool", 2]',
        r"14: architecture\.features: stages Pool, Conv, Dense over",
    ),
    (
        '[architecture]\nkind = "convolutional"\nfeatures = [2, { channels = 3, groups = 2 }]',
        r"14: architecture\.features: a convolution of 2 to 3 channels in 2 groups",
    ),
    (
        '[architecture]\nkind = "convolutional"\nfeatures = [{ channels = 3, kernel = 40, padding = 1 }]',
        r"14: architecture\.features: a convolution of 1 to 3 channels over 28 x 28 values, with kernel = 40",
    ),
    ('[partition]\nkind = "classes"\nclasses = 11', r"14: classes = 11 with clients = 10"),
    ('[partition]\nkind = "shards"\nshards_per_client = 999', r"14: shards_per_client = 999 with"),
    ('[partition]\nkind = "dirichlet"\nalpha = 0.1\nmin_samples = 201', r"15: .*min_samples = 201"),
    ('[partition]\nkind = "quantity"\nalpha = 1e-6', r"14: alpha = 1e-06"),
    ('[partition]\nkind = "devices"', "13: partition.kind = devices"),
    ("[snn]\ntime_steps = 1\n[code]\nkind = 'latency'", "13: Latency: time_steps = 1"),
    ("[code]\nkind = 'phase'\nperiod = 9\n[snn]\ntime_steps = 8", "16: Phase: time_steps = 8"),
    ("[loss]\ncorrect_rate = 0.1", r"13: 5 spikes asked .*correct_rate = 0.1"),
    ("[read_out]\nkind = 'membrane'\n[loss]\nkind = 'spike-count'", "13|15"),
    ("[algorithm]\nkind = 'scaffold'", r"13: algorithm\.kind: scaffold with the optimiser adam"),
]


@pytest.mark.parametrize(("more", "message"), UNFIT)
def test_what_does_not_go_together_is_placed(more: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^mine.toml, line ({message})") as caught:
        next(events(sweep.expand(document.parse(f"{FILE}\n{more}\n", "mine.toml")), tmp_path))
    assert not CODE.search(str(caught.value))


class Averaging(FedAvg, tag="averaging"):
    """One whose clients answer with no update."""

    def joining(self) -> Mapping[str, Rule]:
        """A group of another name."""
        return {"model": Mean()}


def test_a_remedy_that_suits_no_algorithm_is_placed_before_any_data() -> None:
    text = FILE + '[algorithm]\nkind = "averaging"\n\n[[remedies]]\nkind = "clipping"\n'
    with pytest.raises(InputError, match=r"^mine.toml, line 14: remedies: averaging with clipping"):
        sweep.expand(document.parse(text, "mine.toml"), Kinds((Averaging,)))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("rounds = 2147483648", "a whole number >= 1 and < 2147483648"),
        ("architecture.hidden = [1, 2147483648]", "whole number >= 1 and < 2147483648"),
        (f"architecture.hidden = {[1] * 101}", "not empty, at most 100"),
        ("fleet.dropout = 1000000001", ">= 0 and < 1, of a size from 1e-15 to 1e.09"),
        ('data.kind = "npz"\ndata.path = "x"\ndata.range = [1]', "a list of 2 values"),
    ],
)
def test_the_bound_that_a_value_is_beyond_is_said(written: str, expected: str) -> None:
    with pytest.raises(InputError, match=f"expected: .*{expected}"):
        sweep.expand(document.parse(f'name = "mine"\n{written}\n', "mine.toml"))


def test_clients_are_blamed_where_only_they_are_written(tmp_path: Path) -> None:
    text = (
        FILE.replace("clients = 10", "clients = 1") + '[partition]\nkind = "classes"\nclasses = 3\n'
    )
    with pytest.raises(InputError, match=r"^mine.toml, line 13: classes = 3 with clients = 1"):
        next(events(sweep.expand(document.parse(text, "mine.toml")), tmp_path))
    text = text.replace("clients = 1", "clients = 2001").replace("classes = 3", "classes = 10")
    with pytest.raises(InputError, match=r"^mine.toml, line 9: clients = 2001"):
        next(events(sweep.expand(document.parse(text, "mine.toml")), tmp_path))


def test_errors_without_a_key_name_the_file_of_the_data(tmp_path: Path) -> None:
    text = FILE.replace('"fashion-mnist-sample"', f'"npz"\npath = "{tmp_path / "none.npz"}"')
    with pytest.raises(InputError, match=r"^mine.toml, line 7: .*none\.npz"):
        next(events(sweep.expand(document.parse(text, "mine.toml")), tmp_path))
