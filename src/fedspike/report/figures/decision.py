"""The first lines of the page and the last of the terminal: which network to choose, and why."""

import math
from collections.abc import Sequence

from fedspike.energy.estimate import FEWEST
from fedspike.energy.levels import HIGHEST_WITHOUT_RADIO
from fedspike.report.analysis import tested
from fedspike.report.analysis.bootstrap import ENOUGH
from fedspike.report.analysis.choices import SIDES, Choice, Saving, saving
from fedspike.report.analysis.energy_view import EnergyView
from fedspike.report.analysis.gaps import Gap
from fedspike.report.analysis.results import Results
from fedspike.report.analysis.settings import Comparison
from fedspike.report.analysis.significance import in_words
from fedspike.report.figures.figure import Figure
from fedspike.report.figures.methods import apart, sentences
from fedspike.report.rendering.drawing import Prose
from fedspike.report.rendering.tables import interval, listed, number, span, three_digits

MOST_SETTINGS = 3  # by name in one sentence
BOTH = {
    "still improves": "both networks still improve",
    "does not work": "neither network works",
    "diverged": "both networks diverged",
}
CLASSES = " classes per client"
ONE_NETWORK = (
    "Not decidable, because no setting has a finished run of both networks with one seed. A file with "
    'network = ["ann", "snn"] in [sweep] trains both.'
)


def lines(results: Results) -> list[str]:
    """The answer; then accuracy, energy and confidence, a line each, as far as there is anything to say."""
    if not results.choices:
        side = results.side_by_side
        return (sentences(side) + apart(side) if side else []) or [ONE_NETWORK]
    energy = _energy(results.energy, results.choices) if results.energy else ""
    return [
        answer(results.choices),
        _accuracy(results),
        *filter(None, (energy, _confidence(results.choices))),
    ]


def answer(choices: Sequence[Choice]) -> str:
    """Which network to choose, in one sentence; settings with the same answer are named together."""
    decided, undecided = _decided_ones(choices), _undecided_ones(choices)
    if len(decided) + len(undecided) == 1:
        return f"{_sentence(choices)}."
    all_alike = saving(choices)
    parts = [
        f"{_where(group, choices, again=place > 0)} {_in_short(group, all_alike is not None)}"
        for place, group in enumerate(decided)
    ]
    left = [
        f"{_where(group, choices, again=bool(decided) or place > 0)} ({why})"
        for place, (why, group) in enumerate(undecided.items())
    ]
    parts += [f"{'it is n' if decided else 'N'}ot decidable {listed(left)}"] if left else []
    start = "It depends on the data: " if decided else ""
    energy = f" In all settings {_saved(all_alike, named=False)}." if all_alike else ""
    return f"{start}{'; '.join(parts)}.{energy}"


def _where(group: Sequence[Choice], choices: Sequence[Choice], *, again: bool = False) -> str:
    """The settings of a group inside a sentence; of many how many there are.

    Numbers of classes stand together, as in "10, 7 and 3 classes per client"; without the unit if it is said
    `again`.
    """
    names = [choice.comparison.setting.in_sentence for choice in group]
    numbers = [name.removesuffix(CLASSES) for name in names]
    if all(number.isdigit() for number in numbers):
        return f"with {listed(numbers)}{'' if again else CLASSES}"
    if len(names) > MOST_SETTINGS or (names[1:] and "," in names[0]):
        return f"in {len(names)} of {len(choices)} settings"
    return f"with {listed(names)}"


def _sentence(group: Sequence[Choice]) -> str:
    """What settings with the same answer say, without the full stop."""
    first = group[0]
    if first.answer == "undecided":
        return f"Not decidable, because {_in_full(group)}"
    if first.answer == "depends":
        return f"It depends on {_on(group)}: {_accurate(group)}; {_less_energy(group)}"
    chosen = first.network(first.answer).title
    other = first.network("conventional" if first.answer == "spiking" else "spiking").title
    ahead = [choice for choice in group if choice.ahead]
    accuracy = (
        f"{_points(ahead)} more accurate"
        if ahead
        else f"as accurate as the {other} (within 1 point)"
    )
    accuracy += ", or as accurate," if ahead and len(ahead) < len(group) else ""
    energy = "and nothing prices the energy"
    if own := saving(group):
        energy = f"and needs {_times(own)}"
    return f"Choose the {chosen}: it is {accuracy} {energy}"


def _in_short(group: Sequence[Choice], alike: bool) -> str:
    """The same inside a sentence about all data; without the energy where that is alike in all."""
    first, reasons = group[0], [_accurate(group)]
    what = f"it depends on {_on(group)}"
    if first.answer in SIDES:
        what = f"choose the {first.network(first.answer).title}"
        reasons = [_worth(group)]
    reasons += [_less_energy(group)] if first.priced and not alike else []
    return f"{what} ({', '.join(reasons)})"


def _on(group: Sequence[Choice]) -> str:
    """What the answer depends on."""
    on = ["whether accuracy or energy counts more"] if any(choice.ahead for choice in group) else []
    on += ["the hardware"] if any(choice.cheaper is None for choice in group) else []
    return listed(on)


