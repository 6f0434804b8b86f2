"""Bills of finished runs as text to read."""

import math
import statistics
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from fedspike.energy.estimate import ends, estimate

Record = dict[str, Any]
WIDTH = 100
Unpriced = dict[str, list[str]]
"""What has no price -> the profiles in which it has none."""
NETWORKS = {"ann": "ANN", "qann": "quantised ANN", "snn": "SNN"}
LEVELS = {
    "study": "multiply-accumulates and accumulates of the forward pass alone",
    "compute": "all arithmetic of encoding, forward pass and neurons",
    "memory": "compute and its reads and writes",
    "training": "memory and backward passes, optimiser, aggregation",
    "communication": "training and the bytes sent and received",
}
WHAT_IT_IS_NOT = (
    "What these figures are not: a measurement. They are counts of what was really computed times prices"
    " that others published, for other chips than yours, without leakage, clock, control and idle time."
    " The verdict belongs to the prices: where it changes from one row to the next, so it would between"
    " chips. How long or how much this computer worked to simulate the devices says nothing about either"
    " network on neuromorphic or any other hardware. What has no price is missing from the sums."
)


def text(found: Record) -> str:
    """All tables: each spiking network beside the conventional ones, or every run alone."""
    lines = list(_conditions(found))
    if found["comparisons"]:
        for comparison in found["comparisons"]:
            lines += _comparison(comparison, found)
        lines += _published(found)
    else:
        for run in found["runs"]:
            lines += _alone(run, found)
    lines += _evaluation(found)
    return "\n".join([*lines, *textwrap.wrap(WHAT_IT_IS_NOT, WIDTH), ""])


def _conditions(found: Record) -> Iterator[str]:
    yield "Modelled energy in millijoule, all devices of a mean round together."
    if found["skip_zeros"]:
        yield "Conventional networks on hardware that leaves out products with zero."
    if any(len(comparison["seeds"]) > 1 for comparison in found["comparisons"]):
        yield "Means over the seeds, of accuracies and factors with their 95 % interval over them."
    yield ""


def _comparison(comparison: Record, found: Record) -> Iterator[str]:
    """Two networks side by side, a table for each level."""
    runs = {run["name"]: run for run in found["runs"]}
    pairs = [[runs[name] for name in pair] for pair in comparison["runs"]]
    ann, snn = (NETWORKS[network] for network in comparison["networks"])
    seeds = f"{len(pairs)} seed{'s' if len(pairs) > 1 else ''}"
    title = f"{comparison['setting']}: {snn} beside {ann}, {seeds}"
    yield from (title, "=" * len(title), "")
    for side, name in ((0, ann), (1, snn)):
        yield f"{name}: {_reached([pair[side] for pair in pairs])}"
    yield ""
    judged = {(one["profile"], one["level"]): one for one in comparison["verdicts"]}
    target, said = f"{pairs[0][0]['target_accuracy']:.4g}", set[tuple[str, str]]()
    for level in found["levels"]:
        rows = [
            ["", f"{ann} mJ", f"{snn} mJ", "cheaper", "by", f"{ann} to {target}", f"{snn} to it"]
        ]
        unpriced: Unpriced = {}
        for profile in found["profiles"]:
            if (profile, level) in judged:
                one = judged[profile, level]
                sides = list(
                    zip(*(_entries(pair, profile, level, found) for pair in pairs), strict=True)
                )
                known = [_is_priced(run, profile) for run in pairs[0]]
                rows.append([profile, *map(_energy, sides, known), *_winner(one, ann, snn)])
                rows[-1] += map(_until, sides, known)
                _note(unpriced, sides, profile, (ann, snn), said)
        yield from _level(level, rows, unpriced, found)
    yield from _spikes(comparison, pairs)
    yield from _break_even(comparison)


