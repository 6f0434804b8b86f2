"""Table E14: what each network costs one device that does its duty."""

from functools import partial

from fedspike.energy.on_device import BASE_UNITS
from fedspike.report.analysis.device_costs import DeviceCost, DeviceCosts
from fedspike.report.analysis.settings import interval_note
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.tables import Caption, Column, Scaled, Table, scaled, table, words

AN_INFERENCE, A_ROUND, DUTY = "an inference", "a round of training", "this duty"
MOST_TERMS = 3
COLUMNS = {  # key -> title, group, and what of a device it is
    "model_bytes": ("model", "", "model_bytes"),
    "operations": ("operations", AN_INFERENCE, "operations"),
    "memory_words": ("memory words", AN_INFERENCE, "words"),
    "latency_s": ("latency by operations", AN_INFERENCE, "latency_s"),
    "inference_joule": ("modelled energy", AN_INFERENCE, "inference_j"),
    "round_joule": ("modelled energy", A_ROUND, "round_j"),
    "radio_joule": ("its radio", A_ROUND, "radio_j"),
    "year_joule": ("a year", DUTY, "year_j"),
    "battery_days": ("battery life", DUTY, "battery_days"),
}


def _table(costs: DeviceCosts) -> Table:
    profile = words("profile", None, lambda row: row.profile.name)
    return table(
        costs.rows,
        words("network", None, lambda row: row.network.name),
        *([profile] if len(costs.profiles) > 1 else []),
        *(
            Column(key, title, partial(_cell, field=field), group)
            for key, (title, group, field) in COLUMNS.items()
        ),
    )


def _cell(row: DeviceCost, field: str) -> Scaled | None:
    return scaled(row.mean(field), BASE_UNITS[field])


def _caption(costs: DeviceCosts) -> Caption:
    duty, radio = costs.hardware.duty, costs.hardware.radio
    prices = f"{', '.join(one.name for one in costs.profiles)} and {radio.name}"
    terms = costs.not_priced
    more = f" and {len(terms) - MOST_TERMS} more" if len(terms) > MOST_TERMS else ""
    missing = f"; missing, without a price: {', '.join(terms[:MOST_TERMS])}{more}" if terms else ""
    dashes = any(None in row for row in _table(costs).rows)
    dash = "; a dash: no price, or no number in the duty" if dashes else ""
    several = len(costs.rows[0].costs) > 1
    return Caption(
        f"One device, {duty.title}, at the prices of {prices}, {costs.comparison.label}",
        f"Modelled, for {duty.in_words}",
        f"Latency: operations and words one after the other{dash}{missing}.",
        *([interval_note([row.network for row in costs.rows])] if several else []),
    )


DEVICE_COST_TABLE = Figure(
    "device-cost", _table, _caption, lambda results: results.device_costs, "E14"
)
