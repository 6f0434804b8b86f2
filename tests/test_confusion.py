"""What is right by class and by client, against the run's own counts and brute force."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import report_example as example
from fedspike.data.fashion_mnist import CLASS_NAMES
from fedspike.data.partition.likeness import dealt
from fedspike.records import joined
from fedspike.records.reader import run as read_run
from fedspike.report.analysis.confusion import Outcome, outcome
from fedspike.report.analysis.results import Results
from fedspike.report.figures.confusions import CLASSES_TABLE, CLIENTS_TABLE, CONFUSION_CHART
from fedspike.report.rendering.drawing import Panels
from running import finish
from test_choices import both, one
from test_report_numbers import rows

TINY = """\
name = "classes"
rounds = 2
[data]
kind = "fashion-mnist-sample"
[partition]
kind = "classes"
classes = 3
[fleet]
clients = 4
samples_per_round = 24
[architecture]
hidden = [6]
[snn]
time_steps = 4
[sweep]
network = ["ann", "snn"]
"""


@st.composite
def outcomes(draw: st.DrawFn) -> Outcome:
    classes, clients = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    each = st.integers(0, classes - 1)
    pairs = draw(st.lists(st.tuples(each, each), min_size=1, max_size=60))
    held = draw(
        st.lists(
            st.lists(st.integers(0, 7), min_size=classes, max_size=classes),
            min_size=clients,
            max_size=clients,
        )
    )
    labels, predicted = np.array(pairs).T
    return Outcome(labels, predicted, np.array(held))


@given(outcomes())
def test_all_ways_to_count_add_up_to_the_same(test: Outcome) -> None:
    right = int(test.right.sum())
    assert int(np.trace(test.confusion)) == right
    assert int(test.confusion.sum()) == len(test.labels)
    assert sum(r for r, _ in test.by_client.values()) == right
    assert sum(n for _, n in test.by_client.values()) == len(test.labels)
    pairs = Counter(zip(test.labels.tolist(), test.predicted.tolist(), strict=True))
    for (label, said), count in pairs.items():
        assert test.confusion[label, said] == count


@given(outcomes())
def test_a_client_is_asked_about_what_it_has_in_its_proportions(test: Outcome) -> None:
    for label in range(test.class_counts.shape[1]):
        held = test.class_counts[:, label]
        asked = np.bincount(test.client[test.labels == label], minlength=len(held))
        if held.sum():
            quota = asked.sum() * held / held.sum()
            assert (np.abs(asked - quota) < 1).all()
            assert not asked[held == 0].any()


@given(st.integers(0, 1000), st.lists(st.integers(0, 50), min_size=1, max_size=9))
def test_all_samples_are_dealt(samples: int, held: list[int]) -> None:
    assert dealt(samples, np.array(held)).sum() == samples


def test_the_worst_tenth_has_one_client_at_least() -> None:
    """Twenty clients with ten samples each, of which client k has k // 2 right: the worst two, 0 and 0."""
    labels = np.repeat(np.arange(20), 10)
    right = np.tile(np.arange(10), 20) < np.repeat(np.arange(20) // 2, 10)
    test = Outcome(labels, np.where(right, labels, (labels + 1) % 20), np.eye(20, dtype=int))
    assert test.worst_tenth == 0.0
    assert test.client_accuracies == sorted(10.0 * (k // 2) for k in range(20))
    few = Outcome(labels[:20], labels[:20], np.eye(20, dtype=int)[:2])
    assert few.worst_tenth == 100.0


def test_a_finished_runs_counts_are_its_accuracy(tmp_path: Path) -> None:
    folder = finish(TINY, tmp_path / "runs")
    results = Results(*joined.read([folder]))
    assert len(results.outcomes) == 2
    for run in results.runs:
        own = read_run(folder / run.name)
        assert own is not None
        test = outcome(own)
        assert test is not None
        assert np.trace(test.confusion) / test.confusion.sum() == run.final_accuracy
        assert sum(r for r, _ in test.by_client.values()) == np.trace(test.confusion)
    by_class, by_client = rows(CLASSES_TABLE, results), rows(CLIENTS_TABLE, results)
    assert [row["class"] for row in by_class] == list(CLASS_NAMES)
    assert [row["clients"] for row in by_client] == [4, 4]
    drawn = CONFUSION_CHART.draw(CONFUSION_CHART.needs(results))
    assert isinstance(drawn, Panels)
    assert len(drawn.panels) == 2


def test_seeds_have_an_interval_and_runs_without_predictions_no_table(tmp_path: Path) -> None:
    results = example.results(tmp_path / "a", both([80, 81, 82], [70, 71, 72]))
    first: dict[str, Any] = rows(CLASSES_TABLE, results)[0]
    assert first["ANN_percent"] == pytest.approx(81)
    (by_ann, by_snn) = rows(CLIENTS_TABLE, results)
    assert by_ann["mean_percent"] == pytest.approx(81, abs=0.5)
    assert by_snn["worst_percent"] < by_ann["worst_percent"] <= by_ann["best_percent"]
    without = example.results(tmp_path / "b", [one("ann", 80, predictions=None), one("snn", 80)])
    assert [network.title for network in without.outcomes] == ["SNN"]
