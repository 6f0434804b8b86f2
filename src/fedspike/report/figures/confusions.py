"""What the models have right, class by class and client by client, and what they take for what."""

from __future__ import annotations  # altair is not looked up before it is used

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fedspike.energy.estimate import Estimate, estimate
from fedspike.report.analysis import tested
from fedspike.report.analysis.confusion import Outcome
from fedspike.report.analysis.results import Results
from fedspike.report.analysis.settings import Network, interval_note
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering import vega as alt
from fedspike.report.rendering.axes import chart_of
from fedspike.report.rendering.drawing import Panels, charts
from fedspike.report.rendering.palette import LIGHT
from fedspike.report.rendering.tables import Caption, Column, Table, table, words

MOST_CLASSES = 20  # beyond which nobody can read the cells
CELL = 26  # pixels
SHOWN = 2
ENDS = 4  # networks on the most even data, and as many on the most skewed, where there are many


@dataclass(frozen=True)
class Share:
    """What a network's models have right of some samples of a setting."""

    network: Network
    outcomes: tuple[Outcome, ...]
    called: Callable[[int], str | int]  # by the number of a class

    def estimate(self, of: Callable[[Outcome], float]) -> Estimate:
        """The mean over the seeds."""
        return estimate([of(one) for one in self.outcomes])

    @property
    def confusion(self) -> np.ndarray:
        """Of all seeds together."""
        sizes = [len(one.confusion) for one in self.outcomes]
        padded = (
            np.pad(one.confusion, (0, max(sizes) - len(one.confusion))) for one in self.outcomes
        )
        return np.asarray(np.add.reduce([*padded]))


def _shares(results: Results) -> list[Share]:
    return [Share(network, own, results.class_name) for network, own in results.outcomes.items()]


def _like_clients(results: Results) -> list[Share]:
    """Of the networks that were tested so that each client's samples are like its own."""
    evenly = "own models, all samples"
    return [one for one in _shares(results) if one.network.runs[0].accuracy_of != evenly]


def _of_class(share: Share, label: int) -> Estimate | None:
    """Percent of a class that is right; None where a seed tested none of it."""
    rows = [one.confusion[label] if label < len(one.confusion) else [] for one in share.outcomes]
    if not all(sum(row) for row in rows):
        return None
    return estimate([100 * row[label] / sum(row) for row in rows])


def _by_class(shares: list[Share]) -> Table:
    """A row for each setting and class, a column for each network."""
    settings = dict.fromkeys(share.network.setting for share in shares)
    names = dict.fromkeys(share.network.name for share in shares)
    rows = []
    for setting in settings:
        own = {share.network.name: share for share in shares if share.network.setting == setting}
        classes = max(len(one.confusion) for share in own.values() for one in share.outcomes)
        for label in range(classes):
            cells = (_of_class(own[name], label) if name in own else None for name in names)
            rows.append((setting, shares[0].called(label), *cells))
    return table(
        rows,
        words("setting", "each client holds"),
        Column("class", "class"),
        *(Column(f"{name}_percent", name, None, "right, %", 1) for name in names),
    )


def _by_class_caption(shares: list[Share]) -> Caption:
    return Caption(
        "Test accuracy of each class",
        "Of the samples of a class the share that the model of the last round has right.",
        interval_note([share.network for share in shares]),
    )


def _by_client(shares: list[Share]) -> Table:
    return table(
        shares,
        words("setting", "each client holds", lambda one: one.network.setting),
        words("network", "network", lambda one: one.network.name),
        Column("clients", "clients", lambda one: len(one.outcomes[0].by_client)),
        *(Column(f"{key}_percent", label, _over(of), "right, %", 1) for key, label, of in CLIENTS),
    )


def _over(of: Callable[[Outcome], float]) -> Callable[[Share], Estimate]:
    return lambda share: share.estimate(of)


CLIENTS: tuple[tuple[str, str, Callable[[Outcome], float]], ...] = (
    ("mean", "mean client", lambda one: float(np.mean(one.client_accuracies))),
    ("worst_tenth", "worst tenth", lambda one: one.worst_tenth),
    ("worst", "worst client", lambda one: one.client_accuracies[0]),
    ("best", "best client", lambda one: one.client_accuracies[-1]),
)


def _by_client_caption(shares: list[Share]) -> Caption:
    kinds = {share.network.runs[0].accuracy_of for share in shares}
    who = "All are answered by the global model." if kinds == {"global model"} else ""
    return Caption(
        "Test accuracy of each client",
        "The test samples are dealt to the clients as the training samples are: each client is asked about "
        f"the classes that it has, in its proportions. {who}".strip(),
        *tested.notes(kinds),
        interval_note([share.network for share in shares]),
    )


def _drawn(results: Results) -> list[Share]:
    shares = [share for share in _shares(results) if len(share.confusion) <= MOST_CLASSES]
    return shares if len(shares) <= 2 * ENDS else [*shares[:ENDS], *shares[-ENDS:]]


def _draw(shares: list[Share]) -> Panels:
    drawn = ((f"{one.network.setting}, {one.network.name}", _chart(one)) for one in shares)
    return Panels(charts(drawn), 22, SHOWN, ("more network", "more networks"))


def _chart(share: Share) -> alt.LayerChart:
    counts = share.confusion
    classes = list(range(len(counts)))
    called = [share.called(label) for label in classes]
    total = counts.sum(1)
    percent = 100 * counts / np.where(total, total, 1)[:, None]
    cells = [
        {
            **{"label": called[label], "taken": called[other], "share": percent[label, other]},
            **{"text": (text := f"{percent[label, other]:.0f}")},
            **{
                "says": f"class {called[label]} taken for {called[other]}: {text} % of {total[label]}"
            },
        }
        for label in classes
        for other in classes
        if counts[label, other]
    ]
    axis = alt.Axis(grid=False, labelAngle=0 if called == classes else -45)
    scale = alt.Scale(domain=called)
    shade = alt.Scale(domain=[0, 100], range=[0.06, 0.6])
    base = chart_of(*cells).encode(
        x=alt.X("taken:O", title="taken for class", scale=scale, axis=axis),
        y=alt.Y("label:O", title="class", scale=scale, axis=alt.Axis(grid=False)),
    )
    colour = LIGHT[share.network.role]
    fill = base.mark_rect(color=colour, stroke=LIGHT["paper"]).encode(
        opacity=alt.Opacity("share:Q", scale=shade, legend=None)
    )
    text = base.mark_text(fontSize=9.5, color=LIGHT["ink"]).encode(text=alt.Text("text:N"))
    size = {"step": CELL}
    title = f"{share.network.setting}, {share.network.name}"
    return alt.layer(fill, text).properties(width=size, height=size, title=title)


CONFUSION_CAPTION = Caption(
    "What is taken for what",
    "Of the test samples of a class (row) the percentage that the last model takes for each class (column), "
    "all seeds together.",
)

CLASSES_TABLE = Figure("classes", _by_class, _by_class_caption, _shares, "11")
CONFUSION_CHART = Figure("confusion", _draw, CONFUSION_CAPTION, _drawn)
CLIENTS_TABLE = Figure("clients", _by_client, _by_client_caption, _like_clients, "12")
