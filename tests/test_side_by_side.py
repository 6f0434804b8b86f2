"""Algorithms side by side: the test against scipy and by hand, and the table from runs to words."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import report_example as example
from fedspike.energy.estimate import estimate
from fedspike.report.analysis.ranks import over_settings
from fedspike.report.analysis.side_by_side import SideBySide, side_by_side
from fedspike.report.analysis.significance import holm, least_p, pairs_for, signed_rank
from fedspike.report.figures.accuracy import ACCURACY_TABLE
from fedspike.report.figures.methods import METHODS_CHART, METHODS_TABLE, TESTS_TABLE, sentences
from fedspike.report.figures.ranking import RANKS_TABLE
from fedspike.report.figures.weights import WEIGHT_IMAGES, pictures, settings_shown
from fedspike.report.rendering.drawing import Panels
from fedspike.report.rendering.tables import Caption, Marked, Table, to_latex, to_markdown
from fedspike.report.writing import in_short

WHOLE = st.integers(-6, 6)


def table_of(runs: list[dict[str, Any]]) -> SideBySide:
    found = side_by_side(example.summaries(runs))
    assert found is not None
    return found


@given(
    sizes=st.lists(st.integers(1, 10_000), min_size=1, max_size=25, unique=True),
    signs=st.lists(st.booleans(), min_size=25, max_size=25),
)
def test_without_ties_the_test_is_scipys_exact_one(sizes: list[int], signs: list[bool]) -> None:
    differences = [
        size / 100 if sign else -size / 100 for size, sign in zip(sizes, signs, strict=False)
    ]
    oracle = stats.wilcoxon(differences, method="exact").pvalue
    assert signed_rank(differences) == pytest.approx(oracle, rel=1e-9)


@given(st.lists(WHOLE, min_size=1, max_size=10))
def test_with_ties_and_zeros_all_signs_are_counted_out(differences: list[int]) -> None:
    """Of the 2^n choices of signs those as extreme as the one that was seen, as scipy ranks them."""
    own = [one for one in differences if one]
    ranks = stats.rankdata(np.abs(own)) if own else np.array([])
    sums = [abs(np.dot(ranks, signs)) for signs in itertools.product((-1, 1), repeat=len(own))]
    seen = abs(np.dot(ranks, np.sign(own))) if own else 0.0
    p = np.mean([one >= seen - 1e-9 for one in sums])
    assert signed_rank([float(one) for one in differences]) == pytest.approx(p, rel=1e-12)


def test_differences_that_are_alike_but_for_rounding_are_tied() -> None:
    """Of 1,000 images each: 83.1 - 83.0 and 9.1 - 9.0 are one image both, not as binary numbers."""
    unequal = [83.1 - 83.0, 9.1 - 9.0, 57.3 - 57.2, 70.0 - 70.1, 81.2 - 80.7]
    assert len({abs(one) for one in unequal[:4]}) > 1
    assert signed_rank(unequal) == signed_rank([1.0, 1.0, 1.0, -1.0, 5.0])
    assert signed_rank([0.3 - 0.1 - 0.2, 1.0]) == signed_rank([1.0]) == 1.0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closed_test_of_all_subsets(ps: list[float]) -> None:
    """p(i) = max over the sets of hypotheses with i in them of Bonferroni's p of that set."""
    places = range(len(ps))
    sets = [s for n in places for s in itertools.combinations(places, n + 1)]
    closed = [max(min(1.0, len(s) * min(ps[j] for j in s)) for s in sets if i in s) for i in places]
    assert holm(ps) == pytest.approx(closed, rel=1e-12)