def _decided_ones(choices: Sequence[Choice]) -> list[list[Choice]]:
    """The comparisons of which something can be said, those with one answer together."""
    groups: dict[str, list[Choice]] = {}
    for choice in choices:
        if choice.answer != "undecided":
            groups.setdefault(choice.answer, []).append(choice)
    return [*groups.values()]


def _undecided_ones(choices: Sequence[Choice]) -> dict[str, list[Choice]]:
    """The comparisons of which nothing can be said, by why."""
    reasons: dict[str, list[Choice]] = {}
    for choice in choices:
        if choice.answer == "undecided":
            reasons.setdefault(_undecided(choice), []).append(choice)
    return reasons


def _undecided(choice: Choice) -> str:
    """Why nothing can be said of a comparison, in a few words; so also of others."""
    gap = choice.gap
    if choice.faults:
        brief = [fault.partition(" (")[0] for fault in choice.faults]
        return next((BOTH[end] for end in BOTH if _all_end(brief, end)), listed(brief))
    if gap.seeds == 2:
        return "2 seeds are too few"
    if gap.alike:
        return "both are as accurate as each other, and nothing prices their energy"
    return "the difference may be chance"


def _all_end(faults: Sequence[str], end: str) -> bool:
    """Whether two networks have the same fault."""
    return len(faults) == 2 and all(fault.endswith(end) for fault in faults)


def _in_full(group: Sequence[Choice]) -> str:
    """Why nothing can be said of comparisons with the same reason, with its figures and what would do."""
    first, gap = group[0], group[0].gap
    if first.faults and len(group) == 1:
        return listed(first.faults)
    if first.faults or gap.alike:
        return _undecided(first)
    if gap.seeds == 2:
        return "2 seeds are too few: take 3 or more"
    size = f"{span([abs(choice.gap.points) for choice in group], 1)} points"
    if gap.seeds == 1:
        halves = [half for choice in group if (half := choice.gap.estimate.half_width) is not None]
        limit = f" (± {span(halves, 1)})" if halves else ""
        return f"{size} may be chance{limit}: take 3 seeds or more"
    if len(group) == 1:
        size = f"{interval(gap.estimate if gap.points > 0 else -gap.estimate, 1)} points"
    enough = [choice.gap.seeds_for_an_answer for choice in group]
    more = f"; about {span([n for n in enough if n], 0)} seeds would do" if all(enough) else ""
    return f"the difference, {size} with {gap.seeds} seeds, may be chance{more}"


def _accurate(group: Sequence[Choice]) -> str:
    """Which network is more accurate, and by how much."""
    ahead = [choice for choice in group if choice.ahead]
    if not ahead:
        return "both networks are equally accurate (within 1 point)"
    sides = dict.fromkeys(choice.network(choice.ahead).title for choice in ahead)
    more = f"the {' or the '.join(sides)} is {_points(ahead)} more accurate"
    return more if len(ahead) == len(group) else f"{more}, or both are alike"


def _worth(group: Sequence[Choice]) -> str:
    """By how much the network that is chosen is more accurate."""
    ahead = [choice for choice in group if choice.ahead]
    if not ahead:
        return "as accurate, within 1 point"
    worth = f"{_points(ahead)} more accurate"
    return worth if len(ahead) == len(group) else f"{worth}, or as accurate"


def _points(ahead: Sequence[Choice]) -> str:
    return f"{span([abs(choice.gap.points) for choice in ahead], 1)} points"


def _less_energy(group: Sequence[Choice]) -> str:
    """Which network needs less energy, by how much, or under how many price tables."""
    if own := saving(group):
        return _saved(own)
    first = group[0]
    spiking, rival = first.network("spiking").title, first.network("conventional").title
    scores = []
    for place, tables in enumerate(first.tables):
        of_all = [choice.tables[place] for choice in group if place < len(choice.tables)]
        won = span([len(own.of("spiking")) for own in of_all], 0)
        where = (
            f" on hardware that skips the zeros of the {rival}"
            if place
            else " hardware price tables"
        )
        scores.append(f"under {won} of {len(tables.verdicts)}{where}")
    return f"the {spiking} needs less energy {listed(scores)}"


def _saved(own: Saving, *, named: bool = True) -> str:
    """Which network needs less energy, and by how much; where few tables say otherwise they are `named`."""
    return f"the {own.network.title} needs {_times(own, named=named)}"


def _times(own: Saving, *, named: bool = True) -> str:
    """How many times less the network that is cheaper needs, and under which price tables."""
    times = " to ".join(dict.fromkeys(map(_factor, (own.least, own.most))))
    whole = span(own.tables, 0)
    count = f"{span(own.agreeing, 0)} of {whole}" if own.others else f"all {whole}"
    but = f" (all but {listed(own.others)}{_in_some(own)})" if own.others and named else ""
    return f"{times} times less energy, without the radio, under {count} hardware price tables{but}"


