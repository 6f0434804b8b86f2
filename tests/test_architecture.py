"""The laws of the plan (docs/rooms.md), held by reading the source of the package.

A rule gets one parsed file and yields sentences about what is wrong with it; no sentence, no
violation. Every rule is shown twice: the package keeps it, and a small bad file breaks it.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from running import python

PACKAGE = Path(__file__).parents[1] / "src" / "fedspike"

# Who may import whom. A name stands for the file or folder and for all inside it, "energy.counts"
# for that file alone. Every room may import itself and EVERYWHERE.
EVERYWHERE = ("errors", "randomness")
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "__init__": (),
    "__main__": ("cli",),
    "errors": (),
    "randomness": (),
    "toml": (),
    "datasets": (),
    "partition": (),
    "fleet": ("partition",),
    "kernels": (),
    "encoding": ("kernels",),
    "neurons": ("kernels",),
    "networks": (
        *("neurons", "encoding", "readouts", "kernels"),
        *("energy.layers", "energy.network", "energy.neurons", "energy.counts"),
    ),
    "readouts": (),
    "losses": ("readouts", "kernels"),
    "training": ("networks", "losses", "encoding", "kernels", "energy.counts"),
    "plasticity": ("networks",),
    "aggregation": (),
    "algorithms": ("training", "aggregation", "networks", "encoding"),
    "guard": ("algorithms",),
    "cohort": ("fleet", "algorithms", "training", "encoding", "networks", "energy.counts"),
    "simulation": (
        *("cohort", "fleet", "algorithms", "guard", "energy.counts"),
        *("training", "encoding", "networks", "readouts", "losses"),  # to train and evaluate
        "datasets",
    ),
    # What must be the same in the engine and in the reference; the engine itself is not among it.
    "reference": (
        *("datasets", "partition", "fleet", "encoding", "losses", "networks"),
        *("neurons", "readouts"),
        *("algorithms", "training", "energy.counts"),
    ),
    "estimate": (),
    "energy": ("toml", "estimate"),
    "experiment": (
        "toml",
        "kernels",  # which engine computes belongs to the environment of a result
        *("datasets", "partition", "fleet", "encoding", "neurons", "networks", "losses"),
        *("readouts", "training", "plasticity", "aggregation", "algorithms", "guard", "simulation"),
        *("reference", "energy"),
    ),
    "report": (
        *("energy.bill", "energy.profiles", "energy.verdict", "energy.break_even"),
        *("energy.recorded", "energy.sensitivity", "estimate"),
    ),
    "deploy": (
        "toml",
        *(
            "datasets",
            "fleet",
            "networks",
            "aggregation",
            "algorithms",
            "cohort",
            "guard",
            "simulation",
        ),
        *("energy.counts", "energy.meters", "experiment"),
    ),
    "export": ("networks",),
    "cli": ("datasets", "experiment", "deploy", "report", "kernels", "estimate"),
}
FREE_OF_TORCH = ("report", "energy", "estimate", "datasets", "partition", "cli")
OPTIONAL = {
    "flwr": "deploy",
    "nir": "export",
    "onnx": "export",
    "onnxruntime": "export",
    "zeus": "energy",
    "mlflow": "experiment",
    "snntorch": "reference",
}
SAYS_NOTHING = {"utils", "util", "common", "helpers", "helper", "base", "misc", "manager"}
RUNS_CODE = {"eval", "exec", "torch.load", "yaml.load", "yaml.unsafe_load", "yaml.full_load"}
UNPICKLES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
CARRIES_RANDOMNESS = {
    *("numpy.random.seed", "numpy.random.default_rng", "numpy.random.RandomState"),
    *("torch.manual_seed", "torch.random.manual_seed", "torch.seed"),
}
FILE_LINES, FUNCTION_LINES = 400, 60


@dataclass(frozen=True)
class Source:
    """One file of the package, as the rules see it."""

    path: Path  # relative to the package
    text: str
    modules: frozenset[str]  # all of the package: "errors", "energy", "energy.bill", ...

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def room(self) -> str:
        return self.path.parts[0].removesuffix(".py")

    @property
    def package(self) -> list[str]:
        """The folder of the file as a dotted name, which relative imports start from."""
        return ["fedspike", *self.path.parts[:-1]]


Rule = Callable[[Source], Iterator[str]]


def imports(source: Source) -> Iterator[tuple[int, str, str]]:
    """Line, the name it gets in the file, and the whole dotted name, for everything imported."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield node.lineno, name.asname or name.name.split(".")[0], name.name
        elif isinstance(node, ast.ImportFrom):
            up = source.package[: len(source.package) - node.level + 1] if node.level else []
            module = ".".join([*up, *([node.module] if node.module else [])])
            for name in node.names:
                yield node.lineno, name.asname or name.name, f"{module}.{name.name}"


