"""What was measured, as a table for people (Markdown, so that it can be pasted)."""

import statistics
from typing import Any

NAMES = {
    "fedspike": "FedSpike",
    "plain_torch_stacked": "FedSpike without its kernels (stacked plain torch)",
    "spikingjelly": "SpikingJelly, multi-step, one client after another",
    "snntorch": "snnTorch, one client after another",
    "flower_simulation": "Flower's simulation (Ray) of snnTorch clients",
    "dense_bound": "bound: only the dense matrix products",
    "ann_fedspike": "FedSpike",
    "ann_plain_torch_stacked": "FedSpike without its kernels (stacked plain torch)",
    "ann_loop": "torch, one client after another",
    "ann_flower_simulation": "Flower's simulation (Ray) of torch clients",
    "ann_dense_bound": "bound: only the dense matrix products",
}


def table(result: dict[str, Any]) -> str:
    """Everything that `result`, the content of engine.json, holds."""
    parts = []
    if "seconds" in result:
        parts += [_machine(result["environment"]), _rounds(result, "SNN"), _rounds(result, "ANN")]
        parts += [_phases(result["phases"])]
    if "growth" in result:
        parts += [_growth(result["growth"])]
    return "\n\n".join(parts) + "\n"


def _machine(environment: dict[str, Any]) -> str:
    threads, cpu, engine = (environment[key] for key in ("threads", "cpu", "engine"))
    packages = ("fedspike", "torch", "snntorch", "spikingjelly", "flwr", "ray")
    versions = ", ".join(f"{name} {environment[name]}" for name in packages)
    return f"{threads} threads of {environment['cores']} cores, {cpu}; {engine}; {versions}."


def _rounds(result: dict[str, Any], network: str) -> str:
    work = result["work"]
    lines = [
        f"{network}: {work['cohort']} clients x {work['samples']} samples"
        + (f" x {work['time_steps']} steps" if network == "SNN" else ""),
        "",
        "| who | seconds a round, median (range) | n | times FedSpike | accuracy after n + 1 rounds "
        "| process start to first round, s | peak memory, MB |",
        "|---|---|---|---|---|---|---|",
    ]
    ours = "ann_fedspike" if network == "ANN" else "fedspike"
    base = statistics.median(result["seconds"][ours])
    for name, samples in result["seconds"].items():
        if name.startswith("ann_") != (network == "ANN"):
            continue
        median = statistics.median(samples)
        cells = [
            NAMES[name],
            f"{median:.3f} ({min(samples):.3f} to {max(samples):.3f})",
            str(len(samples)),
            f"{median / base:.2f}",
            _figure(result["accuracy"].get(name), ".1%"),
            _figure(result["first_round_seconds"].get(name), ".1f"),
            _figure(result["peak_mb"].get(name), ".0f"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _phases(phases: dict[str, float]) -> str:
    lines = [
        "FedSpike's SNN round, share of the main thread's time",
        "",
        "| operator | share |",
        "|---|---|",
    ]
    return "\n".join(lines + [f"| {name} | {share:.1%} |" for name, share in phases.items()])


def _growth(points: list[dict[str, Any]]) -> str:
    lines = [
        "Growth: 10 clients (the loops: 2) x 600 samples, T = 50, width 100, batch 128, but for what varies",
        "",
        "| varies | value | who | seconds per 1,000 samples | n | peak memory, MB |",
        "|---|---|---|---|---|---|",
    ]
    for p in points:
        who = {"fedspike": "FedSpike", "spikingjelly": "SpikingJelly", "snntorch": "snnTorch"}
        cells = [
            p["axis"].replace("_", " "),
            f"{p[p['axis']]:,}",
            who[p["rival"]],
            f"{p['seconds_per_1000_samples']:.3f}",
            str(len(p["seconds"])),
            _figure(p["peak_mb"], ".0f"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _figure(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
