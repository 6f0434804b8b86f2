"""The tables of README.md and docs/performance.md, made from result.json.

python benchmarks/page.py                                   # after a change to result.json
python benchmarks/page.py --record runs/bench/engine.json   # what was measured, also to the history
"""

import argparse
import json
import re
import textwrap
from pathlib import Path
from typing import Any

import history
from result import RESULT, stored, summary
from table import growth_table, round_tables, seconds

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "performance.md")
BLOCK = re.compile(r"(<!-- measured: (\w+) -->\n).*?(<!-- end -->\n)", re.DOTALL)


def filled(text: str, kept: dict[str, Any]) -> str:
    """A document whose blocks `<!-- measured: NAME --> ... <!-- end -->` hold what was measured."""
    makers = {
        "line": lambda: in_a_line(kept),
        "round": lambda: round_tables(kept["round"]),
        "convolution": lambda: round_tables(kept["convolution"]),
        "spoken": lambda: round_tables(kept["spoken"]),
        "growth": lambda: growth_table(kept["growth"]),
    }
    return BLOCK.sub(lambda block: f"{block[1]}\n{makers[block[2]]()}\n{block[3]}", text)


def in_a_line(kept: dict[str, Any]) -> str:
    """For the README: the founding study's round, and the convolutional one, beside the others."""
    section = kept["round"]
    work = section["work"]
    text = (
        f"A round of the founding study, SNN, training only, {work['cohort']} devices x "
        f"{work['samples']:,} images x {work['time_steps']} time steps: "
    )
    text += _beside(section["contestants"]) + ". "
    if "convolution" in kept:
        text += "Of a small convolutional SNN: "
        text += _beside(kept["convolution"]["contestants"]) + ". "
    return _wrapped(f"{text}{section['environment']['cpu']}; [more](docs/performance.md).")


RIVALS = {
    "spikingjelly": "SpikingJelly {} times as long",
    "flower_simulation": "Flower's simulation of snnTorch {} times",
    "snntorch": "snnTorch {} times",
}


def _beside(who: dict[str, Any]) -> str:
    ratios = history.compared(who)
    beside = [words.format(f"{ratios[key]:.3g}") for key, words in RIVALS.items() if key in ratios]
    return "; ".join((seconds(who["fedspike"], " s"), *beside))


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 115, break_long_words=False, break_on_hyphens=False) + "\n"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--record", type=Path, metavar="ENGINE_JSON")
    chosen = options.parse_args()
    if chosen.record:
        new = summary(json.loads(chosen.record.read_text(encoding="utf-8")))
        RESULT.write_text(json.dumps(stored() | new, indent=1) + "\n", encoding="utf-8")
        history.record(new)
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8"), stored()), encoding="utf-8")


if __name__ == "__main__":
    main()
