"""What to do with a file of other arrays than are asked for: a line that mends this very file."""

import math
from collections.abc import Mapping
from pathlib import Path

RUN = "run in Python: import numpy as np; "
MARKS = (
    (b"\x93NUMPY", "a single array, .npy"),
    (b"\x80", "a Python pickle, which is never read because it can run code"),
    (b"\x89HDF", "an HDF5 file"),
    (b"MATLAB", "a MATLAB file"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x1f\x8b", "a gzip file"),
    (b"PK", "a part of a zip file"),
)
Shapes = Mapping[str, tuple[int, ...]]


def kind_of(raw: bytes, path: Path, names: tuple[str, ...]) -> tuple[str, str]:
    """What a file that is no .npz looks like, and how to make one of it."""
    general = f"save it with numpy.savez(path, {', '.join(f'{name}=...' for name in names)})"
    for mark, kind in MARKS:
        if raw.startswith(mark):
            return kind, general
    try:
        first, *_ = raw[:4096].decode().splitlines()
    except (ValueError, UnicodeDecodeError):
        return "nothing that is known here", general
    if "," not in first:
        return "text", general
    heading = int(not all(_is_number(word) for word in first.split(",")))
    return "a table of text, .csv", (
        f"{RUN}t = np.genfromtxt({str(path)!r}, delimiter=',', skip_header={heading}); "
        f"f = {{'x': t[:, :-1], 'y': t[:, -1].astype(int)}}; "
        f"{_split('x', 'y', path, names)}  # if the last column is the class"
    )


def mending(path: Path, shapes: Shapes, names: tuple[str, ...], objects: list[str]) -> str:
    """The line for a file of arrays of these shapes, some perhaps of Python `objects`."""
    if objects:
        lists = ", ".join(f"{name}=np.array(f[{name!r}].tolist())" for name in objects)
        return (
            f"if the file is your own (unpickling can run code), {RUN}"
            f"f = dict(np.load({str(path)!r}, allow_pickle=True)); "
            f"np.savez({str(_beside(path))!r}, **{{**f, **dict({lists})}})"
        )
    opening = f"{RUN}f = np.load({str(path)!r}); "
    match _pairs(shapes):
        case [(x, y)]:
            return opening + _split(x, y, path, names)
        case [train, test]:
            given = dict(zip(("x_train", "y_train", "x_test", "y_test"), train + test, strict=True))
            return opening + _save({name: f"f[{given[name]!r}]" for name in names}, path)
    return f"save the arrays under the names {', '.join(names)}"


def _pairs(shapes: Shapes) -> list[tuple[str, str]]:
    """Samples and labels that belong together, those of training first; [] where that is not clear."""
    rows = {name: shape for name, shape in shapes.items() if shape}
    tests = {name for name in rows if "test" in name.lower() or "val" in name.lower()}
    groups: dict[tuple[bool, int], list[str]] = {}
    for name, shape in rows.items():
        groups.setdefault((name in tests, shape[0]), []).append(name)
    if len(groups) > 2 or any(len(group) != 2 for group in groups.values()):
        return []
    longest = sorted(groups, key=lambda key: (key[0], -key[1]))
    pairs = [sorted(groups[key], key=lambda name: -math.prod(rows[name])) for key in longest]
    return [(x, y) for x, y in pairs]


def _split(x: str, y: str, path: Path, names: tuple[str, ...]) -> str:
    """Samples and labels in one piece: a fifth of them, at random, is for the test."""
    if "x_test" not in names:
        return _save({"x_train": f"f[{x!r}]", "y_train": f"f[{y!r}]"}, path)
    parts = {"train": "i[n:]", "test": "i[:n]"}
    arrays = {
        f"{role}_{part}": f"f[{name!r}][{which}]"
        for part, which in parts.items()
        for role, name in (("x", x), ("y", y))
    }
    shuffled = f"i = np.random.default_rng(0).permutation(len(f[{y!r}])); n = len(i) // 5; "
    return shuffled + _save(arrays, path)


def _save(arrays: Mapping[str, str], path: Path) -> str:
    return f"np.savez({str(_beside(path))!r}, {', '.join(f'{k}={v}' for k, v in arrays.items())})"


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.stem}-named.npz")


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
