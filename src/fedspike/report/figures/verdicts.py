"""Which network needs less energy, by prices, level and rival: matrices of verdicts, Tables E1 and E2."""

import math
from collections.abc import Iterator

from fedspike.energy import pairing
from fedspike.energy.estimate import Estimate, ends
from fedspike.energy.verdict import Verdict
from fedspike.report.analysis.energy_view import (
    ADDED,
    EnergyView,
    Rival,
    energy_mj,
    turning,
    winner,
)
from fedspike.report.analysis.naming import flat
from fedspike.report.analysis.results import Results
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.tables import (
    Caption,
    Cell,
    Column,
    Table,
    Tinted,
    first_few,
    number,
    table,
    words,
)

FULL_TINT_FACTOR = 20.0


def _matrix(view: EnergyView) -> Table:
    return table(_judged(view, view.rivals[0]), *_columns(view))


def _other_matrices(view: EnergyView) -> Table:
    rows = ((rival.title, *row) for rival in view.rivals[1:] for row in _judged(view, rival))
    return table(rows, words("rival", "against"), *_columns(view))


def _columns(view: EnergyView) -> Iterator[Column]:
    """The levels, after the name of the profile."""
    yield words("profile", "prices of")
    yield from (Column(level, ADDED[level], form="tinted") for level in view.levels)


def _judged(view: EnergyView, rival: Rival) -> Iterator[tuple[Cell, ...]]:
    """A row for each profile with a verdict against a rival, the kindest to the spiking network first."""
    judged = view.judged(rival).items()
    for profile, verdicts in sorted(judged, key=lambda one: next(iter(one[1].values())).ratio or 0):
        cells = (_cell(view, rival, verdicts.get(level)) for level in view.levels)
        yield (Tinted(profile, "", 0, view.title(profile)), *cells)


def _cell(view: EnergyView, rival: Rival, verdict: Verdict | None) -> Tinted | None:
    """The winner and by what factor it needs less, with its interval below."""
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


def _matrix_caption(view: EnergyView) -> Caption:
    seeds = len(view.main.pairs())
    why = "" if view.hardware.chosen_radio else ", the one with the least energy"
    radio = f"; the radio is {view.radio_title}{why}" if view.radio else ""
    notes = [
        f"The network named needs so many times less modelled energy for a round, {view.main.label}"
        f"{f', with its 95 % interval over {seeds} seeds' if seeds > 1 else ''}.",
        f"Each column includes those to its left{radio}. The {view.reference.title} is dense. A dash: these "
        "prices already include this column.",
        "† The winner also did work that has no price here (Table E11), so the other network may win.",
    ]
    judged = view.judged()
    silent = dict.fromkeys(profile for profile, _ in view.verdicts() if profile not in judged)
    if silent:
        notes.append(
            f"No verdict under {', '.join(silent)}: the synaptic operations of one network have no price."
        )
    return Caption(
        "Which network needs less energy, by hardware price table (the energy of each operation)",
        *notes,
        *_others(view),
    )


def factor_in_words(factor: float | None) -> str:
    """A factor with about three digits; infinite, None, where the other side costs nothing.

    >>> factor_in_words(1.0011), factor_in_words(1.0213), factor_in_words(20.95), factor_in_words(None)
    ('1.001', '1.02', '20.9', '∞')
    """
    if factor is None:
        return "∞"
    return number(factor, 3 if factor < 1.01 else 2 if factor < 10 else 1 if factor < 100 else 0)


def _others(view: EnergyView) -> Iterator[str]:
    """Whether the other settings have the same winners."""
    settings, differing = view.other_settings()
    if differing:
        named = first_few(differing)
        yield f"The other settings have another winner in {len(differing)} cells: {named}."
    elif settings:
        others = "other setting has" if settings == 1 else f"{settings} other settings have"
        yield f"The {others} the same winner in every cell."


def _scores(view: EnergyView) -> Table:
    """Under how many price tables the spiking network needs less energy than each rival."""
    rows: list[tuple[Cell, ...]] = []
    for rival in view.rivals:
        scores = [view.won(rival, level) for level in view.levels]
        won = (f"{won} of {judged}" if judged else None for won, judged in scores)
        rows.append((rival.title, rival.network.accuracy, *won))
    rows.append((view.spiking.title, view.spiking.accuracy, *(None for _ in view.levels)))
    return table(
        rows,
        *(words("network"), Column("last_round_percent", "accuracy, %", digits=1)),
        *(words(f"spiking_cheaper_{level}", ADDED[level]) for level in view.levels),
    )


def _scores_caption(view: EnergyView) -> Caption:
    notes = ["“3 of 9”: under three of the nine price tables that price both networks."]
    for network in view.main.setting.conventional:
        settings = flat(pairing.own(network.runs[0]))
        own = ", ".join(f"{key} = {value}" for key, value in settings.items() if "." in key)
        notes += [f"{network.title}: {own}."] if own else []
    title = "Price tables under which the spiking network needs less energy"
    return Caption(title, *notes)


def _numbers(view: EnergyView) -> Table:
    """A row for each profile and level; each side's energy, and its ratio to each rival's."""
    sides = [*view.rivals, Rival(view.spiking)]
    judged, over = [view.verdicts(rival) for rival in view.rivals], f"{view.spiking.title} over"
    rows = []
    for (profile, level), verdict in view.verdicts().items():
        name, side = view.key(level), winner(verdict, view.reference, view.spiking)
        neither = "no verdict" if verdict.ratio is None else "no difference"
        rows.append(
            (
                *(profile, ADDED[level]),
                *(energy_mj(one.network, profile, name, one.skips_zeros) for one in sides),
                *(_ratio(verdicts.get((profile, level))) for verdicts in judged),
                side.title if side else neither,
                ", ".join(turning(verdict)) or None,
            )
        )
    return table(
        rows,
        *(words("profile"), words("level")),
        *(Column(f"{one.key}_mj", one.title, None, "mJ per round", None) for one in sides),
        *(Column(f"ratio_{one.key}", one.title, None, over, 3) for one in view.rivals),
        words("winner", "needs less"),
        words("could_turn", "the winner’s work without a price", form="long"),
    )


def _numbers_caption(view: EnergyView) -> Caption:
    return Caption(
        f"Modelled energy of a round under every profile, {view.main.label}",
        "Each level includes the levels above it. Nominal prices; the ends of the price ranges are in "
        "tables/tableE12-bills.csv, with all runs and radios. Ratios are taken within a seed.",
    )


def _ratio(verdict: Verdict | None) -> Estimate | None:
    if verdict is None or verdict.ratio is None:
        return None
    high = verdict.ratio_high
    return Estimate(verdict.ratio, None if high is None else high - verdict.ratio, verdict.seeds)


def _energy(results: Results) -> EnergyView | None:
    return results.energy


PRICE_MATRIX = Figure(
    "price-matrix", _matrix, _matrix_caption, lambda results: results.judged("study")
)
OTHER_RIVALS = Figure(
    "other-rivals",
    _other_matrices,
    Caption("Which network needs less energy, against other rivals"),
    lambda results: results.energy if results.energy and len(results.energy.rivals) > 1 else None,
    summary="Verdicts against the other conventional networks, and on hardware that skips zeros",
)
RIVALS_TABLE = Figure("baselines", _scores, _scores_caption, _energy, "E1")
VERDICT_TABLE = Figure(
    "verdict",
    _numbers,
    _numbers_caption,
    _energy,
    "E2",
    summary="All numbers of this setting: millijoule, ratios, what has no price",
)
