"""The documents tell what was measured, and a ratio that got worse is said, without the rivals' packages."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from running import python

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
ENVIRONMENT = {
    **{"date": "2026-01-02", "git_commit": "a" * 40, "cpu": "Made up", "cores": 4, "threads": 2},
    **{"torch": "2.13.0", "numpy": "2.3", "ray": None},
}
SECONDS = {
    "fedspike": [1.0, 1.0, 2.0],
    "spikingjelly": [6.0, 8.0, 10.0],
    "spikingjelly_compiled": [5.0, 6.0, 8.0],
    "bound": [2.0, 4.0, 4.0],
    "ann_fedspike": [0.1, 0.1, 0.1],
    "ann_loop": [0.2, 0.3, 0.4],
}


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Imports a file of benchmarks/, as its neighbours do."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    known = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - known:
        if (BENCHMARKS / f"{name}.py").exists():
            del sys.modules[name]


def measured(module: Any, seconds: dict[str, list[float]], **environment: Any) -> dict[str, Any]:
    """An engine.json with a convolutional round."""
    section = {
        "work": {"cohort": 10, "samples": 2000, "time_steps": 50},
        "seconds": seconds,
        "accuracy": dict.fromkeys(seconds, 0.7712345) | {"bound": None},
        "ratios": module("turns").ratios(seconds),
        "spike_rate": 0.123456,
        "environment": ENVIRONMENT | environment,
    }
    return {"convolution": section}


def slower(factor: float) -> dict[str, list[float]]:
    """The same seconds, but ours."""
    return SECONDS | {"fedspike": [factor * s for s in SECONDS["fedspike"]]}


def test_the_documents_have_what_result_json_has(module: Any) -> None:
    """If not: python benchmarks/page.py"""
    page, kept = module("page"), module("result").stored()
    told = ""
    for document in page.PAGES:
        text = document.read_text(encoding="utf-8")
        assert page.filled(text, kept) == text, "run python benchmarks/page.py"
        told += text
    assert sorted(name for _, name, _ in page.BLOCK.findall(told)) == [
        *("convolution", "growth", "line", "round", "spoken")
    ]
    kept["round"]["contestants"]["fedspike"]["seconds"] = 12345
    text = page.PAGES[0].read_text(encoding="utf-8")
    assert page.filled(text, kept) != text


def test_a_table_says_who_what_and_where(module: Any) -> None:
    kept = module("result").summary(measured(module, SECONDS))
    text = module("table").round_tables(kept["convolution"])
    assert "Made up, 2 threads on 4 cores, torch 2.13.0; commit aaaaaaa, 2026-01-02." in text
    assert "Of the second convolution's inputs, 12.3 % were events." in text
    snn, ann = (part.splitlines() for part in text.split("ANN, "))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in snn if "|" in line]
    assert rows[0] == ["program", "seconds a round", "times FedSpike's", "accuracy after 4 rounds"]
    # ours first, then the fastest; medians of ratios within a repeat: 2, 4, 2 of the bound
    assert [row[1:] for row in rows[2:]] == [
        ["1 (1 to 2)", "", "77.1 %"],
        ["4 (2 to 4)", "2", ""],
        ["6 (5 to 8)", "5", "77.1 %"],
        ["8 (6 to 10)", "6", "77.1 %"],
    ]
    assert ann[-1] == "| torch, one device after another | 0.3 (0.2 to 0.4) | 3 | 77.1 % |"


def test_growth_has_a_row_for_each_value(module: Any) -> None:
    points = [
        {
            "axis": "width",
            "rival": who,
            "width": width,
            "seconds_per_1000_samples": cost,
            "peak_mb": 7.0,
        }
        for who, width, cost in (
            ("fedspike", 100, 0.1),
            ("fedspike", 400, 0.3),
            ("snntorch", 400, 2.0),
        )
    ]
    growth = {
        "points": points,
        "cost_per_sample_relative_to_10_clients": {"10000": 0.98},
        "environment": ENVIRONMENT,
    }
    kept = module("result").summary({"growth": growth})
    assert module("table").growth_table(kept["growth"]).splitlines()[-2:] == [
        "| hidden neurons | 100 | 0.1 |  |  | 7 |",
        "| hidden neurons | 400 | 0.3 |  | 2 | 7 |",
    ]


def test_all_take_turns_and_who_fails_at_first_is_left_out(
    module: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    rounds: list[tuple[str, int]] = []

    class Made:
        def __init__(self, name: str) -> None:
            self.name = name

        def round(self, number: int) -> None:
            if self.name == "compiled":
                raise ValueError("no compiler\nand more")
            rounds.append((self.name, number))

    contestants = {name: Made(name) for name in ("fedspike", "compiled", "snntorch")}
    turns = module("turns")
    seconds = turns.take_turns(
        contestants, 2, reckoned=lambda: {"bound": 3.0}, failures=(ValueError,)
    )
    who = ("fedspike", "snntorch")
    assert rounds == [(name, number) for number in (1, 2, 3) for name in who]
    assert [len(seconds[name]) for name in who] == [2, 2]
    assert seconds["bound"] == [3.0, 3.0]
    assert set(seconds) == {*who, "bound"}
    assert "compiled is left out: ValueError: no compiler\n" in capsys.readouterr().out
    with pytest.raises(ValueError, match="no compiler"):
        turns.take_turns(contestants, 2)


def test_the_history_has_a_line_for_each_commit_and_machine(module: Any, tmp_path: Path) -> None:
    history, summary = module("history"), module("result").summary
    lines = tmp_path / "history.jsonl"
    for environment in ({}, {"threads": 1}, {"git_commit": "b" * 40}):
        history.record(summary(measured(module, SECONDS, **environment)), lines)
    history.record(summary(measured(module, slower(2))), lines)  # once more
    first, second, last = history.read(lines)
    assert [line["commit"][0] for line in (first, second, last)] == ["a", "b", "a"]
    assert (first["threads"], last["threads"]) == (1, 2)
    # of SpikingJelly's ways the best one; the bound the other way round
    assert last["ratios"]["convolution"] == {"bound": 1.0, "ann_loop": 3.0, "spikingjelly": 2.5}
    assert set(last) == {"date", "commit", "cpu", "threads", "ratios"}


@pytest.mark.parametrize(
    ("factor", "environment", "code"),
    [
        (1.0, {}, 0),
        (1.09, {}, 0),
        (1.12, {}, 1),
        (3.0, {"threads": 1}, 0),
        (3.0, {"cpu": "Other"}, 0),
    ],
)
def test_a_ratio_that_is_a_tenth_worse_is_said(
    module: Any, tmp_path: Path, factor: float, environment: dict[str, Any], code: int
) -> None:
    """Of those who were measured on such a machine before."""
    history, summary = module("history"), module("result").summary
    lines = tmp_path / "history.jsonl"
    better = summary(measured(module, slower(0.5), date="2025-01-01", git_commit="c" * 40))
    for kept in (better, summary(measured(module, SECONDS))):  # the last one counts
        history.record(kept, lines)
    now = tmp_path / "engine.json"
    now.write_text(json.dumps(measured(module, slower(factor), git_commit="d" * 40, **environment)))
    program = (
        f"import runpy, sys; sys.path.insert(0, {str(BENCHMARKS)!r}); "
        f"sys.argv = ['history.py', {str(now)!r}, '--history', {str(lines)!r}]; "
        "runpy.run_module('history', run_name='__main__')"
    )
    run = python(program)
    assert run.returncode == code, run.stderr
    said = run.stdout.splitlines()
    if code:
        who = ("bound: only the convolutions, oneDNN's bare calls", "SpikingJelly, torch.compile")
        assert [who[0] in line for line in said] == [True, False]
        assert "FedSpike takes 12% longer than at aaaaaaa of 2026-01-02 (ratio 0.5 then" in said[0]
    elif environment:
        assert said == [
            "history.jsonl has nothing of this CPU and number of threads to compare with."
        ]
    else:
        assert said == ["No ratio is more than 10% worse than the last one of this machine."]
