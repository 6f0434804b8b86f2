"""`import fedspike as fs`: all public names at one place, and nothing imported before it is asked for."""

from importlib import import_module

import pytest

import fedspike as fs
from fedspike.errors import InputError
from fedspike.part import Part
from running import python


def test_a_name_is_that_of_its_room() -> None:
    for room in fs.ROOMS:
        module = import_module(f"fedspike.{room}")
        for name in getattr(module, "__all__", ()):
            assert getattr(fs, name) is getattr(module, name), name
    assert {"SNN", "Burst", "Classes", "InputError"} <= set(dir(fs))
    assert fs.InputError is InputError


def test_every_kind_of_part_is_a_public_name() -> None:
    """A new kind needs no line here: it is in its room's list of names."""
    lists = [getattr(fs, name) for name in dir(fs) if name.isupper() and name.endswith("S")]
    kinds = [kind for kinds in lists if isinstance(kinds, tuple) for kind in kinds]
    parts = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Part)]
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
