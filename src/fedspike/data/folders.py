"""Folders whose own folders say the class of each file in them, and perhaps its part and whose it is."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

from msgspec import Meta

from fedspike.data import named
from fedspike.errors import InputError

Levels = Annotated[str, Meta(min_length=1, description="of its folders: class, split, owner, any")]


class Filed(NamedTuple):
    """A file, and what each level of folders above it says."""

    path: Path
    levels: dict[str, str]


def demand_levels(levels: str) -> None:
    """Raise InputError for levels that say no class, or something twice.

    >>> demand_levels("split any class")
    """
    words = levels.split()
    plain = [word for word in words if word != "any"]
    others = {*plain} - {"class", "split", "owner"}
    if "class" not in words or len({*plain}) < len(plain) or others:
        raise InputError(
            f"levels = {levels!r}",
            expected="class, and perhaps split, owner and any, each but any at most once",
            fix='write levels = "class", or "split class" of folders train and test',
            keys=("levels",),
        )


def filed(
    path: str, levels: str, endings: Sequence[str], what: str, say: Callable[[str], None]
) -> list[Filed]:
    """The files with these endings below a folder, in the order of their paths; `what` is their name.

    Names that begin with a dot are left out. Raises InputError where there are none, or one lies in more or
    fewer folders than there are levels.
    """
    folder, words = Path(path), levels.split()
    if not folder.is_dir():
        raise InputError(
            f"{folder}: there is no such folder",
            expected=f"a folder with {what} in folders, {' / '.join(words)}",
            fix="correct data.path",
            keys=("path",),
        )
    files = sorted(path for path in folder.rglob("*") if not path.name.startswith("."))
    files = [path for path in files if path.is_file()]
    paths = [path for path in files if path.suffix.lower() in endings]
    say(f"reading {len(paths)} {what} below {folder}")
    if others := len(files) - len(paths):
        say(f"{others} files that are no {what} are left out")
    if not paths:
        raise InputError(
            f"{folder}: no {what} below it",
            expected=f"files {', '.join(endings)}",
            fix="correct data.path",
            keys=("path",),
        )
    return [Filed(path, _levels(path, folder, words)) for path in paths]


def of_part(files: Sequence[Filed], part: str, path: str) -> Iterator[int]:
    """The places of those whose level "split" is this part, train or test, in any case of letters."""
    splits = [one.levels["split"] for one in files]
    if odd := {*map(str.lower, splits)} ^ {"train", "test"}:
        raise InputError(
            f"{path}: folders {', '.join(named.in_order(splits)[:10])} where levels say split",
            expected="train and test",
            fix=f"rename or add {', '.join(named.in_order(odd)[:3])}",
        )
    return (place for place, own in enumerate(splits) if own.lower() == part)


def owners_of(files: Sequence[Filed]) -> list[str] | None:
    """The owner of each, where a level says it."""
    return [one.levels["owner"] for one in files] if "owner" in files[0].levels else None


def name_of(path: str, otherwise: str) -> str:
    """What a data set in a folder is called."""
    return Path(path).resolve().name or otherwise


def _levels(path: Path, folder: Path, words: list[str]) -> dict[str, str]:
    above = path.relative_to(folder).parts[:-1]
    if len(above) != len(words):
        raise InputError(
            f"{path}: in {len(above)} folders below {folder}",
            expected=f'in {len(words)}, as levels = "{" ".join(words)}" says',
            fix="move it, or say what each level of folders is",
            keys=("levels",),
        )
    return dict(zip(words, above, strict=True))