def _alone(run: Record, found: Record) -> Iterator[str]:
    """A run without another one to stand beside."""
    yield from (run["name"], "=" * len(run["name"]), "", f"{_reached([run])}", "")
    target, said = f"{run['target_accuracy']:.4g}", set[tuple[str, str]]()
    for level in found["levels"]:
        rows: list[list[str]] = [["", "low mJ", "nominal", "high", f"nominal to {target}"]]
        unpriced: Unpriced = {}
        for profile in found["profiles"]:
            for entry in _entries([run], profile, level, found):
                known = _is_priced(run, profile)
                energies = [_number(entry[f"{end}_mj"]) for end in ("low", "nominal", "high")]
                energies = energies if known else ["", "not priced", ""]
                rows.append([profile, *energies, _until([entry], known)])
                _note(unpriced, [[entry]], profile, (NETWORKS[run["network"]],), said)
        yield from _level(level, rows, unpriced, found)


def _level(level: str, rows: list[list[str]], unpriced: Unpriced, found: Record) -> Iterator[str]:
    if len(rows) == 1:
        return
    by = f", by {found['radio']}" if level == "communication" else ""
    yield f"{level}: {LEVELS[level]}{by}"
    yield from _table(rows)
    if any(cell.endswith("*") for row in rows for cell in row):
        yield "  * some of its work has no price here: each is named once, at its first level"
    terms: dict[tuple[str, ...], list[str]] = {}
    for term, profiles in unpriced.items():
        terms.setdefault(tuple(profiles), []).append(term)
    for where, those in terms.items():
        everywhere = len(where) == len(rows) - 1 > 1
        names = "any of them" if everywhere else ", ".join(where)
        note = f"no price in {names}: {', '.join(those)}"
        yield from textwrap.wrap(note, WIDTH, initial_indent="  ", subsequent_indent="    ")
    yield ""


