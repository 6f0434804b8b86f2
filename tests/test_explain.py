"""What `fedspike explain` and docs/configuration.md say of parts is what the parts say of themselves."""

import re
from pathlib import Path
from typing import Any

import pytest

from fedspike.cli import main
from fedspike.errors import InputError
from fedspike.experiment import operations_table
from fedspike.experiment.explaining import explained, families, filled, of_kind, overview
from fedspike.experiment.kinds import Kinds
from running import asked

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "configuration.md"
KINDS = Kinds()


def test_the_page_has_the_keys_of_all_parts() -> None:
    """After a change of a part: python tools/write_reference.py"""
    text = PAGE.read_text(encoding="utf-8")
    assert filled(text, KINDS) == text
    with pytest.raises(InputError, match="one each for"):
        filled(text.replace("keys of code", "keys of codes"), KINDS)


def test_the_page_of_energy_has_the_operations_of_all_parts() -> None:
    """After a change of a part: python tools/write_reference.py"""
    text = (DOCS / "energy.md").read_text(encoding="utf-8")
    assert operations_table.filled(text, KINDS) == text
    for words in (
        "| rate | per input and step: `draw`, `compare`; per input: `read_input`; "
        "per event in: `write_output` |",
        "| adam | per parameter and batch: 11 `multiply`, 4 `add`, `sqrt` |",
        'reset = "zero"` (lif, adaptive, current-based) | per event out: 1 `add` less |',
        "Lemaire et al.",
        "Not counted: memory accesses of training",
    ):
        assert words in text


@pytest.mark.parametrize("table", families(KINDS))
def test_every_kind_is_explained(table: str) -> None:
    family = families(KINDS)[table]
    for kind, part in KINDS.of(family).items():
        one = of_kind(table, part)
        assert one in explained(kind, KINDS)
        assert one in explained(part.__name__, KINDS)
        assert one.text
        assert all(key.limits and key.default for key in one.keys)
        plain = {*part.__struct_fields__} - {*one.tables}
        assert [key.name for key in one.keys] == [n for n in part.__struct_fields__ if n in plain]
    assert any(one.table == table for one in overview(KINDS))


def test_a_kind_is_said_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "adaptive"]) == 0
    words = capsys.readouterr().out
    assert "theta[t] = threshold + adaptation*b[t]" in words  # the equation
    assert "Bellec et al." in words  # the source
    assert re.search(r"  rho +a number >= 0 and <= 1; required", words)
    assert "a table of its own: [surrogate]" in words
    assert ">>>" not in words
    assert main(["explain", "code"]) == 0
    assert '"rate" is the usual one' in capsys.readouterr().out
    assert main(["explain"]) == 0
    assert "rate, as-recorded, burst, contrast, delta" in capsys.readouterr().out


def test_it_is_there_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    answer: Any = asked(capsys, "explain", "burst")
    [burst] = answer
    assert (burst["table"], burst["name"]) == ("code", "Burst")
    assert burst["keys"][1] == {
        **{"name": "shortest_interval", "limits": "a whole number >= 1"},
        **{"default": "2", "meaning": ""},
    }


def test_what_is_unknown_is_said_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "brust"]) == 2
    assert "did you mean burst" in capsys.readouterr().err
