"""How the cost of a sample grows: with the fleet, the time steps, the width, the batch, the spike density.

Everything but one number stays as it is in `BASE`: the founding study's network, 10 clients with 600 images
each. Each point is a process of its own (`point.py`), one warm-up round and `repeats` measured ones. The
rivals train client after client, so a sample costs them the same whatever the fleet; two clients suffice
to see it.
"""

import statistics
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import point
from work import Work

BASE = Work(samples=600)
LOOPS = ("spikingjelly", "snntorch")

# What varies, its values for ourselves, and for the loops.
AXES: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "clients": ((10, 100, 1_000, 10_000, 1_000_000), ()),
    "time_steps": ((10, 25, 50, 100), (10, 50, 100)),
    "width": ((100, 400, 1_600), (400, 1_600)),
    "batch": ((32, 128, 512), (32, 512)),
    "density": ((0.02, 0.07, 0.14, 0.29, 0.5), (0.02, 0.5)),
}


def grow(repeats: int, threads: int) -> Iterator[dict[str, Any]]:
    """Yield every point as it is measured."""
    for axis, (ours, loops) in AXES.items():
        for value in ours:
            work = replace(BASE, **{axis: value})
            if axis == "clients":
                work = replace(work, cohort=min(work.clients, 100))
            yield measured(axis, "fedspike", work, repeats, threads)
        for value in loops:
            for rival in LOOPS:
                work = replace(BASE, clients=2, cohort=2, **{axis: value})
                yield measured(axis, rival, work, 1, threads)


def measured(axis: str, rival: str, work: Work, repeats: int, threads: int) -> dict[str, Any]:
    """A point: what varied, for whom, the work, and its cost."""
    result = point.measure(rival, work, repeats, threads)
    per_thousand = 1000 / (work.cohort * work.samples)
    return {
        **{"axis": axis, "rival": rival, **asdict(work), **result},
        "seconds_per_1000_samples": statistics.median(result["seconds"]) * per_thousand,
    }


def per_sample_from_10_to_10000(points: list[dict[str, Any]]) -> dict[str, float]:
    """Cost of a sample relative to that in the fleet of 10; the goal is to stay within 0.8 to 1.2."""
    costs = {p["clients"]: p["seconds_per_1000_samples"] for p in points if p["axis"] == "clients"}
    return {str(clients): cost / costs[10] for clients, cost in costs.items()}
