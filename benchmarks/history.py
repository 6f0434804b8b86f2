"""The ratios of each measured commit, a line each in history.jsonl, and whether they got worse.

    python benchmarks/history.py [runs/bench/engine.json]    # exit code 1 if one is more than 10 % worse

Seconds of two days differ by what else a machine does; ratios to those who took turns with us do not. So only
ratios are kept, and only those of the same CPU and number of threads are compared.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from result import ROUNDS, summary
from table import NAMES
from turns import best, is_ann, is_bound

HISTORY = Path(__file__).with_name("history.jsonl")
TOLERANCE = 0.1
PLAIN = ("plain_torch_stacked", "ann_plain_torch_stacked")  # ourselves, without kernels
MACHINE = ("cpu", "threads")
Line = dict[str, Any]


def read(history: Path = HISTORY) -> list[Line]:
    """All lines, the oldest first."""
    lines = history.read_text(encoding="utf-8").splitlines() if history.exists() else []
    return [json.loads(line) for line in lines]


def lines_of(kept: dict[str, Any]) -> list[Line]:
    """A line for each commit, CPU and number of threads of the rounds that were kept."""
    lines: dict[tuple[Any, ...], Line] = {}
    for section in (name for name in ROUNDS if name in kept):
        known = kept[section]["environment"]
        line = {
            "date": known["date"],
            "commit": known.get("git_commit"),
            **{key: known[key] for key in MACHINE},
            "ratios": {},
        }
        of_commit = lines.setdefault(_key(line), line)
        of_commit["ratios"][section] = compared(kept[section]["contestants"])
    return list(lines.values())


def compared(contestants: dict[str, Any]) -> dict[str, float]:
    """The ratios to rivals and bounds; of SpikingJelly's ways the best one's."""
    ratios = {
        name: figures["ratio"]
        for name, figures in contestants.items()
        if "ratio" in figures and name not in PLAIN
    }
    ways = [name for name in ratios if name.startswith("spikingjelly")]
    if ways:
        fastest = best({name: [contestants[name]["seconds"]] for name in ways}, ways)
        found = ratios[fastest]
        ratios = {name: ratio for name, ratio in ratios.items() if name not in ways}
        ratios["spikingjelly"] = found
    return ratios


def record(kept: dict[str, Any], history: Path = HISTORY) -> None:
    """Append the lines; a commit that was measured before on such a machine keeps one line, the new one."""
    lines = {_key(line): line for line in read(history)}
    for line in lines_of(kept):
        before = lines.pop(_key(line), {"ratios": {}})
        lines[_key(line)] = line | {"ratios": before["ratios"] | line["ratios"]}
    history.write_text("".join(f"{json.dumps(line)}\n" for line in lines.values()), "utf-8")


def _key(line: Line) -> tuple[Any, ...]:
    return (line["commit"], *(line[key] for key in MACHINE))


def worse(lines: Iterable[Line], history: list[Line]) -> Iterator[str]:
    """A sentence for each ratio that is too much worse than the last one of such a machine."""
    for line in lines:
        for section, ratios in line["ratios"].items():
            for name, now in ratios.items():
                last = _last(history, line, section, name)
                if last is None:
                    continue
                before = last["ratios"][section][name]
                growth = (now / before if is_bound(name) else before / now) - 1
                if growth > TOLERANCE:
                    network = "ANN" if is_ann(name) else "SNN"
                    yield (
                        f"{section}, {network}, beside {NAMES[name]}: FedSpike takes {growth:.0%} longer "
                        f"than at {_commit(last)} (ratio {before:.3g} then, {now:.3g} now)."
                    )


def _last(history: list[Line], line: Line, section: str, name: str) -> Line | None:
    """The last line of such a machine that has this ratio."""
    fitting = [
        old
        for old in history
        if all(old[key] == line[key] for key in MACHINE) and name in old["ratios"].get(section, {})
    ]
    return fitting[-1] if fitting else None


def _commit(line: Line) -> str:
    return f"{(line['commit'] or 'no commit')[:7]} of {line['date']}"


def check(lines: list[Line], history: list[Line]) -> int:
    """Say what got worse; the exit code."""
    if not any(
        _last(history, line, section, name)
        for line in lines
        for section, ratios in line["ratios"].items()
        for name in ratios
    ):
        print("history.jsonl has nothing of this CPU and number of threads to compare with.")
        return 0
    sentences = list(worse(lines, history))
    for sentence in sentences:
        print(f"Worse: {sentence}")
    if not sentences:
        print(f"No ratio is more than {TOLERANCE:.0%} worse than the last one of this machine.")
    return 1 if sentences else 0


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("measured", type=Path, nargs="?", default="runs/bench/engine.json")
    options.add_argument("--history", type=Path, default=HISTORY)
    chosen = options.parse_args()
    measured = json.loads(chosen.measured.read_text(encoding="utf-8"))
    return check(lines_of(summary(measured)), read(chosen.history))


if __name__ == "__main__":
    sys.exit(main())
