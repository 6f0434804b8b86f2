"""The laws of the plan (docs/rooms.md), held by reading the source of the package.

A rule gets one parsed file and yields sentences about what is wrong with it; no sentence, no
violation. Every rule is shown twice: the package keeps it, and a small bad file breaks it.
"""

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path

import pytest

from running import python

PACKAGE = Path(__file__).parents[1] / "src" / "fedspike"

# The rooms from the ground to the roof: whoever is imported stands below. Every room may import itself.
FLOORS = (
    *(
        "errors",
        "extras",
        "shell",
        "randomness",
        "machine",
        "files",
        "reading",
        "part",
        "own_files",
        "layers",
        "energy",
    ),
    *("data", "parts", "networks", "engine"),
    *("learning", "rules", "algorithms", "remedies", "federation", "reference", "records"),
    *(
        "experiment",
        "deploy",
        "report",
        "export",
        "runs",
        "trackers",
        "cli",
        "__init__",
        "__main__",
    ),
)
# Rooms that stand high but may not reach for all that is below.
ONLY: dict[str, tuple[str, ...]] = {
    # What must be the same in the engine and in the reference; the engine itself is not among it.
    "reference": tuple(room for room in FLOORS[: FLOORS.index("reference")] if room != "engine"),
    "report": (
        "errors",
        "extras",
        "files",
        "reading",
        "randomness",
        "layers",
        "energy",
        "data",
        "records",
    ),
}
# Kinds that are everyday words, too: they also name other things.
WORDS_TOO = ("none", "count", "rate", "direct", "dense", "mean", "classes", "membrane")
# Rooms whose classes with a tag are kinds of parts.
OF_PARTS = (
    *("data", "parts", "networks", "learning", "rules", "algorithms", "remedies"),
    *("federation/selections", "federation/availabilities", "federation/clocks"),
)
# Who may look at what something is: which kernels there are for it, and the oracle, which has only some.
MAY_ASK = ("engine", "reference")
# Networks and layers that run are no parts, but nobody asks what they are either.
RUNNING = {
    name: Path("networks") / "spiking.py"
    for name in (
        "SpikingNetwork",
        "ConventionalNetwork",
        "ModuleNetwork",
        "DenseLayers",
        "ConvolutionalLayers",
    )
}
SERVER_STEP = ("aggregate",)  # the algorithm's function that makes the server's next state
SERVER_HALF = ("algorithms", "remedies")
FREE_OF_TORCH = ("report", "energy", "data", "cli")
OPTIONAL = {
    "flwr": ("federation", "deploy"),
    "optuna": ("experiment",),
    "nir": ("export",),
    "onnx": ("export",),
    "onnxruntime": ("export",),
    "zeus": ("energy",),
    "mlflow": ("trackers",),
    "trackio": ("trackers",),
    "wandb": ("trackers",),
    "tensorboard": ("trackers",),
    "snntorch": ("reference",),
    "altair": ("report",),
    "vl_convert": ("report",),
    "jinja2": ("report",),
    "pandas": ("runs",),
    "polars": ("runs",),
    "difflib": ("reading",),  # Python's own; one search for the name that was meant is enough
}
SAYS_NOTHING = {"utils", "util", "common", "helpers", "helper", "base", "misc", "manager"}
RUNS_CODE = {"eval", "exec", "torch.load", "yaml.load", "yaml.unsafe_load", "yaml.full_load"}
UNPICKLES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
CARRIES_RANDOMNESS = {
    *("numpy.random.seed", "numpy.random.default_rng", "numpy.random.RandomState"),
    *("torch.manual_seed", "torch.random.manual_seed", "torch.seed"),
}
# Beside files.py only the cache of downloads, which is the user's own, and nobody else's files are in it.
WRITERS = {Path("files.py"), Path("data/download.py"), Path("data/fashion_mnist.py")}
WRITES = {
    *(
        f"os.{name}"
        for name in ("open", "mkdir", "makedirs", "rename", "replace", "remove", "link")
    ),
    *(f"shutil.{name}" for name in ("rmtree", "move", "copy", "copy2", "copyfile", "copytree")),
    *(f"numpy.{name}" for name in ("save", "savez", "savetxt")),
    *("os.chmod", "os.unlink", "os.rmdir", "os.symlink", "torch.save"),
}
WRITES_A_PATH = {
    *("write_text", "write_bytes", "mkdir", "unlink", "rmdir", "touch", "chmod", "rename"),
    *("symlink_to", "hardlink_to", "save_file"),
}
# Beside files.py what the kernel itself writes is read as it comes.
READERS = {Path("files.py"), Path("machine.py"), Path("energy/meters.py")}
# A command with a name in it, which \0 stands for.
COMMAND = r"fedspike (fleet|run|report|data|explain|energy) [^,;:)]*\0|\0 --[a-z-]+ \0"
FILE_LINES, FUNCTION_LINES, MOST_PARAMETERS = 400, 60, 8


