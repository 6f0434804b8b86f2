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
from table import contestants_table, growth_table, machine, round_tables, seconds

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "performance.md")
BLOCK = re.compile(r"(<!-- measured: (\w+) -->\n).*?(<!-- end -->\n)", re.DOTALL)


def filled(text: str, kept: dict[str, Any]) -> str:
    """A document whose blocks `<!-- measured: NAME --> ... <!-- end -->` hold what was measured."""
    makers = {
        "short": lambda: in_short(kept),
        "round": lambda: round_tables(kept["round"]),
        "convolution": lambda: round_tables(kept["convolution"]),
        "growth": lambda: growth_table(kept["growth"]),
    }
    return BLOCK.sub(lambda block: f"{block[1]}\n{makers[block[2]]()}\n{block[3]}", text)


def in_short(kept: dict[str, Any]) -> str:
    """For the README: the founding study's round, and a sentence on each of the others."""
    section = kept["round"]
    work, who = section["work"], section["contestants"]
    intro = (
        f"The founding study's round, SNN, training only: {work['cohort']} devices x "
        f"{work['samples']:,} images x {work['time_steps']} time steps (`make bench`; "
        f"{machine(section)[:-1]}; float32, n = {who['fedspike']['repeats']} after a warm-up, medians "
        "and ranges; Flower ran in a process of its own, the others took turns in one process):"
    )
    table = contestants_table(section, ann=False, columns=("ratio", "accuracy"))
    others = "Ratios are medians of those within a round. "
    others += f"The ANN's round takes {seconds(who['ann_fedspike'], ' s')}"
    for name, words in {
        "ann_loop": ", one device after another {}",
        "ann_flower_simulation": ", in Flower's simulation {}",
        "ann_dense_bound": "; its dense matrix products alone take {}",
    }.items():
        if name in who:
            others += words.format(seconds(who[name], " s"))
    others += ". "
    if "convolution" in kept:
        others += _of_convolutions(kept["convolution"])
    if "growth" in kept:
        others += _of_growth(kept["growth"])
    return "\n".join((_wrapped(intro), table, _wrapped(others)))


def _of_convolutions(section: dict[str, Any]) -> str:
    who = section["contestants"]
    ratios = history.compared(who)
    rivals = {"spikingjelly": "SpikingJelly", "snntorch": "snnTorch"}
    beside = [
        f"{name} {ratios[key]:.3g} times that" for key, name in rivals.items() if key in ratios
    ]
    text = f"A round of a small convolutional SNN takes {seconds(who['fedspike'], ' s')}"
    return f"{', '.join((text, *beside))}. "


def _of_growth(section: dict[str, Any]) -> str:
    """What the fleet of 10,000 costs, as far as known."""
    text = ""
    if "10000" in section.get("relative", {}):
        text += (
            f"A sample costs {section['relative']['10000']:.2g} times as much in a fleet of 10,000 "
            "devices, of which 100 train in a round, as in a fleet of 10. "
        )
    for point in section["points"]:
        if point["axis"] == "clients" and point["value"] == 10_000 and "peak_mb" in point:
            text += f"A fleet of 10,000 devices takes {point['peak_mb'] / 1000:.2g} GB. "
    return text


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
