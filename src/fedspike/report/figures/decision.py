"""The first lines of the page and the last of the terminal: which network to choose, and why."""

import math
from collections.abc import Sequence
from dataclasses import replace

from fedspike.energy.levels import HIGHEST_WITHOUT_RADIO, Level
from fedspike.report.analysis.choices import Choice, Tables
from fedspike.report.analysis.energy_view import EnergyView
from fedspike.report.analysis.gaps import Gap
from fedspike.report.analysis.results import Results
from fedspike.report.analysis.settings import Comparison
from fedspike.report.analysis.significance import in_words
from fedspike.report.figures.figure import Figure
from fedspike.report.figures.methods import sentences
from fedspike.report.rendering.drawing import Prose
from fedspike.report.rendering.tables import interval, number, span, three_digits

BY: dict[Level, str] = {
    "study": "by synaptic operations alone",
    "compute": "with all arithmetic",
    "memory": "with memory",
    "training": "with memory and training",
}
MOST_SETTINGS = 3  # by name in one sentence
FEW = 2  # price tables by name
ONE_NETWORK = (
    "Not decidable, because no setting has a finished run of both networks with one seed. A file with "
    'network = ["ann", "snn"] in [sweep] trains both.'
)


def lines(results: Results) -> list[str]:
    """The answer; then accuracy, energy and confidence, a line each, as far as there is anything to say."""
    if not results.choices:
        return sentences(results.side_by_side) if results.side_by_side else [ONE_NETWORK]
    energy = _energy(results.energy) if results.energy else ""
    return [
        answer(results.choices),
        _accuracy(results),
        *filter(None, (energy, _confidence(results.choices))),
    ]


def answer(choices: Sequence[Choice]) -> str:
    """Which network to choose, in one sentence; settings with the same answer are named together."""
    groups: dict[str, list[Choice]] = {}
    for choice in choices:
        groups.setdefault(choice.answer, []).append(choice)
    if len(groups) == 1:
        return f"{_sentence(choices)}."
    parts = []
    for group in groups.values():
        sentence = _sentence(group)
        parts.append(f"with {_named(group)}, {sentence[0].lower()}{sentence[1:]}")
    return f"It depends on the data: {'; '.join(parts)}."


def _named(group: Sequence[Choice]) -> str:
    """The settings of a group inside a sentence."""
    names = [choice.comparison.setting.in_sentence for choice in group]
    more = len(names) - MOST_SETTINGS
    return _listed(names[:MOST_SETTINGS] + ([f"{more} more settings"] if more > 0 else []))


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)


def _sentence(group: Sequence[Choice]) -> str:
    """What settings with the same answer say, without the full stop."""
    first = group[0]
    if first.answer == "undecided":
        return f"Not decidable, because {_reasons(group)}"
    if first.answer == "depends":
        return f"It depends on {_on(group)}: {_accurate(group)}; {_less_energy(group)}"
    chosen = first.network(first.answer).title
    other = first.network("conventional" if first.answer == "spiking" else "spiking").title
    ahead = [choice for choice in group if choice.ahead]
    accuracy = (
        f"{_points(ahead)} more accurate"
        if ahead
        else f"as accurate as the {other} (within a point)"
    )
    accuracy += ", or as accurate," if ahead and len(ahead) < len(group) else ""
    energy = f"and needs {_times(group)}" if first.priced else "and nothing prices the energy"
    return f"Choose the {chosen}: it is {accuracy} {energy}"


def _on(group: Sequence[Choice]) -> str:
    """What the answer depends on."""
    on = ["which counts more"] if any(choice.ahead for choice in group) else []
    on += ["the hardware"] if any(choice.cheaper is None for choice in group) else []
    return _listed(on)


def _reasons(group: Sequence[Choice]) -> str:
    """Why nothing can be said; of several settings the first, if each has a reason of its own."""
    reasons = list(dict.fromkeys(map(_undecided, group)))
    if len(reasons) == 1:
        return reasons[0]
    others = f"{len(group) - 1} more setting{'s' if len(group) > 2 else ''}"
    first = group[0].comparison.setting.in_sentence
    return f"with {first} {reasons[0]}, and {others} cannot be decided either"


def _undecided(choice: Choice) -> str:
    """Why nothing can be said of a comparison."""
    gap = choice.gap
    if choice.faults:
        return _listed(choice.faults)
    if gap.seeds == 2:
        return "2 seeds are too few: take 3 or more"
    size = f"{number(abs(gap.points), 1)} points"
    if gap.seeds == 1:
        limit = "" if gap.half_width is None else f" (± {number(gap.half_width, 1)})"
        return f"a difference of {size} is within what chance explains{limit}; take 3 seeds or more"
    if gap.alike:
        return "both are as accurate as each other, and nothing prices their energy"
    enough = gap.seeds_for_an_answer
    more = f"; about {enough} seeds would do" if enough else ""
    half = number(gap.half_width or 0.0, 1)
    return f"the difference, {size} ± {half} with {gap.seeds} seeds, may as well be none{more}"


def _accurate(group: Sequence[Choice]) -> str:
    """Which network is more accurate, and by how much."""
    ahead = [choice for choice in group if choice.ahead]
    if not ahead:
        return "both networks are equally accurate, within a point"
    sides = dict.fromkeys(choice.network(choice.ahead).title for choice in ahead)
    more = f"the {' or the '.join(sides)} is {_points(ahead)} more accurate"
    return more if len(ahead) == len(group) else f"{more}, or both are alike"


def _points(ahead: Sequence[Choice]) -> str:
    return f"{span([abs(choice.gap.points) for choice in ahead], 1)} points"


