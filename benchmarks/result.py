"""What of a measurement is kept: from engine.json, which has every sample, to result.json.

    {"round": {"environment": ..., "work": ..., "contestants": {"snntorch": {"seconds": 14.4, ...}, ...}},
     "convolution": the same, with the "spike_rate", "spoken": with what a recording holds,
     "growth": {"environment": ..., "points": [...], "relative": ...}}

A figure that is not known is not there.
"""

import json
import statistics
from pathlib import Path
from typing import Any

RESULT = Path(__file__).with_name("result.json")
ROUNDS = ("round", "convolution", "spoken")
# Of an environment only what a reader of the page must know.
KEPT = (
    *("date", "git_commit", "cpu", "cores", "threads", "engine"),
    *("torch", "snntorch", "spikingjelly", "flwr", "ray"),
)
OF_A_SECTION = ("spike_rate", "phases", "spikes_per_recording", "packed_mb")
OF_A_POINT = ("axis", "rival", "seconds_per_1000_samples", "peak_mb")
DIGITS = 4  # more than any repeat agrees in


def stored() -> dict[str, Any]:
    """The content of result.json."""
    kept: dict[str, Any] = json.loads(RESULT.read_text(encoding="utf-8"))
    return kept


def summary(measured: dict[str, Any]) -> dict[str, Any]:
    """The sections that the content of engine.json has."""
    kept = {name: _round(measured[name]) for name in ROUNDS if name in measured}
    if "growth" in measured:
        growth = measured["growth"]
        kept["growth"] = {
            "environment": _environment(growth),
            "points": [
                {key: _short(point[key]) for key in OF_A_POINT} | {"value": point[point["axis"]]}
                for point in growth["points"]
            ],
            "relative": _short(growth["cost_per_sample_relative_to_10_clients"]),
        }
    return kept


def _round(section: dict[str, Any]) -> dict[str, Any]:
    known = {
        "accuracy": section["accuracy"],
        "ratio": section["ratios"],
        "first_round_seconds": section.get("first_round_seconds", {}),
        "peak_mb": section.get("peak_mb", {}),
    }
    contestants = {}
    for name, samples in section["seconds"].items():
        figures = {
            "seconds": statistics.median(samples),
            "range": [min(samples), max(samples)],
            "repeats": len(samples),
        }
        figures |= {figure: of[name] for figure, of in known.items() if name in of}
        contestants[name] = _short({key: x for key, x in figures.items() if x is not None})
    once = {key: _short(section[key]) for key in OF_A_SECTION if key in section}
    return {
        "environment": _environment(section),
        "work": section["work"],
        "contestants": contestants,
        **once,
    }


def _environment(section: dict[str, Any]) -> dict[str, Any]:
    known = section["environment"]
    return {key: known[key] for key in KEPT if known.get(key) is not None}


def _short(value: Any) -> Any:
    """Numbers with few digits, inside whatever there is."""
    if isinstance(value, dict):
        return {key: _short(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_short(inner) for inner in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
