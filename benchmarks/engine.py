"""Rounds by ourselves and by others, and how their cost grows; `make bench` runs it.

`round`: one federated round of the founding study. 10 clients x 2,000 samples, T = 50, 784-100-10, batch 128,
Adam, one epoch, then the average: training only, data in memory, no evaluation. Every rival gets the same
samples, start weights and threads, computes in float32, and goes on with its own global model, so that after
the last round its accuracy shows that it did the work. In turn in one process, after a warm-up round each;
Flower's rounds follow in a process of their own (`flower_simulation.py` says why).
`convolution`: the same of a small convolutional network (`convolution.py`).
`spoken`: a round of recordings of events (`spoken.py`).
`growth`: how the cost of a sample grows (`growth.py`).

    make bench        # in an environment of its own, with the rivals of benchmarks/requirements.txt

Writes runs/bench/engine.json with every sample, the tables engine.md and the chart engine.svg. `ratios` are
rival / ourselves, the median over the repeats (for Flower, the ratio of medians), but those of bounds are
ourselves / bound: under 1 is faster than, say, dense matrix products allow. `page.py` takes what is measured
to the documents, and `history.py` says whether ratios got worse.
"""

import argparse
import json
import os
import time
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import convolution
import flower_simulation
import growth
import point
import spoken
import torch
from chart import draw
from msgspec import structs
from phases import phases
from result import summary
from rivals import RIVALS
from table import tables
from turns import duration, ratios, say, take_turns
from work import Work

from fedspike import engine
from fedspike.records.environment import environment

FLOWER = {"flower_simulation": "snntorch", "ann_flower_simulation": "ann"}
PEERS = ("snntorch", "spikingjelly", "flwr", "ray")


def dense_bound(work: Work) -> dict[str, float]:
    """Seconds that a round's matrix products alone need at the measured rate of a large sgemm."""
    a, b = torch.randn(3000, 3000), torch.randn(3000, 3000)
    seconds = [duration(lambda _: torch.mm(a, b), 0) for _ in range(8)]
    rate = 2 * 3000**3 / min(seconds)
    # Layer 1: forward and weight gradient; layer 2: forward, weight gradient, gradient of its input.
    products = 2 * 784 * work.width + 3 * work.width * 10
    once = 2 * work.cohort * work.samples * products / rate
    return {"dense_bound": once * work.time_steps, "ann_dense_bound": once}


def measure_round(work: Work, repeats: int, threads: int) -> dict[str, Any]:
    """Everybody's rounds in turn, then each in a process of its own for memory and first round."""
    rivals = {name: build(work) for name, build in RIVALS.items()}
    seconds = take_turns(rivals, repeats, reckoned=lambda: dense_bound(work))
    result: dict[str, Any] = {"work": asdict(work), "seconds": seconds}
    result["accuracy"] = {name: rival.accuracy() for name, rival in rivals.items()}
    result["phases"] = phases(rivals["fedspike"], repeats + 2)

    alone = {name: point.measure(name, work, 0, threads) for name in rivals}
    for name, model in FLOWER.items():
        alone[name] = flower_simulation.measure(model, work, repeats, threads)
        seconds[name] = alone[name]["seconds"]
        result["accuracy"][name] = alone[name]["accuracy"]
        say(name)
    for figure in ("first_round_seconds", "peak_mb"):
        result[figure] = {name: measured[figure] for name, measured in alone.items()}
    return result | {"ratios": ratios(seconds, apart=FLOWER)}


def measure_growth(repeats: int, threads: int) -> dict[str, Any]:
    """All points of the growth curves."""
    points = []
    for measured in growth.grow(repeats, threads):
        points.append(measured)
        axis, rival = measured["axis"], measured["rival"]
        say(
            f"{rival}, {axis} = {measured[axis]}: {measured['seconds_per_1000_samples']:.3f} s per 1,000"
        )
    return {
        "points": points,
        "cost_per_sample_relative_to_10_clients": growth.per_sample_from_10_to_10000(points),
    }


def versions_and_hardware() -> dict[str, Any]:
    peers = {name: metadata.version(name) for name in PEERS}
    waiting = {name: os.environ.get(name) for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    now = {"engine": engine.engine(), "date": time.strftime("%Y-%m-%d", time.gmtime())}
    return structs.asdict(environment()) | now | peers | waiting


def write(result: dict[str, Any], output: Path) -> None:
    """Samples, tables and chart, beside each other."""
    output.write_text(json.dumps(result, indent=1))
    output.with_suffix(".md").write_text(tables(summary(result)))
    output.with_suffix(".svg").write_text(draw(result))


def main() -> None:
    """Measure, write the samples, draw, print the tables."""
    sections = {
        "round": lambda repeats, threads: measure_round(Work(), repeats, threads),
        "convolution": lambda repeats, _: convolution.measure(repeats),
        "spoken": lambda repeats, _: spoken.measure(repeats),
        "growth": measure_growth,
    }
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--only", choices=sections)
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--output", type=Path, default=Path("runs/bench/engine.json"))
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    output: Path = chosen.output
    output.parent.mkdir(parents=True, exist_ok=True)

    # What is not measured this time stays as it was, with the environment that it was measured in.
    result = json.loads(output.read_text()) if chosen.only and output.exists() else {}
    for section in [chosen.only] if chosen.only else sections:
        measured = sections[section](chosen.repeats, chosen.threads)
        result[section] = measured | {"environment": versions_and_hardware()}
        write(result, output)
    print(tables(summary(result)))


if __name__ == "__main__":
    main()