def _less_energy(group: Sequence[Choice]) -> str:
    """Which network needs less energy, by how much, or under how many price tables."""
    first = group[0]
    if first.cheaper is not None and all(choice.cheaper == first.cheaper for choice in group):
        return f"the {first.network(first.cheaper).title} needs {_times(group)}"
    spiking, rival = first.network("spiking").title, first.network("conventional").title
    scores = []
    for place, tables in enumerate(first.tables):
        won = span([choice.tables[place].won for choice in group], 0)
        where = f" on hardware that skips the zeros of the {rival}" if place else " price tables"
        names = _few(tables) if len(group) == 1 else ""
        scores.append(f"under {won} of {len(tables.verdicts)}{where}{names}")
    return f"the {spiking} needs less energy {_listed(scores)}"


def _few(tables: Tables) -> str:
    """The names of the price tables that are for the spiking network, or against it, if they are few."""
    names = [one.profile for one in tables.verdicts if one.winner == "spiking"]
    others = [one.profile for one in tables.verdicts if one.winner != "spiking"]
    if 0 < len(names) <= FEW:
        return f" ({_listed(names)})"
    return f" (not {_listed(others)})" if 0 < len(others) <= FEW else ""


def _times(group: Sequence[Choice]) -> str:
    """How many times less the network that is cheaper needs, and under which price tables."""
    first = group[0]
    ends = [end for choice in group for end in choice.tables[0].factors]
    if first.cheaper == "conventional":
        ends = [1 / end if end else math.inf for end in ends]
    times = " to ".join(dict.fromkeys(map(_factor, (min(ends), max(ends)))))
    count = len(first.tables[0].verdicts)
    under = f"all {count} price tables" if count > 1 else "the price table"
    return f"{times} times less energy under {under}"


def _factor(value: float) -> str:
    """Two digits, all whole ones, and more where it would be 1.0."""
    if math.isinf(value):
        return "∞"
    return three_digits(value) if value < 1.1 else number(value, int(value < 10))


def _accuracy(results: Results) -> str:
    """The accuracies of the most even and of the most skewed data."""
    first, last = results.choices[0], results.choices[-1]
    both = [first] if last is first else [first, last]
    each = [
        f"with {one.comparison.setting.in_sentence} {accuracy_in_words(one.comparison, one.gap)}"
        for one in both
    ]
    return f"Accuracy: {'; '.join(each)}."


def accuracy_in_words(comparison: Comparison, gap: Gap) -> str:
    """Both accuracies and their difference, inside a sentence."""
    reference, spiking = comparison.reference, comparison.spiking
    assert reference is not None
    assert spiking is not None
    variant = f" ({comparison.variant})" if comparison.variant else ""
    accuracies = (
        f"{spiking.title}{variant} {number(spiking.accuracy.mean, 1)} % against "
        f"{number(reference.accuracy.mean, 1)} % of the {reference.title}"
    )
    points = comparison.gap_points()
    if gap.seeds == 1 and points is not None:
        points = replace(points, half_width=gap.half_width)
    difference = "" if points is None else interval(points, 1, signed=True)
    return f"{accuracies}, {difference} points"


def _energy(view: EnergyView) -> str:
    """Under how many price tables the spiking network needs less energy, and the radio's share."""
    if view.unfit:
        return "Energy: not compared, because a network does not work."
    scores = {level: view.won(view.rivals[0], level) for level in BY if view.rivals}
    judged = [level for level, (_, of) in scores.items() if of]
    if not judged:
        return "Energy: no price table prices both networks, so none says which needs less."
    parts: list[str] = []
    for level in dict.fromkeys((judged[-1], judged[0])):
        won, of = scores[level]
        parts.append(f"under {won} of {of}{'' if parts else ' price tables'} {BY[level]}")
    return f"Energy: the {view.spiking.title} needs less {_listed(parts)}.{_radio(view)}"


def _radio(view: EnergyView) -> str:
    """What share of each network's energy the radio takes."""
    sums = [
        (bill[HIGHEST_WITHOUT_RADIO].nominal_mj, bill[view.key("communication")].nominal_mj)
        for network in view.twins
        for run in network.runs
        for bill in run.bill.values()
        if HIGHEST_WITHOUT_RADIO in bill and view.key("communication") in bill
    ]
    percent = [100 * (1 - own / with_radio) for own, with_radio in sums if with_radio]
    if not percent:
        return ""
    return (
        f" The radio, alike for both, would be {span(percent, 0)} % of it all ({view.radio_title})."
    )


def _confidence(choices: Sequence[Choice]) -> str:
    """What the accuracies rest on."""
    gaps = [choice.gap for choice in choices]
    seeds = sorted({gap.seeds for gap in gaps})
    ps = [gap.p for gap in gaps if gap.p is not None]
    if seeds == [1]:
        test = f", {_between(ps)} by McNemar’s test" if ps else ""
        return f"Confidence: one seed{test}. Other seeds may differ by more."
    if max(seeds) < 3:
        return "Confidence: 2 seeds are too few for a test."
    holm = f" after Holm’s correction for {len(ps)} settings" if len(ps) > 1 else ""
    return f"Confidence: {span(seeds, 0)} seeds, {_between(ps)} by Student’s t{holm}."


def _between(ps: Sequence[float]) -> str:
    """The lowest and the highest p."""
    return " to ".join(dict.fromkeys(in_words(p) for p in (min(ps), max(ps))))


HEADLINE = Figure("headline", lambda results: Prose((lines(results)[0],), "headline"))
IN_SHORT = Figure(
    "in-short",
    lambda all: Prose(tuple(lines(all)[1:]), "ul"),
    needs=lambda all: all.choices and all,
)
