"""What was measured, as tables for people (Markdown), from what `result.py` keeps of it."""

from collections.abc import Iterator
from typing import Any

from result import ROUNDS
from turns import is_ann, is_bound, ours

PROGRAMS = {"fedspike": "FedSpike", "spikingjelly": "SpikingJelly", "snntorch": "snnTorch"}
NAMES = {
    "fedspike": "FedSpike",
    "plain_torch_stacked": "FedSpike without its kernels (stacked plain torch)",
    "spikingjelly": "SpikingJelly, multi-step, one device after another",
    "spikingjelly_channels_last": "SpikingJelly, channels last",
    "spikingjelly_compiled": "SpikingJelly, torch.compile",
    "spikingjelly_compiled_channels_last": "SpikingJelly, torch.compile, channels last",
    "snntorch": "snnTorch, one device after another",
    "flower_simulation": "Flower's simulation (Ray) of snnTorch devices",
    "dense_bound": "bound: only the dense matrix products, at the machine's best rate",
    "bound": "bound: only the convolutions, oneDNN's bare calls",
    "ann_fedspike": "FedSpike",
    "ann_plain_torch_stacked": "FedSpike without its kernels (stacked plain torch)",
    "ann_loop": "torch, one device after another",
    "ann_flower_simulation": "Flower's simulation (Ray) of torch devices",
    "ann_dense_bound": "bound: only the dense matrix products, at the machine's best rate",
    "ann_bound": "bound: only the convolutions, oneDNN's bare calls",
}
PACKAGES = {
    **{"torch": "torch", "snntorch": "snnTorch", "spikingjelly": "SpikingJelly"},
    **{"flwr": "Flower", "ray": "Ray"},
}
AXES = {
    "clients": "devices in the fleet (10, then 100 a round)",
    "time_steps": "time steps T",
    "width": "hidden neurons",
    "batch": "batch size",
    "density": "input spikes per pixel and step",
}
# Columns beside who and the seconds; those of which nothing is known are left out.
COLUMNS = {
    "ratio": "times FedSpike's",
    "accuracy": "accuracy",
    "first_round_seconds": "process start to first round, s",
    "peak_mb": "peak memory, MB",
}


def tables(kept: dict[str, Any]) -> str:
    """All that result.json has, or the summary of an engine.json."""
    makers = dict.fromkeys(ROUNDS, round_tables) | {"growth": growth_table}
    return "\n".join(f"## {name}\n\n{makers[name](kept[name])}" for name in makers if name in kept)


def round_tables(section: dict[str, Any]) -> str:
    """Of a round: where, what, the SNN, the ANN, and where our time went."""
    work, rate = section["work"], section.get("spike_rate")
    samples = "recordings" if "packed_mb" in section else "images"
    size = f"{work['cohort']} devices x {work['samples']:,} {samples}"
    parts = [f"Measured on {machine(section)}\n"]
    if rate is not None:
        parts += [f"Of the second convolution's inputs, {100 * rate:.1f} % were events.\n"]
    if "packed_mb" in section:
        each, size_mb = section["spikes_per_recording"], section["packed_mb"]
        parts += [
            f"A recording has {each:,.0f} spikes; all of them take {size_mb:.0f} MB, packed once.\n"
        ]
    parts += [f"SNN, {size} x {work['time_steps']} steps:\n", contestants_table(section, ann=False)]
    parts += [f"ANN, {size}:\n", contestants_table(section, ann=True)]
    if "phases" in section:
        shares = [
            (f"`{name}`", f"{100 * share:.1f} %") for name, share in section["phases"].items()
        ]
        parts += ["FedSpike's SNN round, share of the main thread's time:\n"]
        parts += [markdown(("operator", "share"), shares)]
    return "\n".join(parts)


def contestants_table(section: dict[str, Any], *, ann: bool) -> str:
    """Who took how long, of one network; ourselves first, then whoever is faster."""
    of = {name: f for name, f in section["contestants"].items() if is_ann(name) == ann}
    order = sorted(of, key=lambda name: (name != ours(name), of[name]["seconds"]))
    shown = [key for key in COLUMNS if any(key in figures for figures in of.values())]
    titles = ["program", "seconds a round", *(COLUMNS[key] for key in shown)]
    if "accuracy" in shown:
        rounds = 1 + max(figures["repeats"] for figures in of.values())
        titles[titles.index("accuracy")] += f" after {rounds} rounds"
    return markdown(titles, (_row(name, of[name], shown) for name in order))


def _row(name: str, figures: dict[str, Any], shown: list[str]) -> list[str]:
    forms = {"ratio": _times(name, figures), "accuracy": "{:.1f} %", "peak_mb": "{:,.0f}"}
    known = figures | {"accuracy": 100 * figures.get("accuracy", 0)}
    cells = [forms.get(key, "{:.3g}").format(known[key]) if key in figures else "" for key in shown]
    return [NAMES[name], seconds(figures), *cells]


def _times(name: str, figures: dict[str, Any]) -> str:
    """Of a bound the ratio is kept as ours / bound, the other way round."""
    ratio = figures.get("ratio")
    return f"{1 / ratio:.3g}" if ratio and is_bound(name) else "{:.3g}"


def seconds(figures: dict[str, Any], unit: str = "") -> str:
    """Median and range."""
    low, high = figures.get("range", (None, None))
    around = "" if low is None else f" ({low:.3g} to {high:.3g})"
    return f"{figures['seconds']:.3g}{unit}{around}"


def growth_table(section: dict[str, Any]) -> str:
    """What varies, and what a sample costs whom."""
    points = section["points"]
    by_place: dict[tuple[str, float], dict[str, Any]] = {}
    for point in points:
        by_place.setdefault((point["axis"], point["value"]), {})[point["rival"]] = point
    titles = ["varies", "value", *PROGRAMS.values(), "FedSpike's peak memory, MB"]
    rows = []
    for (axis, value), of in by_place.items():
        costs = [of.get(name, {}).get("seconds_per_1000_samples") for name in PROGRAMS]
        memory = of.get("fedspike", {}).get("peak_mb")
        cells = ["" if cost is None else f"{cost:.3g}" for cost in costs]
        cells += ["" if memory is None else f"{memory:,.0f}"]
        rows.append([AXES[axis], f"{value:,}", *cells])
    text = (
        "Seconds per 1,000 samples: 10 devices (the others: 2) x 600 images, T = 50, width 100, "
        f"batch 128, but for what varies. Measured on {machine(section)}\n"
    )
    return f"{text}\n{markdown(titles, rows)}"


def machine(section: dict[str, Any]) -> str:
    """Where and with what it was measured, as the end of a sentence."""
    known = section["environment"]
    threads, cores = (
        f"{known[key]} {key[: -1 if known[key] == 1 else None]}" for key in ("threads", "cores")
    )
    parts = [f"{known['cpu']}, {threads} on {cores}"]
    parts += [known["engine"]] if "engine" in known else []
    parts += [f"{name} {known[key]}" for key, name in PACKAGES.items() if key in known]
    return f"{', '.join(parts)}; {', '.join(_when(known))}."


def _when(known: dict[str, Any]) -> Iterator[str]:
    if "git_commit" in known:
        yield f"commit {known['git_commit'][:7]}{' with changes' * (' ' in known['git_commit'])}"
    yield known["date"]


def markdown(titles: Any, rows: Any) -> str:
    """A table, with the end of its last line."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines).replace(" --- ", "---")