def calls(source: Source) -> Iterator[tuple[ast.Call, str]]:
    """Every call with the dotted name of what is called, short names for imports written out."""
    written_out = {
        short: whole for _, short, whole in imports(source) if not whole.startswith(f"{short}.")
    }
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call):
            first, *rest = ast.unparse(node.func).split(".")
            yield node, ".".join([written_out.get(first, first), *rest])


def imports_only_what_its_room_may(source: Source) -> Iterator[str]:
    if source.room not in MAY_IMPORT:
        yield f"1: {source.room} has no row in MAY_IMPORT"
        return
    allowed = (source.room, *MAY_IMPORT[source.room], *EVERYWHERE)
    for line, _, name in imports(source):
        if name.split(".")[0] != "fedspike":
            continue
        target = name.removeprefix("fedspike").removeprefix(".")
        while target not in source.modules and "." in target:  # a name inside a module
            target = target.rpartition(".")[0]
        if not any(target == room or target.startswith(f"{room}.") for room in allowed):
            yield f"{line}: {source.room} may not import {target or 'the whole package'}"


def keeps_optional_dependencies_in_their_room(source: Source) -> Iterator[str]:
    for line, _, name in imports(source):
        room = OPTIONAL.get(name.split(".")[0], source.room)
        if room != source.room:
            yield f"{line}: {name} belongs in {room}"


def has_a_telling_name(source: Source) -> Iterator[str]:
    for part in source.path.with_suffix("").parts:
        if part in SAYS_NOTHING:
            yield f"1: the name {part} does not say what lives there"


def reads_data_without_running_it(source: Source) -> Iterator[str]:
    for line, _, name in imports(source):
        if name.split(".")[0] in UNPICKLES:
            yield f"{line}: {name} runs code that stands in the data"
    for node, name in calls(source):
        if name in RUNS_CODE:
            yield f"{node.lineno}: {name} runs code that stands in the data"
        if any(keyword.arg == "allow_pickle" for keyword in node.keywords) and not any(
            keyword.arg == "allow_pickle" and ast.unparse(keyword.value) == "False"
            for keyword in node.keywords
        ):
            yield f"{node.lineno}: allow_pickle runs code that stands in the data"


def does_not_print(source: Source) -> Iterator[str]:
    for node, name in calls(source):
        if name in {"print", "rich.print"} and source.room != "cli":
            yield f"{node.lineno}: only cli prints"


def leaves_randomness_to_its_room(source: Source) -> Iterator[str]:
    if source.room == "randomness":
        return
    for line, _, name in imports(source):
        if name.split(".")[0] == "random":
            yield f"{line}: randomness is born in randomness.py"
    for node, name in calls(source):
        if name in CARRIES_RANDOMNESS:
            yield f"{node.lineno}: {name} carries randomness; address it with randomness.stream"


def is_short(source: Source) -> Iterator[str]:
    if (lines := len(source.text.splitlines())) >= FILE_LINES:
        yield f"1: {lines} lines, the measure is under {FILE_LINES}"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines >= FUNCTION_LINES:
                yield f"{node.lineno}: {node.name}: {lines} lines, not under {FUNCTION_LINES}"


def imports_by_name(source: Source) -> Iterator[str]:
    for line, short, name in imports(source):
        if short == "*":
            yield f"{line}: {name} hides what is imported"


def swallows_no_error(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ExceptHandler):
            if node.type is None:
                yield f"{node.lineno}: except without a type catches defects too"
            if all(ast.unparse(line) in {"pass", "..."} for line in node.body):
                yield f"{node.lineno}: an error is swallowed"


def is_finished(source: Source) -> Iterator[str]:
    for number, line in enumerate(source.text.splitlines(), 1):
        for mark in ("TODO", "FIXME", "XXX", "NotImplementedError"):
            if mark in line:
                yield f"{number}: {mark}"