@dataclass(frozen=True)
class Source:
    """One file of the package, as the rules see it."""

    path: Path  # relative to the package
    text: str
    modules: frozenset[str]  # all of the package: "errors", "energy", "energy.bill", ...
    kinds: Mapping[str, tuple[str, Path]] = field(
        default_factory=dict, compare=False
    )  # class, file

    @cached_property
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
    if source.room not in FLOORS:
        yield f"1: {source.room} has no place in FLOORS"
        return
    below = FLOORS[: FLOORS.index(source.room)]
    allowed = {source.room, *ONLY.get(source.room, below)}
    for line, _, name in imports(source):
        whole, _, inside = name.partition(".")
        if whole != "fedspike":
            continue
        room = inside.split(".")[0] or "__init__"
        if room not in allowed:
            yield f"{line}: {source.room} may not import {room}"


def keeps_optional_dependencies_in_their_room(source: Source) -> Iterator[str]:
    for line, _, name in imports(source):
        rooms = OPTIONAL.get(name.split(".")[0], (source.room,))
        if source.room not in rooms:
            yield f"{line}: {name} belongs in {' or '.join(rooms)}"


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


def leaves_writing_to_its_room(source: Source) -> Iterator[str]:
    """What is written, renamed or removed goes through files.py, which follows no link on the way."""
    if source.path in WRITERS:
        return
    for node, name in calls(source):
        *owner, last = name.split(".")
        modes = [ast.unparse(one) for one in (*node.args, *(k.value for k in node.keywords))]
        if (
            (name in WRITES and not (node.args and ast.unparse(node.args[0]) == "os.devnull"))
            or (owner and last in WRITES_A_PATH)
            or (owner and last == "replace" and len(node.args) == 1 and not node.keywords)
            or (last == "open" and any(re.fullmatch(r"'[rbt]*[wax+][bt+]*'", m) for m in modes))
        ):
            yield f"{node.lineno}: {name} may write through a link; files.py does not"


def leaves_reading_to_its_room(source: Source) -> Iterator[str]:
    """What is read goes through files.py, which bounds it and waits for no pipe; data has its own files."""
    if source.path in READERS or source.room == "data":
        return
    for node, name in calls(source):
        *owner, last = name.split(".")
        mode = "".join(map(ast.unparse, node.args[:1]))
        if (
            (last in ("read_text", "read_bytes") and "('/proc/" not in name)
            or name in ("open", "io.open")
            or (owner and last == "open" and re.fullmatch(r"|'[rbt+]+'", mode))
        ):
            yield f"{node.lineno}: {name} reads without end; files.content_of does not"


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


def asks_for_few_things(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef) and not node.name.endswith("_kernel"):  # Triton's
            own = node.args
            names = [one.arg for one in (*own.posonlyargs, *own.args, *own.kwonlyargs)]
            count = len(names) - (names[:1] in (["self"], ["cls"]))
            if count > MOST_PARAMETERS:
                yield f"{node.lineno}: {node.name}: {count} parameters, at most {MOST_PARAMETERS}"


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


def kinds_in(source: Source) -> Iterator[tuple[str, str]]:
    """The kinds of parts that a file defines: what an experiment's file calls them, and their classes."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ClassDef):
            for keyword in node.keywords:
                if keyword.arg == "tag" and isinstance(keyword.value, ast.Constant):
                    yield str(keyword.value.value), node.name


def says_no_kind_of_another_file(source: Source) -> Iterator[str]:
    """One home: the string of a kind stands in the file of its class, and in no other."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and node.value in source.kinds:
            name, home = source.kinds[str(node.value)]
            if home != source.path and str(node.value) not in WORDS_TOO:
                yield f'{node.lineno}: "{node.value!s}" is the kind of {name}, whose home is {home}'


def asks_no_part_for_its_type(source: Source) -> Iterator[str]:
    """No switch on the type of a network, code, neuron, loss, ... outside the room of its kind."""
    if source.room in MAY_ASK:
        return
    homes = dict(source.kinds.values()) | RUNNING
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("isinstance", "issubclass"):
            asked = ast.walk(node.args[1])
        elif isinstance(node, ast.Compare) and "type(" in ast.unparse(node.left):
            asked = iter([inner for one in node.comparators for inner in ast.walk(one)])
        elif isinstance(node, ast.MatchClass):
            asked = ast.walk(node.cls)
        else:
            continue
        for name in (
            ast.unparse(one).split(".")[-1]
            for one in asked
            if isinstance(one, ast.Name | ast.Attribute)
        ):
            if name in homes and homes[name].parent != source.path.parent:
                yield f"{node.lineno}: asks whether something is a {name}"


