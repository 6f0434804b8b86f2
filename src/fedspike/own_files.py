"""Parts of a user's own: files beyond the package that somebody named with --use.

Naming a file runs it, as Python does with any file. An experiment's file cannot name one, so a configuration
alone runs no code.
"""

import codecs
import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.abc import ExecutionLoader
from importlib.machinery import ModuleSpec
from importlib.util import decode_source
from pathlib import Path
from types import ModuleType

from msgspec import Struct

from fedspike.errors import InputError
from fedspike.files import content_of
from fedspike.part import Part, demand_members, fields_of, is_kind
from fedspike.reading import decoded

MOST_BYTES = 2**20  # people write less
LOADED: dict[str, bytes] = {}  # module -> the file's content when it was run


@dataclass(frozen=True)
class OwnFile:
    """A file with parts, as it was when it was run."""

    name: str
    content: bytes

    @property
    def sha256(self) -> str:
        """The hash of its content."""
        return hashlib.sha256(self.content).hexdigest()


def load(
    paths: Iterable[Path], adopted: Callable[[type], type[Part] | None] = lambda _: None
) -> tuple[type[Part], ...]:
    """The kinds of parts in these files, which are run for it; `adopted` makes kinds of other classes.

    Raises InputError, naming file and line, where one cannot be run, has no kind, or a kind lacks a member.
    """
    return tuple(kind for path in paths for kind in _load(path, adopted))


def used(plan: Struct) -> tuple[OwnFile, ...]:
    """The files, beyond the package, that define the kinds of a plan's parts."""
    files = {type(part).__module__: own_file(type(part)) for part in parts_in(plan)}
    return tuple(file for file in files.values() if file is not None)


def own_file(kind: type[Part]) -> OwnFile | None:
    """The file that defines it; None of a kind that ships with the package, or was typed at a prompt."""
    path = file_of(kind)
    if path is None or not is_own(kind):
        return None
    return OwnFile(path.name, LOADED.get(kind.__module__) or _content(path, str(path)))


def is_own(kind: type[Part]) -> bool:
    """Whether a kind does not ship with the package."""
    return kind.__module__.partition(".")[0] != "fedspike"


def file_of(part: Part | type[Part]) -> Path | None:
    """The file that defines its kind; None of a kind that was typed at a prompt."""
    kind = part if isinstance(part, type) else type(part)
    path = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return None if path is None else Path(path)


def _load(path: Path, adopted: Callable[[type], type[Part] | None]) -> list[type[Part]]:
    content = _content(path, f"--use {path}")
    kinds: list[type[Part]] = []
    for value in list(vars(_module(path, content)).values()):
        if isinstance(value, type) and issubclass(value, Part):
            kinds += [value] if is_kind(value) else []
        elif isinstance(value, type) and value.__module__ in LOADED:
            kinds += filter(None, [adopted(value)])
    own = [kind for kind in kinds if LOADED.get(kind.__module__) == content]
    if not own:
        raise InputError(
            f"--use {path}: no kind of part in it",
            expected='a class such as class Mine(Code, tag="mine"), or a torch.nn.Module',
            fix="import the family, as in from fedspike.parts.codes import Code, and give the class a tag",
        )
    for kind in own:
        demand_members(kind)
    return own


def _content(path: Path, what: str) -> bytes:
    """What is in a file of Python; `what` is how errors call it."""
    try:
        return content_of(path, MOST_BYTES)
    except OSError as error:
        raise InputError(
            f"{what}: {error.strerror}", expected="a file of Python", fix="check the path"
        ) from error


def _module(path: Path, content: bytes) -> ModuleType:
    """The file as a module, run once in this process, unless it has changed."""
    name = f"fedspike_own_{path.stem}_{hashlib.sha256(content).hexdigest()[:12]}"
    if name in LOADED:
        return sys.modules[name]
    loader = _Loader(path, content)
    spec = ModuleSpec(name, loader, origin=str(path))
    spec.has_location = True
    module = importlib.util.module_from_spec(spec)
    sys.modules[name], LOADED[name] = module, content
    try:
        loader.exec_module(module)
    # Whatever a user's file raises, and sys.exit, which would end us in silence.
    except (Exception, SystemExit) as error:
        del sys.modules[name], LOADED[name]
        raise InputError(
            f"--use {path}{line_in(path, error)}: {type(error).__name__}: {error}",
            expected="a file of Python that can be run",
            fix=f"correct it; `python {path}` shows the whole traceback",
        ) from error
    return module


class _Loader(ExecutionLoader):
    """Runs the bytes that were hashed, not what the file or a cache of it holds by then."""

    def __init__(self, path: Path, content: bytes) -> None:
        self.path, self.content = path, content

    def get_filename(self, fullname: str) -> str:
        """The file, for tracebacks."""
        del fullname
        return str(self.path)

    def get_source(self, fullname: str) -> str:
        """The text of the file; Python itself knows no UTF-16."""
        del fullname
        marked = self.content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return decoded(self.content) if marked else decode_source(self.content)


def line_in(path: Path, error: BaseException) -> str:
    """The last line of the file that the error went through, as ", line 3"; nothing if there is none."""
    if isinstance(error, SyntaxError):
        return f", line {error.lineno}" if error.lineno else ""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    return f", line {lines[-1]}" if lines else ""


def raised_in(kind: type, error: BaseException) -> str:
    """The place in the file of this class that an error went through, as " in mine.py, line 3"."""
    path = getattr(sys.modules.get(kind.__module__), "__file__", None) or ""
    line = line_in(Path(path), error)
    return f" in {Path(path).name}{line}" if line else ""


def parts_in(record: Struct) -> Iterator[Part]:
    """All parts in a record, and the parts in these."""
    for field in fields_of(type(record)):
        value = getattr(record, field.name)
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, Part):
                yield one
            if isinstance(one, Struct):
                yield from parts_in(one)
