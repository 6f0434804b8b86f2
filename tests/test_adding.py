"""Adding one of each kind to the package takes its own file and one line of its room's list, nothing else.

The parts of `tests/outside/` are put into a copy of the package, which then knows them like those that ship;
taken out again, it is the package that it was.
"""

import shutil
from pathlib import Path

import pytest
import tomli_w

from fedspike.engine import compiled
from running import python
from test_outside import FILE, OUTSIDE, PARTS, kind_of

PACKAGE = Path(__file__).parents[1] / "src" / "fedspike"
# The room of each part, and the file with the room's list.
ROOMS = {
    "thermometer": "parts/codes/__init__.py",
    "integrator": "parts/neurons/__init__.py",
    "rectangle": "parts/surrogates/__init__.py",
    "last_steps": "parts/read_outs/__init__.py",
    "margin": "parts/losses/__init__.py",
    "momentum": "parts/optimisers/__init__.py",
    "in_turn": "data/partition/__init__.py",
    "stripes": "data/loading.py",
    "server_momentum": "algorithms/__init__.py",
    "covariance": "parts/plasticity/__init__.py",
    "rounded": "remedies/__init__.py",
    "perturbation": "learning/__init__.py",
    "in_rotation": "federation/selections/__init__.py",
    "fixed_pace": "federation/clocks/__init__.py",
    "every_other": "federation/availabilities/__init__.py",
    "hub": "algorithms/graphs/__init__.py",
    "warm_up": "parts/schedules/__init__.py",
}
# What is read beside other kinds: a loss and an optimiser, a graph, a local rule; first as the parts are.
RUNS = [
    {"fleet.clients": 3},
    {"learner.kind": "backpropagation", "algorithm.kind": "gossip", "remedies": []},
    {"learner.kind": "stdp", "neuron.kind": "competitive", "read_out.kind": "membrane"},
]
# A room may not be asked for its names while it is made.
WITHIN = {
    "from fedspike.data import Dataset, Source": "from fedspike.data.source import Dataset, Source"
}


def contents(package: Path) -> dict[str, bytes]:
    return {str(p.relative_to(package)): p.read_bytes() for p in sorted(package.rglob("*.py"))}


def add(name: str, package: Path) -> None:
    """Put a part into its room: its file, and a line behind the imports of the list."""
    file = package / ROOMS[name]
    text = (OUTSIDE / f"{name}.py").read_text()
    for outside, inside in WITHIN.items():
        text = text.replace(outside, inside)
    (file.parent / f"{name}.py").write_text(text)
    module = ".".join(["fedspike", *file.parent.relative_to(package).parts, name])
    kind = kind_of(name).__name__
    lines = file.read_text().splitlines(keepends=True)
    last = max(i for i, line in enumerate(lines) if line.startswith("from fedspike"))
    lines.insert(last + 1, f"from {module} import {kind} as {kind}\n")
    file.write_text("".join(lines))


def remove(name: str, package: Path) -> None:
    file = package / ROOMS[name]
    (file.parent / f"{name}.py").unlink()
    line = f".{name} import {kind_of(name).__name__} as "
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(text for text in lines if line not in text))


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package."""
    package = tmp_path_factory.mktemp("copy") / "fedspike"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    if compiled is not None and not (package / "engine" / Path(compiled.__file__).name).exists():
        shutil.copy(compiled.__file__, package / "engine")
    return package


@pytest.mark.thorough
def test_a_new_kind_is_one_file_and_one_line(copy: Path, tmp_path: Path) -> None:
    before = contents(copy)
    for name in PARTS:
        add(name, copy)
    after = contents(copy)
    new = {str(Path(room).parent / f"{name}.py") for name, room in ROOMS.items()}
    assert after.keys() - before.keys() == new
    changed = {path for path in before if before[path] != after[path]}
    assert changed == set(ROOMS.values())
    for path in changed:
        assert len(after[path].splitlines()) == len(before[path].splitlines()) + 1

    # The copy trains with all of them, without --use, and explains them.
    tables = {table: keys for name in PARTS for table, keys in named(name).items()}
    file, folder = tmp_path / "all.toml", tmp_path / "runs"
    file.write_text(tomli_w.dumps({**FILE, **tables, "sweep": {"together": RUNS}}))
    lines = [["run", str(file), "--output", str(folder)]]
    lines += [["explain", str(kind_of(name).__struct_config__.tag)] for name in PARTS]
    # An editable installation finds the package first; here the copy is meant.
    answer = python(
        "import sys\n"
        "own = '_editable_skbc_fedspike'\n"
        "sys.meta_path[:] = [f for f in sys.meta_path if type(f).__module__ != own]\n"
        f"sys.path.insert(0, {str(copy.parent)!r})\n"
        f"from fedspike.cli import main\nprint([main(words) for words in {lines}])"
    )
    assert answer.stdout.splitlines()[-1:] == [str([0] * len(lines))], answer.stderr
    assert (folder / "report.html").exists()

    for name in PARTS:
        remove(name, copy)
    assert contents(copy) == before


def named(name: str) -> dict[str, object]:
    """The tables of an experiment's file that name a part."""
    (table, keys), *_ = PARTS[name].items()
    tag = kind_of(name).__struct_config__.tag
    return {table: {"kind": tag, **keys} if isinstance(keys, dict) else [{"kind": tag, **keys[0]}]}