def leaves_devices_to_the_engine(source: Source) -> Iterator[str]:
    """Which processor computes, and with which kernels, is asked in engine/ alone."""
    if source.room == "engine":
        return
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Attribute):
            continue
        text = ast.unparse(node)
        if text.endswith(("is_cuda", "device.type", "gpu.AVAILABLE")) or text.startswith(
            "torch.cuda"
        ):
            yield f"{node.lineno}: {text} outside engine/"


def has_no_second_loop(source: Source) -> Iterator[str]:
    """Who makes the next state of a server is federation/rounds.py, and beside it the reference."""
    if (
        str(source.path) in ("federation/rounds.py", "reference/loop.py")
        or source.room in SERVER_HALF
    ):
        return
    for node, name in calls(source):
        if name.split(".")[-1] in SERVER_STEP:
            yield f"{node.lineno}: {name} makes a server's next state; federation/rounds.py does that"


def names_things_by_nouns(source: Source) -> Iterator[str]:
    """A result is named by what it is, not by how it came about."""
    for node in ast.walk(source.tree):
        bound = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        name = node.arg if isinstance(node, ast.arg) else ast.unparse(node) if bound else ""
        if name in {"found", "known", "done", "seen", "said"}:
            yield f"{getattr(node, 'lineno', 0)}: {name} does not say what it is"


