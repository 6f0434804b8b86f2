"""`import fedspike as fs`: all public names at one place, and nothing imported before it is asked for."""

import re
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

import fedspike as fs
from fedspike.errors import InputError
from fedspike.experiment.kinds import FAMILIES
from running import python


def test_a_name_is_that_of_its_room() -> None:
    for room in fs.ROOMS:
        module = import_module(f"fedspike.{room}")
        for name in getattr(module, "__all__", ()):
            assert getattr(fs, name) is getattr(module, name), name
    assert fs.InputError is InputError


def test_one_starts_with_few_names_and_the_page_lists_them() -> None:
    names = dir(fs)
    assert 35 <= len(names) <= 45
    assert [name for name in names if getattr(fs, name) is None] == []
    page = (Path(__file__).parents[1] / "docs" / "python.md").read_text(encoding="utf-8")
    listed = {
        row[0]: re.findall(r"`(\w+)`", row[1])
        for row in re.findall(r"^\| ([a-z ]+) \| (`.*) \|$", page, re.MULTILINE)
    }
    front = {group: " ".join(rooms.values()).split() for group, rooms in fs.FRONT.items()}
    assert listed == front
    assert fs.__version__ == version("fedspike")


@pytest.mark.parametrize("name", ["abstractmethod", "corner", "heaps", "MODELS", "annotations"])
def test_what_a_room_uses_itself_is_no_public_name(name: str) -> None:
    with pytest.raises(AttributeError):
        getattr(fs, name)


def test_the_door_opens_in_no_time() -> None:
    """Without its own start Python takes half of that."""
    began = "import time; began = time.perf_counter()"
    code = f"{began}; import fedspike as fs; dir(fs); print(time.perf_counter() - began)"
    assert min(float(python(code).stdout) for _ in range(3)) < 0.1


def test_every_kind_of_part_is_a_public_name() -> None:
    """A new kind needs no line here: it is in its room's list of names."""
    parts = [kind for kinds in FAMILIES.values() for kind in kinds]
    assert len(parts) > 30
    assert [kind for kind in parts if getattr(fs, kind.__name__) is not kind] == []


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Spikes'"):
        _ = fs.Spikes


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    code = (
        "import sys, fedspike as fs\n"
        "assert 'numpy' not in sys.modules\n"
        "from fedspike import cli\n"
        "assert (cli, fs.data, fs.Classes) and 'torch' not in sys.modules\n"
        "assert fs.SNN and 'torch' in sys.modules\n"
    )
    answer = python(code)
    assert answer.returncode == 0, answer.stderr
