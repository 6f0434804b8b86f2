"""A federated round on one NVIDIA GPU: ourselves, and snnTorch's modules one client after another.

    python benchmarks/gpu.py      # needs torch for CUDA, and snnTorch (the extra `reference`) for the rival

Data lie on the GPU for both, both compute in float32, and a round is timed from an idle GPU to an idle GPU,
without evaluation. Both train on from round to round; their accuracy after the last round stands beside the
seconds. Then each kernel alone, between two CUDA events. Writes runs/bench/gpu.json with every sample.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from work import BETA, Work

from fedspike.engine import triton_kernels as gpu
from fedspike.federation.rounds import rounds as simulated

try:
    from snntorch_loop import SPIKE_COUNT_LOSS, OneAfterAnother, SnnTorch, started
except ImportError:
    SnnTorch = None

# The founding study's round; then ten times the clients, and ten times those, with fewer images each.
WORKS = (
    Work(),
    Work(clients=100, cohort=100, samples=600),
    Work(clients=1000, cohort=1000, samples=60),
)
Rounds = Iterator[Callable[[], float]]  # after each round, what tells the accuracy
Start = Callable[[Work, int, str], Rounds]


def fedspike(work: Work, rounds: int, device: str) -> Rounds:
    """Round after round of the simulator."""
    for after in simulated(work.plan(work.snn, rounds), device=device):
        yield partial(work.accuracy, work.snn, after, device)


def one_after_another(work: Work, rounds: int, device: str) -> Rounds:
    """Every client trains its own copy in turn."""
    rival = OneAfterAnother(started(SnnTorch(work), work), SPIKE_COUNT_LOSS, work, device)
    for number in range(1, rounds + 1):
        rival.round(number)
        yield rival.accuracy


def measure(work: Work, who: dict[str, Start], repeats: int, device: str) -> dict[str, Any]:
    """Seconds of `repeats` rounds by everybody in turn, after a warm-up, and the accuracies at the end."""
    going = {name: start(work, repeats + 1, device) for name, start in who.items()}
    seconds: dict[str, list[float]] = {name: [] for name in who}
    accuracy: dict[str, Callable[[], float]] = {}
    peak_bytes = dict.fromkeys(who, 0)
    for _ in range(repeats + 1):
        for name, rounds in going.items():
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            held, started = torch.cuda.memory_allocated(), time.perf_counter()
            accuracy[name] = next(rounds)
            torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - started)
            peak_bytes[name] = max(peak_bytes[name], torch.cuda.max_memory_allocated() - held)
    return {
        name: {
            "first_round": first,  # with the compilation of the kernels, and the data's way to the GPU
            "seconds": samples,
            "median": statistics.median(samples),
            "accuracy": accuracy[name](),
            "peak_gpu_mb": peak_bytes[name] / 1e6,
        }
        for name, (first, *samples) in seconds.items()
    }


def milliseconds(function: Callable[[], Any], repeats: int = 20) -> list[float]:
    """Of a function that only gives the GPU work; after 3 warm-ups."""
    samples = []
    for repeat in range(repeats + 3):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        function()
        end.record()
        end.synchronize()
        if repeat >= 3:
            samples.append(start.elapsed_time(end))
    return samples


def kernels(work: Work, device: str) -> dict[str, dict[str, Any]]:
    """One minibatch step of the whole cohort; bytes are what must cross the memory bus at least."""
    k, steps = work.cohort, work.time_steps
    pixels = work.train_set[0][: k * work.batch].reshape(k, work.batch, -1).to(device)
    clients, zeros = tuple(range(k)), (0,) * k
    draws = steps * pixels.numel()
    currents = torch.randn(k, steps, work.batch, work.width, device=device).movedim(0, 1)
    currents.requires_grad_()
    spikes = gpu.lif(currents, BETA, 1.0, False)
    upstream = torch.randn_like(spikes)
    jobs: dict[str, tuple[Callable[[], Any], int]] = {
        "rate": (lambda: gpu.rate(pixels, (1, 2), 1, clients, zeros, steps), 4 * draws),
        "torch.rand < pixels": (
            lambda: (torch.rand(steps, *pixels.shape, device=device) < pixels).float(),
            4 * draws,
        ),
        "lif": (lambda: gpu.lif(currents, BETA, 1.0, False), 12 * currents.numel()),
        "lif backward": (
            lambda: torch.autograd.grad(spikes, currents, upstream, retain_graph=True),
            12 * currents.numel(),
        ),
    }
    measured = {}
    for name, (job, bytes_moved) in jobs.items():
        samples = milliseconds(job)
        median = statistics.median(samples)
        measured[name] = {"ms": samples, "median": median, "gb_per_s": bytes_moved / median / 1e6}
    return measured


def environment() -> dict[str, Any]:
    names = ("torch", "triton", "snntorch", "numpy")
    installed = {found.metadata["Name"] for found in metadata.distributions()}
    return {
        "device": torch.cuda.get_device_name(),
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in names if name in installed},
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
    }


def main() -> None:
    """Measure, print a table, write the samples."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--output", type=Path, default=Path("runs/bench/gpu.json"))
    chosen = options.parse_args()
    if not torch.cuda.is_available() or not gpu.AVAILABLE:
        raise SystemExit(f"nothing to measure: {gpu.WHY_NOT or 'torch finds no GPU'}")

    result: dict[str, Any] = {"environment": environment(), "rounds": []}
    print(result["environment"])
    for work in WORKS:
        who: dict[str, Start] = {"fedspike": fedspike}
        # A thousand clients in turn would take snnTorch minutes and show nothing new.
        if SnnTorch is not None and work.cohort <= 100:
            who["snntorch"] = one_after_another
        measured = measure(work, who, chosen.repeats, "cuda")
        for name, us in measured.items():
            print(
                f"{work.cohort:5} clients x {work.samples:4} images  {name:9} "
                f"median {us['median']:7.3f} s "
                f"({min(us['seconds']):.3f} to {max(us['seconds']):.3f}, n = {chosen.repeats})  "
                f"accuracy {us['accuracy']:.1%}  {us['peak_gpu_mb']:.0f} MB",
                flush=True,
            )
        ratio = None
        if "snntorch" in measured:
            pairs = zip(
                measured["snntorch"]["seconds"], measured["fedspike"]["seconds"], strict=True
            )
            ratio = statistics.median(theirs / ours for theirs, ours in pairs)
            print(f"      snnTorch takes {ratio:.1f} times as long")
        result["rounds"].append({"work": asdict(work), **measured, "ratio": ratio})
    result["kernels"] = kernels(WORKS[0], "cuda")
    for name, job in result["kernels"].items():
        print(f"{name:20} median {job['median']:7.3f} ms  {job['gb_per_s']:6.0f} GB/s")
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    chosen.output.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