def _in_some(own: Saving) -> str:
    """Where not the same price tables say otherwise in each setting."""
    return "" if own.in_all else " in some settings"


def _factor(value: float) -> str:
    """Two digits, all whole ones, and more where it would be 1.0."""
    if math.isinf(value):
        return "∞"
    return three_digits(value) if value < 1.1 else number(value, int(value < 10))


def _accuracy(results: Results) -> str:
    """The accuracies of the most even and of the most skewed data, of one kind."""
    of = results.choices[0].comparison.setting.accuracy_of
    alike = [one for one in results.choices if one.comparison.setting.accuracy_of == of]
    first, last = alike[0], alike[-1]
    both = [first] if last is first else [first, last]
    each = [
        f"with {one.comparison.setting.in_sentence}, {accuracy_in_words(one.comparison, one.gap)}"
        for one in both
    ]
    return " ".join([f"Accuracy: {'; '.join(each)}.", *tested.notes([of])])


def accuracy_in_words(comparison: Comparison, gap: Gap) -> str:
    """Both accuracies, their difference and its p, inside a sentence."""
    reference, spiking = comparison.reference, comparison.spiking
    assert reference is not None
    assert spiking is not None
    variant = f" ({comparison.variant})" if comparison.variant else ""
    accuracies = (
        f"{spiking.title}{variant} {number(spiking.accuracy.mean, 1)} % against "
        f"{number(reference.accuracy.mean, 1)} % of the {reference.title}"
    )
    test = f" ({in_words(gap.p)})" if gap.p is not None and gap.ahead else ""
    return f"{accuracies}, {interval(gap.estimate, 1, signed=True)} points{test}"


def _energy(view: EnergyView, choices: Sequence[Choice]) -> str:
    """What the answer has not said of the energy; what synaptic operations alone and the radio make of it.

    The last two are about the comparison that the page shows in full.
    """
    if view.unfit:
        return "Energy: not compared, because a network does not work."
    if not choices[0].priced:
        return "Energy: no price table prices both networks, so none says which needs less."
    won, judged = view.won(view.rivals[0], "study")
    where = f"with {view.main.setting.in_sentence}, " if choices[1:] else ""
    return (
        f"Energy: {_energy_unsaid(choices)}{where}by synaptic operations alone the {view.spiking.title} "
        f"needs less under {won} of {judged}.{_radio(view)}"
    )


def _energy_unsaid(choices: Sequence[Choice]) -> str:
    """Who needs less energy, as far as the answer leaves that open."""
    decided, undecided, own = _decided_ones(choices), _undecided_ones(choices), saving(choices)
    if not decided:
        return f"{_less_energy(choices)}; "
    if len(decided) + len(undecided) == 1:
        return ""
    if own is None:
        return f"{_less_energy(choices)}; "
    say = "says" if len(own.others) == 1 else "say"
    others = f"of the price tables {listed(own.others)} {say} otherwise{_in_some(own)}; "
    return others if own.others else ""


def _radio(view: EnergyView) -> str:
    """What share of the energy the radio takes, and what is left of the difference with it."""
    radio, sums, ratios = view.key("communication"), [], []
    for profile, levels in view.judged().items():
        if "communication" not in levels:
            continue
        ratios.append(levels["communication"].ratio or 0.0)
        for run in (run for network in view.twins for run in network.runs):
            own, with_radio = (run.bill[profile][key] for key in (HIGHEST_WITHOUT_RADIO, radio))
            sums.append(100 * (1 - own.nominal_mj / with_radio.nominal_mj))
    if not ratios:
        return ""
    factors = [max(ratio, 1 / ratio) if ratio else math.inf for ratio in ratios]
    return (
        f" With the radio ({view.radio_title}) the factor is {_factor(max(factors))} at most: the radio "
        f"takes {span(sums, 0)} % of the energy, as much for both networks."
    )


def _confidence(choices: Sequence[Choice]) -> str:
    """What the accuracies rest on, and what is not decidable in some of several settings."""
    gaps = [choice.gap for choice in choices]
    seeds = sorted({gap.seeds for gap in gaps})
    if seeds == [1]:
        test = "one seed, McNemar’s test on the same samples; other seeds may differ by more"
    elif max(seeds) < FEWEST:
        test = "2 seeds are too few for a test"
    else:
        holm = f", corrected for {len(gaps)} settings by Holm’s method" if len(gaps) > 1 else ""
        kind = " BCa bootstrap" if seeds[0] >= ENOUGH else ""
        test = f"{span(seeds, 0)} seeds, 95 %{kind} intervals, Student’s t{holm}"
    reasons = _undecided_ones(choices) if choices[1:] else {}
    whys = [f"; {_where(own, choices)} {_in_full(own)}" for own in reasons.values()]
    return f"Confidence: {test}{''.join(whys)}."


HEADLINE = Figure("headline", lambda results: Prose((lines(results)[0],), "headline"))
IN_SHORT = Figure(
    "in-short",
    lambda all: Prose(tuple(lines(all)[1:]), "ul"),
    needs=lambda all: all.choices and all,
)