# Each rule with a file that breaks it: where it would lie and what would stand in it.
RULES: list[tuple[Rule, str, str]] = [
    (imports_only_what_its_room_may, "losses.py", "from fedspike.cli import main"),
    (imports_only_what_its_room_may, "losses.py", "from fedspike import cli"),
    (imports_only_what_its_room_may, "losses.py", "from . import cli"),
    (imports_only_what_its_room_may, "losses.py", "import fedspike"),
    (imports_only_what_its_room_may, "losses.py", "def f():\n    import fedspike.cli as c"),
    (imports_only_what_its_room_may, "energy/bill.py", "from ..datasets import load"),
    (imports_only_what_its_room_may, "report/page.py", "from fedspike.energy import counts"),
    (imports_only_what_its_room_may, "report/page.py", "from fedspike.energy.counts import of"),
    (imports_only_what_its_room_may, "new_room.py", ""),
    (keeps_optional_dependencies_in_their_room, "simulation.py", "from flwr.common import Code"),
    (keeps_optional_dependencies_in_their_room, "networks.py", "import snntorch as snn"),
    (has_a_telling_name, "utils.py", ""),
    (has_a_telling_name, "base/thing.py", ""),
    (reads_data_without_running_it, "cli.py", "import pickle"),
    (reads_data_without_running_it, "cli.py", "from torch import load as read\nread('x')"),
    (reads_data_without_running_it, "cli.py", "import torch as t\nt.load('x')"),
    (reads_data_without_running_it, "cli.py", "import yaml\nyaml.load('x')"),
    (reads_data_without_running_it, "cli.py", "eval('1')"),
    (reads_data_without_running_it, "cli.py", "np.load('x', allow_pickle=True)"),
    (does_not_print, "training.py", "print('epoch 1')"),
    (does_not_print, "training.py", "from rich import print as say\nsay('epoch 1')"),
    (leaves_randomness_to_its_room, "fleet.py", "import numpy as np\nnp.random.default_rng(0)"),
    (leaves_randomness_to_its_room, "fleet.py", "import torch\ntorch.manual_seed(0)"),
    (leaves_randomness_to_its_room, "fleet.py", "from random import shuffle"),
    (is_short, "fleet.py", "x = 1\n" * FILE_LINES),
    (is_short, "fleet.py", "def f():\n" + "    x = 1\n" * FUNCTION_LINES),
    (imports_by_name, "fleet.py", "from numpy import *"),
    (swallows_no_error, "fleet.py", "try:\n    f()\nexcept ValueError:\n    pass"),
    (swallows_no_error, "fleet.py", "try:\n    f()\nexcept:\n    raise"),
    (is_finished, "fleet.py", "x = 1  # TODO: two"),
]


def package() -> list[Source]:
    paths = [path.relative_to(PACKAGE) for path in sorted(PACKAGE.rglob("*.py"))]
    names = [path.with_suffix("").parts for path in paths]
    modules = frozenset(".".join(name).removesuffix(".__init__") for name in names)
    return [Source(path, (PACKAGE / path).read_text(encoding="utf-8"), modules) for path in paths]


@pytest.mark.parametrize("rule", dict.fromkeys(rule for rule, *_ in RULES))
def test_the_package_keeps_the_law(rule: Rule) -> None:
    sources = package()
    assert len(sources) > 10
    assert [f"{source.path}:{fault}" for source in sources for fault in rule(source)] == []


@pytest.mark.parametrize(("rule", "path", "text"), RULES)
def test_the_law_can_be_broken(rule: Rule, path: str, text: str) -> None:
    modules = frozenset({"cli", "datasets", "energy", "energy.counts", "energy.bill"})
    assert list(rule(Source(Path(path), text, modules))) != []


def test_what_is_allowed_is_allowed() -> None:
    text = (
        "from fedspike.energy import bill\nfrom fedspike.errors import InputError\n"
        "from fedspike.energy.bill import profile\nfrom . import page\nmodel.eval()\n"
        "import numpy as np\nnp.load('x', allow_pickle=False)\nnp.random.Generator(bits)\n"
    )
    modules = frozenset({"energy", "energy.bill", "errors", "report", "report.page"})
    source = Source(Path("report/tables.py"), text, modules)
    assert [fault for rule, *_ in RULES for fault in rule(source)] == []


def test_no_room_waits_for_one_that_waits_for_it() -> None:
    """The table itself goes one way: leaving out rooms that import nothing left ends with none."""
    waiting = {
        room: {name.split(".")[0] for name in may} & MAY_IMPORT.keys()
        for room, may in MAY_IMPORT.items()
    }
    while done := {room for room, may in waiting.items() if not may}:
        waiting = {room: may - done for room, may in waiting.items() if room not in done}
    assert waiting == {}


def loads_torch(modules: list[str], folder: Path) -> bool:
    """Whether a new interpreter has torch in it after importing the modules that lie in folder."""
    code = (
        f"import sys; sys.path.insert(0, {str(folder)!r})\n"
        f"import {', '.join(modules)}\nprint('torch' in sys.modules)"
    )
    run = python(code)
    assert run.returncode == 0, run.stderr
    return run.stdout == "True\n"


@pytest.mark.parametrize("room", FREE_OF_TORCH)
def test_room_is_imported_without_torch(room: str) -> None:
    modules = [
        ".".join(["fedspike", *source.path.with_suffix("").parts]).removesuffix(".__init__")
        for source in package()
        if source.room == room
    ]
    assert not loads_torch(modules, PACKAGE.parent)


def test_torch_in_a_room_would_be_seen(tmp_path: Path) -> None:
    (tmp_path / "torch.py").touch()
    (tmp_path / "room.py").write_text("from torch import *")
    assert loads_torch(["room"], tmp_path)
