"""The verdicts: which network needs less energy under which prices, up to which level."""

import math
from collections.abc import Iterator

from fedspike.energy.estimate import ends
from fedspike.energy.levels import Level
from fedspike.energy.verdict import Verdict
from fedspike.report.analysis.energy_view import (
    ADDED,
    EnergyView,
    Rival,
    profile_title,
    turning,
    winner,
)
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.tables import Caption, Cell, Column, Table, Tinted, number, words

FULL_TINT_FACTOR = 20.0
MOST_NAMED = 6


def _data(view: EnergyView) -> Table:
    return Table(columns(view), tuple(rows(view, view.rivals[0])))


def _caption(view: EnergyView) -> Caption:
    seeds = len(view.main.pairs())
    notes = [
        f"Modelled energy of a round, {view.main.label}: {view.spiking.title} and dense "
        f"{view.reference.title}. Colour and name are the winner’s; the number is the factor by which it "
        f"needs less{f', below it its 95 % interval over {seeds} seeds' if seeds > 1 else ''}. "
        "Each column includes all columns to its left"
        + (
            f"; the radio is {view.radio_title}, the one with the least energy"
            if view.radio
            else ""
        )
        + ". A dash: the prices of the columns to the left include this one.",
        "† The winner also did work that has no price here (Table E11), so the other network may win.",
    ]
    judged = {profile for (profile, _), one in view.verdicts().items() if one.ratio is not None}
    silent = dict.fromkeys(p for p, _ in view.verdicts() if p not in judged)
    if silent:
        notes.append(
            f"No verdict under {', '.join(silent)}: the synaptic operations of one network have no price."
        )
    return Caption(
        "Which network needs less energy, by price table and level", *notes, *_others(view)
    )


def rows(view: EnergyView, rival: Rival) -> list[tuple[Cell, ...]]:
    """A row for each profile with a verdict against a rival, the kindest to the spiking network first."""
    judged: dict[str, dict[Level, Verdict]] = {}
    for (profile, level), verdict in view.verdicts(rival).items():
        if verdict.ratio is not None:
            judged.setdefault(profile, {})[level] = verdict
    order = sorted(judged, key=lambda profile: next(iter(judged[profile].values())).ratio or 0.0)
    return [
        (
            Tinted(profile, "", 0, profile_title(profile)),
            *(_cell(view, rival, judged[profile].get(level)) for level in view.levels),
        )
        for profile in order
    ]


def columns(view: EnergyView) -> tuple[Column, ...]:
    """The levels, after the name of the profile."""
    levels = (Column(level, ADDED[level], form="tinted") for level in view.levels)
    return (words("profile", "prices of"), *levels)


def factor_in_words(factor: float | None) -> str:
    """A factor with about three digits; infinite, None, where the other side costs nothing.

    >>> factor_in_words(1.0011), factor_in_words(1.0213), factor_in_words(20.95), factor_in_words(None)
    ('1.001', '1.02', '20.9', '∞')
    """
    if factor is None:
        return "∞"
    return number(factor, 3 if factor < 1.01 else 2 if factor < 10 else 1 if factor < 100 else 0)


def _cell(view: EnergyView, rival: Rival, verdict: Verdict | None) -> Tinted | None:
    if verdict is None:
        return None
    interval = "" if verdict.interval is None else ends(*verdict.interval)
    side = winner(verdict, rival.network, view.spiking)
    if side is None:
        return Tinted("no difference", "", 0, interval)
    factor = math.inf if verdict.factor is None else verdict.factor
    share = min(1.0, math.log(factor) / math.log(FULL_TINT_FACTOR))
    dagger = " †" if turning(verdict) else ""
    text = f"{side.title} {factor_in_words(verdict.factor)}×{dagger}"
    return Tinted(text, side.role, round(10 + 40 * share), interval)


def _others(view: EnergyView) -> Iterator[str]:
    """Whether the other settings have the same winners."""
    settings, differing = view.other_settings()
    more = len(differing) - MOST_NAMED
    if differing:
        named = ", ".join(differing[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
        yield f"The other settings have another winner in {len(differing)} cells: {named}."
    elif settings:
        others = "other setting has" if settings == 1 else f"{settings} other settings have"
        yield f"The {others} the same winner in every cell."


PRICE_MATRIX = Figure(
    "price-matrix", _data, caption=_caption, needs=lambda results: results.judged("study")
)