@pytest.mark.parametrize("pairs", range(1, 12))
def test_no_p_is_smaller_than_the_least(pairs: int) -> None:
    assert signed_rank([*map(float, range(1, pairs + 1))]) == least_p(pairs)
    assert (least_p(pairs) < 0.05) == (pairs >= 6)
    assert pairs_for(2**pairs // 40) <= pairs + 1 if pairs > 5 else True


def test_the_table_has_settings_down_and_algorithms_across() -> None:
    side = table_of(example.algorithms())
    assert (side.what, side.columns) == ("algorithm", ("fedavg", "fedprox", "fedadam"))
    assert [row.label for row in side.rows] == ["10 classes", "3 classes"]
    for row, base in zip(side.rows, (80.0, 59.0), strict=True):
        expected = [base + 3 * (1 - (-1) ** seed * seed / 10) + 0.3 * seed for seed in range(7)]
        assert row.accuracy["fedprox"].mean == pytest.approx(np.mean(expected))
        ahead = [3 * (1 - (-1) ** seed * seed / 10) for seed in range(7)]
        points, theirs = row.differences["fedprox"].points, estimate(ahead)
        assert points.mean == pytest.approx(theirs.mean)
        assert points.half_width == pytest.approx(theirs.half_width)
        assert points.count == 7
        one = row.differences["fedprox"]
        assert (one.p, one.corrected) == (2 / 2**7, 4 * 2 / 2**7)  # all ahead; four comparisons
        assert not one.significant  # 0.0625
    assert side.comparisons == 4
    assert "7 seeds are too few for 4 comparisons" in side.too_few
    assert "p would still be 0.062" in side.too_few
    assert "It takes 8" in side.too_few


def test_a_difference_is_significant_after_correction_alone() -> None:
    points = {"fedavg": 0.0, "fedprox": 3.0, "fedadam": -2.0, "scaffold": 0.0}
    side = table_of(example.algorithms(points, seeds=10))
    first = side.rows[0].differences
    assert [first[name].significant for name in side.columns[1:]] == [True, True, False]
    assert [first[name].better for name in side.columns[1:]] == [True, False, False]
    assert first["fedprox"].corrected == 6 * 2 / 2**10
    assert first["scaffold"].p == first["scaffold"].corrected == 1.0
    assert side.too_few == ""
    assert sentences(side)[0] == (
        "10 classes: fedprox beats fedavg by 3.1 points (n = 10, p = 0.012)."
    )


def test_of_those_ahead_the_sentence_names_one_that_is_so_significantly() -> None:
    """FedAdam gains more on average, by far in one seed, but is behind in two."""
    runs = example.algorithms({"fedavg": 0.0, "fedprox": 2.0, "fedadam": 0.0}, seeds=8, held=(3,))
    for run in runs:
        if run["algorithm"] == "fedadam":
            run["final_accuracy"] += 0.4 if run["seed"] == 0 else -0.01 if run["seed"] < 3 else 0.01
            run["accuracy"][-1] = run["final_accuracy"]
    (row,) = table_of(runs).rows
    assert row.differences["fedadam"].points.mean > row.differences["fedprox"].points.mean
    assert row.best == "fedprox"


def test_seeds_that_are_missing_are_left_out_of_the_pairs() -> None:
    runs = [
        run
        for run in example.algorithms({"fedavg": 0.0, "fedprox": 1.0}, seeds=9)
        if (run["algorithm"], run["seed"]) not in {("fedavg", 0), ("fedprox", 8)}
    ]
    side = table_of(runs)
    row = side.rows[0]
    assert [cell.count for cell in row.accuracy.values()] == [8, 8]
    assert list(row.differences["fedprox"].by_seed) == [1, 2, 3, 4, 5, 6, 7]


def test_what_meets_nothing_in_a_setting_is_left_out() -> None:
    runs = example.algorithms({"fedavg": 0.0, "fedprox": 1.0}, seeds=2)
    runs += [example.run("snn", 5, 0, algorithm="fedadam", rounds=2)]  # of a setting of its own
    side = table_of(runs)
    assert side.columns == ("fedavg", "fedprox")
    assert len(side.rows) == 2


@pytest.mark.parametrize("seeds", [1, 3])
def test_few_seeds_have_no_test_and_the_page_says_so(seeds: int, tmp_path: Path) -> None:
    runs = example.algorithms({"fedprox": 1.0, "fedadam": 0.5}, seeds=seeds)
    results = example.results(tmp_path / "runs", runs)
    side, few = results.side_by_side, f"{seeds} seed{' is' if seeds == 1 else 's are'} too few"
    assert side is not None
    # Without plain averaging the first is the baseline.
    said = f"10 classes: {few} for a test; fedadam is 0.5 points behind fedprox."
    assert in_short(results)[0] == said
    assert not isinstance(METHODS_TABLE.caption, Caption)
    notes = " ".join(METHODS_TABLE.caption(side).notes)
    assert f"{few} for a test: were one ahead in each of them, p would still be" in notes
    assert notes.endswith("It takes 6 for one comparison, and 7 for 2 of them.")
    assert "Wilcoxon" not in notes
    assert (METHODS_CHART.needs(results) is None) == (seeds == 1)


def test_other_settings_are_columns_where_the_algorithm_is_the_same() -> None:
    runs = example.algorithms({"fedavg": 0.0}, seeds=2)
    for run in runs:
        run["config"] |= {"optimiser": {"kind": "adam", "learning_rate": 0.001}}
    faster = [
        run
        | {"name": f"{run['name']}-fast"}
        | {"config": run["config"] | {"optimiser": {"kind": "adam", "learning_rate": 0.01}}}
        for run in runs
    ]
    side = table_of(runs + faster)
    assert side.what == "variant"
    assert side.columns == ("optimiser learning rate 0.001", "optimiser learning rate 0.01")
    # Beside algorithms they make rows.
    other = [
        run
        | {"name": f"{run['name']}-prox", "algorithm": "fedprox"}
        | {"config": run["config"] | {"algorithm": {"kind": "fedprox", "mu": 0.1}}}
        for run in runs + faster
    ]
    side = table_of(runs + faster + other)
    assert side.columns == ("fedavg", "fedprox")
    assert [row.label for row in side.rows][:2] == [
        "10 classes, optimiser learning rate 0.001",
        "10 classes, optimiser learning rate 0.01",
    ]


def methods(*tables: dict[str, Any]) -> list[dict[str, Any]]:
    """Two seeds of each of these methods in one setting."""
    return [
        run | {"name": f"{run['name']}-{place}", "config": run["config"] | table}
        for place, table in enumerate(tables)
        for run in example.algorithms({"fedavg": 0.0}, seeds=2)[:2]
    ]


def test_plain_averaging_is_the_baseline_and_others_are_named_after_what_they_change() -> None:
    mean, strongest = {"rule": {"kind": "mean"}}, {"rule": {"kind": "strongest"}}
    clipped = {"remedies": [{"kind": "clipping", "norm": 1.0}]}
    union = {"algorithm": {"kind": "neuron-union", "each": 50}}
    allotted = {"learner": {"kind": "stdp", "allotted": True}}
    plain = {"learner": {"kind": "stdp", "allotted": False}}
    side = table_of(
        methods(
            *(union | plain, strongest | plain, mean | clipped | plain, mean | allotted),
            mean | plain,
        )
    )
    assert side.columns == (
        *("fedavg", "neuron-union", "fedavg, strongest", "fedavg, clipping norm 1"),
        "fedavg, allotted",
    )


def test_what_a_learner_needs_goes_with_its_column_and_is_said() -> None:
    stdp = {"learner": {"kind": "stdp"}, "neuron": {"kind": "competitive", "rise": 0.1}}
    side = table_of(methods({"learner": {"kind": "backpropagation"}}, stdp))
    assert side.columns == ("backpropagation", "stdp")
    assert len(side.rows) == 1
    assert side.bound == ("neuron.kind", "neuron.rise")
    # Where a learner has several such networks, they are rows; then none was run in two ways.
    tau = stdp | {"neuron": {"kind": "competitive", "rise": 0.2}}
    runs = methods({"learner": {"kind": "backpropagation"}}, stdp, tau)
    assert side_by_side(example.summaries(runs)) is None


def test_networks_alone_are_no_algorithms() -> None:
    runs = [
        example.run(network, classes, seed, rounds=2)
        for network in ("ann", "snn", "qann")
        for classes in (10, 3)
        for seed in range(2)
    ]
    runs += [example.run("ann", None, 0, rounds=2, partition={"kind": "centralised"})]
    runs += [example.variant(run, "phase", 9) for run in runs if run["network"] == "snn"]
    assert side_by_side(example.summaries(runs)) is None


@pytest.mark.parametrize("other", [("snn", 3), ("ann", 10)])
def test_another_network_or_partition_never_goes_with_a_column(other: tuple[str, int]) -> None:
    runs = [
        example.run(network, classes, seed, algorithm=algorithm, rounds=2)
        for (network, classes), algorithm in ((("ann", 3), "fedavg"), (other, "fedprox"))
        for seed in range(2)
    ]
    assert side_by_side(example.summaries(runs)) is None


def test_networks_are_rows() -> None:
    runs = [
        example.run(network, 3, seed, algorithm=algorithm, rounds=2)
        for network in ("ann", "snn")
        for algorithm in ("fedavg", "fedprox")
        for seed in range(2)
    ]
    side = table_of(runs)
    assert [(row.label, row.role) for row in side.rows] == [
        ("3 classes, ANN", "conventional"),
        ("3 classes, SNN", "spiking"),
    ]


def test_only_what_is_significantly_better_is_bold(tmp_path: Path) -> None:
    points = {"fedavg": 0.0, "fedprox": 3.0, "fedadam": -2.0}
    results = example.results(tmp_path / "runs", example.algorithms(points, seeds=9))
    side = results.side_by_side
    assert side is not None
    drawn = METHODS_TABLE.draw(side)
    assert isinstance(drawn, Table)
    bold = [[cell.strong for cell in row if isinstance(cell, Marked)] for row in drawn.rows]
    assert bold == [[False, True, False]] * 2
    assert to_markdown(drawn, "", ()).count("** (+") == 2
    assert to_latex(drawn, "", (), "methods").count(r"\textbf{") == 2
    tests = TESTS_TABLE.draw(side)
    assert isinstance(tests, Table)
    assert [row[-1] for row in tests.rows] == ["better", "worse"] * 2
    assert in_short(results) == sentences(side)


def test_so_many_algorithms_that_no_page_is_wide_enough_are_rows(tmp_path: Path) -> None:
    names = ("fedavg", "fedprox", "fedadam", "fedyogi", "fedadagrad", "fedavgm", "mifa", "moon")
    points = {name: float(place) for place, name in enumerate(names)}

    def drawn(points: dict[str, float], folder: str) -> Table:
        side = example.results(tmp_path / folder, example.algorithms(points, seeds=3)).side_by_side
        assert side is not None
        made = METHODS_TABLE.draw(side)
        assert isinstance(made, Table)
        return made

    few, many = drawn(points, "few"), drawn(points | {"fednova": 9.0}, "many")
    assert [column.label for column in few.columns] == ["setting", *names]
    assert [column.label for column in many.columns] == ["algorithm", "10 classes", "3 classes"]
    assert [row[0] for row in many.rows] == [*names, "fednova"]
    turned = list(zip(*(row[1:] for row in few.rows), strict=True))
    assert [row[1:] for row in many.rows][:-1] == turned


@pytest.mark.parametrize(
    ("points", "bold"),
    [
        ({"fedavg": 0.0, "fedprox": -3.0, "fedadam": -2.0}, [True, False, False]),
        ({"fedavg": 0.0, "fedprox": -3.0, "fedadam": 0.0}, [False, False, False]),
    ],
)
def test_the_baseline_is_bold_where_it_is_better_than_all_others(
    points: dict[str, float], bold: list[bool]
) -> None:
    drawn = METHODS_TABLE.draw(table_of(example.algorithms(points, seeds=8, held=(3,))))
    assert isinstance(drawn, Table)
    assert [cell.strong for cell in drawn.rows[0] if isinstance(cell, Marked)] == bold


def test_each_learner_has_weight_images_and_is_named(tmp_path: Path) -> None:
    runs = [
        run | {"name": f"{run['name']}-{learner}"} | {"config": run["config"] | {"learner": table}}
        for learner in ("backpropagation", "stdp")
        for table in [{"kind": learner}]
        for network in ("ann", "snn")
        for classes in (10, 3)
        for run in [example.run(network, classes, rounds=1)]
    ]
    positive = example.run("snn", 10)["hidden_weights"] | {"shape": [1, 2, 2]}
    positive["int8_base64"] = "AAECfw=="  # 0, 1, 2, 127
    runs[6]["hidden_weights"] = positive  # of the SNN with all classes
    shown = pictures(example.results(tmp_path / "runs", runs))
    assert [one.title for one in shown] == [
        f"{network}, {classes} classes, {learner} (seed 0)"
        for learner in ("backpropagation", "stdp")
        for classes in (10, 3)
        for network in ("ANN", "SNN")
    ]
    drawn = WEIGHT_IMAGES.draw(shown)
    assert isinstance(drawn, Panels)
    texts = ["None is below zero" in panel.svg for panel in drawn.panels]
    assert texts == [False] * 5 + [True] + [False] * 2


@pytest.mark.parametrize(
    ("held", "shown"),
    [
        ((3,), ["fedavg", "fedprox", "fedadam"]),  # one partition: all
        ((10, 5, 3), ["fedavg", "fedprox"] * 2),  # the ends: plain averaging and the best other
    ],
)
def test_pictures_are_of_plain_averaging_and_of_the_best_others(
    held: tuple[int, ...], shown: list[str], tmp_path: Path
) -> None:
    runs = example.algorithms(seeds=1, held=held)
    results = example.results(tmp_path / "runs", runs)
    ends = dict.fromkeys((held[0], held[-1]))
    algorithms = [setting.first_run.algorithm for setting in settings_shown(results)]
    assert algorithms == shown
    classes = [setting.first_run.classes_per_client for setting in settings_shown(results)]
    assert list(dict.fromkeys(classes)) == list(ends)


def test_one_setting_needs_no_name_in_a_sentence() -> None:
    points = {"fedavg": 0.0, "fedprox": -1.0}
    (line,) = sentences(table_of(example.algorithms(points, seeds=6, held=(3,))))
    assert line == (
        "No algorithm is significantly better than fedavg; "
        "fedprox is 1.0 points behind it (n = 6, p = 0.031)."
    )


def test_what_rounds_to_nothing_is_as_accurate() -> None:
    runs = example.algorithms({"fedavg": 0.0, "fedprox": -0.04}, seeds=6, held=(3,))
    (line,) = sentences(table_of(runs))
    assert "; fedprox is as accurate as it (n = 6, p = " in line
    runs = example.algorithms({"fedavg": 0.0, "fedprox": 0.04}, seeds=1, held=(3,))
    (line,) = sentences(table_of(runs))
    assert line == "1 seed is too few for a test; fedprox is as accurate as fedavg."
    (line,) = sentences(
        table_of(example.algorithms({"fedavg": 0.0, "fedprox": 0.04}, seeds=6, held=(3,)))
    )
    assert line.startswith("fedprox beats fedavg by less than 0.1 points (n = 6, p = 0.031)")


def personal(points: dict[str, float] | None = None, **changes: Any) -> list[dict[str, Any]]:
    """Algorithms with one model for all, and two whose clients end with models of their own."""
    points = points or {"fedavg": 0.0, "fedprox": 3.0, "local-only": 9.0, "ditto": 7.0}
    settings: dict[str, Any] = {"seeds": 9, "held": (3,)} | changes
    runs = example.algorithms(points, **settings)
    own = {"accuracy_of": "own models, own samples"}
    return [run | own if run["algorithm"] in ("local-only", "ditto") else run for run in runs]


def test_accuracies_of_different_kinds_stand_side_by_side_and_are_not_compared(
    tmp_path: Path,
) -> None:
    results = example.results(tmp_path / "runs", personal())
    side = results.side_by_side
    assert side is not None
    assert (side.comparisons, side.compared, side.apart) == (
        *(1, ["fedavg", "fedprox"]),
        ["local-only", "ditto"],
    )
    drawn = METHODS_TABLE.draw(side)
    assert isinstance(drawn, Table)
    assert [column.label for column in drawn.columns[1:]] == [
        *("fedavg", "fedprox", "local-only, own models", "ditto, own models"),
    ]
    cells = [cell for cell in drawn.rows[0] if isinstance(cell, Marked)]
    assert [cell.strong for cell in cells] == [False, True, False, False]
    assert [len(cell.below) for cell in cells] == [0, 2, 0, 0]
    assert in_short(results) == [
        "fedprox beats fedavg by 2.9 points (n = 9, p = 0.0039).",
        "local-only and ditto are not compared with fedavg: accuracy there is that of each client’s own "
        "model, on the test samples that are like its training samples.",
    ]
    # Beside one of them the others are apart, and the baseline may be the best of its kind.
    own = side_by_side(results.runs, "local-only")
    assert own is not None
    assert own.compared == ["local-only", "ditto"]
    assert own.rows[0].baseline_best
    assert sentences(own)[0].startswith(
        "No algorithm is significantly better than local-only; ditto"
    )


def test_without_a_server_accuracies_are_compared_with_those_of_the_global_model(
    tmp_path: Path,
) -> None:
    runs = [
        run | {"accuracy_of": "own models, all samples"} if run["algorithm"] == "fedprox" else run
        for run in example.algorithms({"fedavg": 0.0, "fedprox": 3.0}, seeds=9, held=(3,))
    ]
    results = example.results(tmp_path / "runs", runs)
    assert in_short(results) == ["fedprox beats fedavg by 2.9 points (n = 9, p = 0.0039)."]
    side = results.side_by_side
    assert side is not None
    assert side.headings["fedprox"] == "fedprox, own models, all samples"
    assert not isinstance(METHODS_TABLE.caption, Caption)
    notes = METHODS_TABLE.caption(side).notes
    assert any(
        note.startswith("“own models, all samples”: each client’s own model") for note in notes
    )
    assert "not compared" not in " ".join(notes)


def test_one_of_a_kind_is_compared_with_nothing(tmp_path: Path) -> None:
    results = example.results(tmp_path / "runs", personal({"fedavg": 0.0, "local-only": 20.0}))
    (line,) = in_short(results)
    assert line.startswith("local-only is not compared with fedavg")
    side = results.side_by_side
    assert side is not None
    assert not side.rows[0].baseline_best
    assert METHODS_CHART.needs(results) is None


def test_algorithms_that_all_leave_own_models_are_compared_and_the_page_says_what_of(
    tmp_path: Path,
) -> None:
    runs = personal({"local-only": 0.0, "ditto": 2.0})
    results = example.results(tmp_path / "runs", runs)
    side = results.side_by_side
    assert side is not None
    assert side.headings == {"local-only": "local-only", "ditto": "ditto"}
    assert in_short(results)[0].startswith("ditto beats local-only")
    assert not isinstance(METHODS_TABLE.caption, Caption)
    assert METHODS_TABLE.caption(side).notes[0].startswith("Accuracy: each client’s own model")
    assert not isinstance(ACCURACY_TABLE.caption, Caption)
    assert ACCURACY_TABLE.caption(results).title == "Test accuracy of the clients’ own models"


def test_only_methods_of_one_kind_are_ranked() -> None:
    points = {"fedavg": 0.0, "fedprox": 1.0, "fedadam": 2.0, "local-only": 20.0}
    held = (10, 9, 8, 7, 6, 5, 4, 3)
    ranks = over_settings(table_of(personal(points, seeds=1, held=held)))
    assert ranks is not None
    assert list(ranks.average) == ["fedadam", "fedprox", "fedavg"]
    assert ranks.left_out == ("local-only",)


def test_with_few_settings_there_are_ranks_and_no_pair_is_tested(tmp_path: Path) -> None:
    points = {"fedavg": 0.0, "fedprox": 3.0, "fedadam": 1.0}
    runs = example.algorithms(points, held=(10, 5, 3))
    results = example.results(tmp_path / "runs", runs)
    assert results.side_by_side is not None
    ranks = over_settings(results.side_by_side)
    assert ranks is not None
    assert (ranks.average, ranks.pairs) == ({"fedprox": 1.0, "fedadam": 2.0, "fedavg": 3.0}, {})
    assert (ranks.p < 0.05, ranks.settings_needed) == (True, 7)
    drawn = RANKS_TABLE.draw(ranks)
    assert isinstance(drawn, Table)
    assert [column.label for column in drawn.columns] == ["algorithm", "average rank"]
    assert not isinstance(RANKS_TABLE.caption, Caption)
    assert "for 3 pairs that takes 7 rows" in RANKS_TABLE.caption(ranks).notes[0]