def _table(rows: list[list[str]], names: int = 1) -> Iterator[str]:
    """Columns side by side, the first ones flush left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            f"{cell:{'<' if place < names else '>'}{width}}"
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield f"  {'  '.join(cells)}".rstrip()


def _spikes(comparison: Record, pairs: list[list[Record]]) -> Iterator[str]:
    """Spikes per synapse, to hold beside the thresholds of others."""
    phi = statistics.fmean(snn["events_per_synapse"] for _, snn in pairs)
    steps = comparison["time_steps"]
    yield f"Spikes of the SNN: {_number(phi)} per synapse and inference, {_number(phi / steps)} a time step"
    yield ""


def _published(found: Record) -> Iterator[str]:
    """What others say of the spikes at which the verdict turns."""
    yield "Published thresholds, below which an SNN is said to be cheaper:"
    for threshold in found["published"]:
        low, high = (f"{threshold[end]:g}" for end in ("low", "high"))
        value = low if low == high else f"{low} to {high}"
        note = f" ({threshold['note']})" if threshold["note"] else ""
        words = f"{value} {threshold['unit']}{note}: {threshold['source']}"
        yield from textwrap.wrap(words, WIDTH, initial_indent="  ", subsequent_indent="    ")
    yield ""


def _break_even(comparison: Record) -> Iterator[str]:
    """Each layer of this network beside the spikes, and the time steps, at which it would turn."""
    rows = [["", "layer", "level", "spikes", "even at", "a time step", "T", "even at T"]]
    rows += [
        [
            *(one["profile"], one["layer"], one["level"]),
            *(_number(one["spikes"]), _even(one["spikes_even"]), _number(one["rate"])),
            *(str(one["time_steps"]), _even(one["time_steps_even"])),
        ]
        for one in comparison["break_even"]
    ]
    if len(rows) > 1:
        other = NETWORKS[comparison["networks"][0]]
        yield f"Break-even with the dense {other}: below so many spikes per synapse and inference, or"
        yield "time steps at the same rate, the SNN would be cheaper"
        yield from (*_table(rows, names=3), "")


def _evaluation(found: Record) -> Iterator[str]:
    """What the server pays for: the mean over the runs of each kind."""
    kinds = dict.fromkeys(run["network"] for run in found["runs"])
    rows = [["", *(f"{NETWORKS[kind]} mJ" for kind in kinds)]]
    for profile in found["profiles"]:
        sides = [[run for run in found["runs"] if run["network"] == kind] for kind in kinds]
        rows.append([profile])
        for side in sides:
            bills = [run["bill_evaluation"][profile] for run in side]
            rows[-1].append(_energy(bills, _is_priced(side[0], profile)))
    yield "The test after each round: inference with memory, the server's, and in no figure above"
    yield from (*_table(rows), "")


def _reached(runs: Sequence[Record]) -> str:
    accuracy = estimate([run["final_accuracy"] for run in runs])
    half = "" if accuracy.half_width is None else f" ± {accuracy.half_width:.1%}"
    words = f"accuracy {accuracy.mean:.1%}{half} after {runs[0]['rounds']} rounds"
    rounds = [run["rounds_to_target"] for run in runs]
    target = f"{runs[0]['target_accuracy']:.4g}"
    reached = [n for n in rounds if n is not None]
    if not reached:
        return f"{words}, target {target} never reached"
    when = f"in round {statistics.fmean(reached):.4g}"
    missed = "" if len(reached) == len(rounds) else f" ({len(reached)} of {len(rounds)} seeds)"
    return f"{words}, target {target} reached {when}{missed}"


def _entries(runs: Sequence[Record], profile: str, level: str, found: Record) -> list[Record]:
    """The bill of each run that has this profile and level."""
    key = f"communication:{found['radio']}" if level == "communication" else level
    return [run["bill"][profile][key] for run in runs if key in run["bill"].get(profile, {})]


def _is_priced(run: Record, profile: str) -> bool:
    """Whether its synaptic operations have a price; else an energy says nothing."""
    return profile not in run["synapses_not_priced"]


def _energy(side: Sequence[Record], is_priced: bool) -> str:
    """The mean over seeds."""
    if not is_priced:
        return "not priced"
    return _number(statistics.fmean(entry["nominal_mj"] for entry in side))


def _winner(judged: Record, ann: str, snn: str) -> list[str]:
    if judged["winner"] not in ("ann", "snn"):
        return [judged["winner"], ""]
    star = "*" if judged["could_flip"] else ""
    name = {"ann": ann, "snn": snn}[judged["winner"]] + star
    if judged["factor"] is None:
        return [name, "any factor"]
    by = _factor(judged["factor"])
    if judged["interval"] is not None:
        low, high = judged["interval"]
        by += f" ({ends(low, math.inf if high is None else high)})"
    return [name, by]


def _factor(value: float) -> str:
    return f"{value:.3f}" if value < 2 else f"{value:.3g}"


def _until(side: Sequence[Record], is_priced: bool) -> str:
    """The mean over the seeds that reached the target."""
    reached = [entry["to_target"]["nominal_mj"] for entry in side if entry["to_target"]]
    return _number(statistics.fmean(reached)) if reached and is_priced else "-"


def _note(
    unpriced: Unpriced,
    sides: Sequence[Sequence[Record]],
    profile: str,
    names: Sequence[str],
    said: set[tuple[str, str]],
) -> None:
    """Remember what has no price, with the profiles in which it has none, unless it was said before."""
    terms: dict[str, list[str]] = {}
    for side, name in zip(sides, names, strict=True):
        for term in dict.fromkeys(term for entry in side for term in entry["not_priced"]):
            terms.setdefault(term, []).append(name)
    for term, those in terms.items():
        words = f"{term} ({' and '.join(those)})"
        if (words, profile) not in said:
            unpriced.setdefault(words, []).append(profile)
        said.add((words, profile))


def _even(value: float | None) -> str:
    """A break-even; None is beyond all bounds and a negative one is none."""
    if value is None:
        return "any"
    return "never" if value < 0 else _number(value)


def _number(value: float) -> str:
    """Four significant digits, thousands whole.

    >>> _number(4.92284), _number(1373967.43), _number(0.0)
    ('4.923', '1,373,967', '0')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 and math.isfinite(value) else f"{value:.4g}"
