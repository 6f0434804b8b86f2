"""What the report cannot be made from, or cannot be written to: one clear error, nothing half done."""

import errno
import math
import os
from pathlib import Path
from typing import Any

import pytest

import report_example as example
from fedspike import report
from fedspike.errors import InputError
from fedspike.records.schema import VERSION
from running import resealed


def broken(change: dict[str, Any]) -> str:
    return experiment([example.run("ann", 3, rounds=2) | change])


def experiment(runs: list[dict[str, Any]]) -> str:
    whole = {"schema": VERSION, "name": "x", "command": "", "created": "", "environment": None}
    return resealed(whole | {"dataset": None, "comparisons": [], "runs": runs}).decode()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "no summary.json in it"),
        ('{"schema": 3, "ru', "truncated"),
        ("\x00", "malformed"),
        ("[" * 100_000, "summary.json"),
        ("[]", "Expected `object`"),
        ('{"schema": 1}', "schema version 1, from another version of fedspike"),
        ("{}", "schema version None"),
        (resealed({"schema": VERSION}).decode(), "missing required field"),
        (experiment([]), r"\$.runs"),
        (broken({"older": 1}), "unknown field `older`"),
        (broken({"accuracy": [0.5, 1.2]}), r"\$.runs\[0\].accuracy\[1\]"),
        (broken({"accuracy": []}), r"\$.runs\[0\].accuracy"),
        (broken({"name": "../x"}), r"\$.runs\[0\].name"),
        (broken({"name": ".."}), r"\$.runs\[0\].name"),
        (broken({"class_counts": [[]]}), "class_counts"),
        (broken({"study_energy_mj_per_round": 0}), "without operations or energy"),
        (broken({"seconds": math.nan}), "malformed"),
        (broken({"training_loss": [0.5]}), "numbers of 1 of 2 rounds"),
        (broken({"firing_rates": {"hidden": [0.1] * 3}}), "numbers of 3 of 2 rounds"),
        (broken({"final_accuracy": 0.5}), "not the last round's"),
        (broken({"ill_layers": {"middle": {}}}), "a layer middle"),
        (broken({"partition": {"kind": "iid"}, "config": {}}), "another partition"),
        (broken({"partition": {}, "config": {"partition": {}}}), "a partition of no kind"),
        (broken({"network_tables": ["snn"]}), "without a table snn"),
        (broken({"bill": {"yan22": {"studies": {}}}}), "matching regex"),
        (experiment([example.run()] * 2), "two runs"),
        (broken({}).replace("ann", "snn", 1), "was changed"),
    ],
)
def test_a_summary_that_cannot_be_used_is_named(
    tmp_path: Path, text: str | None, complaint: str
) -> None:
    if text is not None:
        (tmp_path / "summary.json").write_text(text)
    with pytest.raises(InputError, match=complaint) as raised:
        report.write(tmp_path)
    assert str(tmp_path) in raised.value.passed
    assert {path.name for path in tmp_path.iterdir()} <= {"summary.json"}


def test_weights_that_do_not_fill_their_shape_are_refused(tmp_path: Path) -> None:
    run = example.run("ann", 3, rounds=2)
    run["hidden_weights"]["shape"] = [100, 28, 28]
    with pytest.raises(InputError, match="hidden_weights holds 31360 numbers"):
        report.write(example.write(tmp_path / "runs", [run]))


def test_a_full_disk_leaves_the_old_report_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = example.write(tmp_path / "runs", [example.run("ann", 3, rounds=2)])
    report.write(directory)
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}

    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(InputError, match="No space left on device"):
        report.write(directory)
    assert {p: p.read_bytes() for p in directory.rglob("*") if p.is_file()} == before


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    directory = example.write(tmp_path / "runs", [example.run("ann", 3, rounds=2)])
    (directory / "tables").touch()
    with pytest.raises(InputError, match=r"tables.*cannot be written"):
        report.write(directory)
