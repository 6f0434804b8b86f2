"""One federated round of the founding study, by ourselves and by others, and how its cost grows.

10 clients x 2,000 samples, T = 50, 784-100-10, batch 128, Adam, one epoch, then the average: training only,
data in memory, no evaluation. Every rival gets the same samples, start weights and threads, computes in
float32, and goes on with its own global model, so that after the last round its accuracy shows that it did
the work. In turn in one process, after a warm-up round each; Flower's rounds follow in a process of their own
(`flower_simulation.py` says why).

    make bench        # in an environment of its own, with the rivals of benchmarks/requirements.txt

Writes runs/bench/engine.json with every sample, the table engine.md and the chart engine.svg. `ratios` are
rival / ourselves, the median over the repeats (for Flower, the ratio of medians), but `dense_bound`, which
is ourselves / bound: under 1 is faster than dense matrix products allow.
"""

import argparse
import json
import os
import statistics
import time
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import flower_simulation
import growth
import point
import torch
from chart import draw
from phases import phases
from rivals import RIVALS
from table import table
from work import Work

from fedspike import engine
from fedspike.records.environment import environment

FLOWER = {"flower_simulation": "snntorch", "ann_flower_simulation": "ann"}
PEERS = ("snntorch", "spikingjelly", "flwr", "ray")


def dense_bound(work: Work) -> dict[str, float]:
    """Seconds that a round's matrix products alone need at the measured rate of a large sgemm."""
    a, b = torch.randn(3000, 3000), torch.randn(3000, 3000)
    seconds = []
    for _ in range(8):
        started = time.perf_counter()
        torch.mm(a, b)
        seconds.append(time.perf_counter() - started)
    rate = 2 * 3000**3 / min(seconds)
    # Layer 1: forward and weight gradient; layer 2: forward, weight gradient, gradient of its input.
    products = 2 * 784 * work.width + 3 * work.width * 10
    once = 2 * work.cohort * work.samples * products / rate
    return {"dense_bound": once * work.time_steps, "ann_dense_bound": once}


def measure_round(work: Work, repeats: int, threads: int) -> dict[str, Any]:
    """Everybody's rounds in turn, then each in a process of its own for memory and first round."""
    rivals = {name: build(work) for name, build in RIVALS.items()}
    names = (*rivals, *FLOWER, "dense_bound", "ann_dense_bound")
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for repeat in range(repeats + 1):  # the first is the warm-up
        for name, rival in rivals.items():
            started = time.perf_counter()
            rival.round(repeat + 1)
            if repeat:
                seconds[name].append(time.perf_counter() - started)
        if repeat:
            for name, bound in dense_bound(work).items():
                seconds[name].append(bound)
        say(f"round {repeat} of {repeats} by everybody")
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
    return result | {"ratios": ratios(seconds)}


def ratios(seconds: dict[str, list[float]]) -> dict[str, float]:
    """How many times as long as ourselves; for the bounds, how many times as long as they we take."""

    def paired(slow: str, fast: str) -> float:
        pairs = zip(seconds[slow], seconds[fast], strict=True)
        return statistics.median(a / b for a, b in pairs)

    def ours(name: str) -> str:
        return "ann_fedspike" if name.startswith("ann_") else "fedspike"

    result = {}
    for name in seconds:
        if name == ours(name):
            continue
        if name in FLOWER:
            medians = [statistics.median(seconds[who]) for who in (name, ours(name))]
            result[name] = medians[0] / medians[1]
        elif name.endswith("dense_bound"):
            result[name] = paired(ours(name), name)
        else:
            result[name] = paired(name, ours(name))
    return result


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
        "growth": points,
        "cost_per_sample_relative_to_10_clients": growth.per_sample_from_10_to_10000(points),
    }


def versions_and_hardware() -> dict[str, Any]:
    peers = {name: metadata.version(name) for name in PEERS}
    waiting = {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY")}
    return environment() | {"engine": engine.engine()} | peers | waiting


def write(result: dict[str, Any], output: Path) -> None:
    """Samples, table and chart, beside each other."""
    output.write_text(json.dumps(result, indent=1))
    output.with_suffix(".md").write_text(table(result))
    output.with_suffix(".svg").write_text(draw(result))


def say(what: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {what}", flush=True)


def main() -> None:
    """Measure, print a table, write the samples, draw."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--only", choices=("round", "growth"))
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--output", type=Path, default=Path("runs/bench/engine.json"))
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    output: Path = chosen.output
    output.parent.mkdir(parents=True, exist_ok=True)

    # What is not measured this time stays as it was, with the environment that it was measured in.
    result = json.loads(output.read_text()) if chosen.only and output.exists() else {}
    if chosen.only != "growth":
        result |= measure_round(Work(), chosen.repeats, chosen.threads)
        result |= {"environment": versions_and_hardware()}
        write(result, output)
    if chosen.only != "round":
        result |= measure_growth(chosen.repeats, chosen.threads)
        result |= {"growth_environment": versions_and_hardware()}
        write(result, output)
    print(table(result))
    print(
        "ratios", {name: float(f"{value:.3g}") for name, value in result.get("ratios", {}).items()}
    )


if __name__ == "__main__":
    main()