def leaves_commands_to_the_shell(source: Source) -> Iterator[str]:
    """A name in a command may have spaces in it: fedspike.shell writes it so that it stays one word."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.JoinedStr):
            parts = [p.value if isinstance(p, ast.Constant) else "\0" for p in node.values]
            if re.search(COMMAND, "".join(map(str, parts))):
                yield f"{node.lineno}: a command that fedspike.shell does not write"


# Each rule with a file that breaks it: where it would lie and what would stand in it.
RULES: list[tuple[Rule, str, str]] = [
    (leaves_commands_to_the_shell, "cli/fleet.py", "f'see fedspike fleet status {path}'"),
    (leaves_commands_to_the_shell, "deploy/keys.py", "f'{ENROL} --output {path}'"),
    (imports_only_what_its_room_may, "parts/losses.py", "from fedspike.cli import main"),
    (imports_only_what_its_room_may, "parts/losses.py", "from fedspike import cli"),
    (imports_only_what_its_room_may, "parts/losses.py", "from .. import cli"),
    (imports_only_what_its_room_may, "parts/losses.py", "import fedspike"),
    (imports_only_what_its_room_may, "parts/losses.py", "def f():\n    import fedspike.cli as c"),
    (imports_only_what_its_room_may, "energy/bill.py", "from ..data import load"),
    (imports_only_what_its_room_may, "report/page.py", "from fedspike.federation import rounds"),
    (imports_only_what_its_room_may, "report/page.py", "from fedspike.networks.batch import of"),
    (imports_only_what_its_room_may, "new_room.py", ""),
    (
        keeps_optional_dependencies_in_their_room,
        "networks/batch.py",
        "from flwr.common import Code",
    ),
    (keeps_optional_dependencies_in_their_room, "networks.py", "import snntorch as snn"),
    (keeps_optional_dependencies_in_their_room, "cli/parser.py", "import difflib"),
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
    (leaves_writing_to_its_room, "report/page.py", "path.write_text('x')"),
    (leaves_writing_to_its_room, "report/page.py", "(folder / 'x').open('ab')"),
    (leaves_writing_to_its_room, "report/page.py", "open('x', mode='w')"),
    (leaves_writing_to_its_room, "report/page.py", "part.replace(path)"),
    (leaves_writing_to_its_room, "report/page.py", "from shutil import rmtree\nrmtree('x')"),
    (leaves_writing_to_its_room, "report/page.py", "import numpy as np\nnp.savez('x', a)"),
    (leaves_writing_to_its_room, "deploy/folder.py", "home.mkdir(parents=True)"),
    (leaves_reading_to_its_room, "cli/fleet.py", "json.loads((run / 'x.json').read_bytes())"),
    (leaves_reading_to_its_room, "cli/fleet.py", "path.read_text('utf-8')"),
    (leaves_reading_to_its_room, "cli/fleet.py", "with open(path) as file: pass"),
    (leaves_reading_to_its_room, "cli/fleet.py", "with path.open('rb') as file: pass"),
    (leaves_reading_to_its_room, "cli/fleet.py", "path.open(encoding='utf-8')"),
    (leaves_randomness_to_its_room, "fleet.py", "import numpy as np\nnp.random.default_rng(0)"),
    (leaves_randomness_to_its_room, "fleet.py", "import torch\ntorch.manual_seed(0)"),
    (leaves_randomness_to_its_room, "fleet.py", "from random import shuffle"),
    (is_short, "fleet.py", "x = 1\n" * FILE_LINES),
    (is_short, "fleet.py", "def f():\n" + "    x = 1\n" * FUNCTION_LINES),
    (asks_for_few_things, "fleet.py", "def f(a, b, c, d, e, f, g, h, i): pass"),
    (
        asks_for_few_things,
        "fleet.py",
        "class A:\n    def f(self, a, b, c, d, e, f, g, *, h, i): pass",
    ),
    (imports_by_name, "fleet.py", "from numpy import *"),
    (swallows_no_error, "fleet.py", "try:\n    f()\nexcept ValueError:\n    pass"),
    (swallows_no_error, "fleet.py", "try:\n    f()\nexcept:\n    raise"),
    (is_finished, "fleet.py", "x = 1  # TODO: two"),
    (says_no_kind_of_another_file, "experiment/check.py", "if kind == 'burst': fix()"),
    (says_no_kind_of_another_file, "energy/rules.py", "CODES = {'burst': 1}"),
    (asks_no_part_for_its_type, "federation/rounds.py", "isinstance(code, Burst)"),
    (asks_no_part_for_its_type, "federation/rounds.py", "isinstance(code, A | codes.Burst)"),
    (asks_no_part_for_its_type, "records/summary.py", "type(code) is Burst"),
    (asks_no_part_for_its_type, "records/summary.py", "match code:\n    case Burst(): pass"),
    (asks_no_part_for_its_type, "federation/rounds.py", "isinstance(network, SpikingNetwork)"),
    (leaves_devices_to_the_engine, "parts/neurons/lif.py", "if currents.is_cuda: pass"),
    (leaves_devices_to_the_engine, "federation/rounds.py", "if x.device.type == 'cpu': pass"),
    (leaves_devices_to_the_engine, "learning/stdp.py", "torch.cuda.synchronize()"),
    (names_things_by_nouns, "energy/bill.py", "found = prices()"),
    (names_things_by_nouns, "energy/bill.py", "def f(known): return [seen for seen in known]"),
    (has_no_second_loop, "deploy/server.py", "state = algorithm.aggregate(state, replies)"),
]
A_KIND = {"burst": ("Burst", Path("parts/codes/burst.py"))}


@cache
def package() -> list[Source]:
    paths = [path.relative_to(PACKAGE) for path in sorted(PACKAGE.rglob("*.py"))]
    names = [path.with_suffix("").parts for path in paths]
    modules = frozenset(".".join(name).removesuffix(".__init__") for name in names)
    sources = [Source(p, (PACKAGE / p).read_text(encoding="utf-8"), modules) for p in paths]
    parts = [s for s in sources if any(map(s.path.is_relative_to, OF_PARTS))]
    kinds = {tag: (name, s.path) for s in parts for tag, name in kinds_in(s)}
    return [replace(source, kinds=kinds) for source in sources]


@pytest.mark.parametrize("rule", dict.fromkeys(rule for rule, *_ in RULES))
def test_the_package_keeps_the_law(rule: Rule) -> None:
    sources = package()
    assert len(sources) > 10
    assert [f"{s.path}:{fault}" for s in sources for fault in rule(s)] == []


@pytest.mark.parametrize(("rule", "path", "text"), RULES)
def test_the_law_can_be_broken(rule: Rule, path: str, text: str) -> None:
    modules = frozenset({"cli", "data", "energy", "energy.counts", "energy.bill"})
    assert list(rule(Source(Path(path), text, modules, A_KIND))) != []


def test_what_is_allowed_is_allowed() -> None:
    text = (
        "from fedspike.energy import bill\nfrom fedspike.errors import InputError\n"
        "from fedspike.energy.bill import profile\nfrom . import page\nmodel.eval()\n"
        "f'{path}: as fedspike wrote {it}; see {again}, or fedspike fleet run'\n"
        "import numpy as np\nnp.load('x', allow_pickle=False)\nnp.random.Generator(bits)\n"
    )
    modules = frozenset({"energy", "energy.bill", "errors", "report", "report.page"})
    source = Source(Path("report/tables.py"), text, modules)
    assert [fault for rule, *_ in RULES for fault in rule(source)] == []


def test_no_two_files_have_one_name() -> None:
    names = [s.path.name for s in package() if s.path.name not in ("__init__.py", "__main__.py")]
    assert [name for name in names if names.count(name) > 1] == []


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
