"""`fedspike tune`: a search on held-out samples, its file of settings, and what it does when stopped."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from fedspike.cli import main
from fedspike.data import Dataset
from fedspike.data.validation import held_out
from fedspike.energy import pairing
from fedspike.errors import InputError
from fedspike.experiment import document, run, sweep
from fedspike.experiment.describing import description
from fedspike.experiment.plans import toml_of
from fedspike.experiment.tuning import best, objective, searches
from fedspike.experiment.tuning.objective import Job, Outcome, Working, last
from fedspike.experiment.tuning.searches import Tuning
from fedspike.experiment.tuning.space import Choices, Range
from fedspike.experiment.tuning.suggestion import RANDOM, suggest
from fedspike.experiment.tuning.trials import FILE, Journal
from fedspike.experiment.tuning.tuning import Tried, perform
from fedspike.federation.guard import Rejection
from running import BOTH_NETWORKS, asked, sample

RATES = '"optimiser.learning_rate" = { low = 1e-4, high = 1e-1, log = true }\n'
TUNED = f"{BOTH_NETWORKS}[tune]\ntrials = 2\n{RATES}"


def read(text: str, *options: str) -> Tuning:
    source = sweep._overridden(document.parse(text, "mine.toml"), options)
    return searches.read(sweep.expand(source))


class Reckoned:
    """A crew that trains nothing: what a setting is worth is a function of it. So many answer at once."""

    def __init__(
        self, worth: Callable[[Job], float | None], size: int = 1, *, last_first: bool = False
    ):
        self.worth, self.size, self.last_first = worth, size, last_first
        self.jobs: list[Job] = []

    def start(self, job: Job) -> None:
        self.jobs.append(job)
        assert len(self.jobs) <= self.size

    def next(self) -> Working | Outcome:
        job = self.jobs.pop(-1 if self.last_first else 0)
        accuracy = self.worth(job)
        return Outcome(job, accuracy, "" if accuracy is not None else "it diverged", 1.0)


def searched(
    text: str, folder: Path, worth: Callable[[Job], float | None], **crew: Any
) -> dict[str, Any]:
    tuning = read(text)
    events = perform(tuning, Journal(folder, {"a": "b"}), Reckoned(worth, **crew))
    return {e.trial.search: e.standing for e in events if isinstance(e, Tried)}


def rate(job: Job) -> float:
    """The best learning rate is 0.01."""
    chosen: float = job.chosen.get("optimiser.learning_rate", 1.0)
    return 1 / (1 + abs(math.log10(chosen) + 2))


def stored(folder: Path) -> list[dict[str, Any]]:
    """The trials of a folder in order, without the time that they took."""
    lines = (folder / FILE).read_text().splitlines()[1:]
    trials = [json.loads(line.partition(" ")[2]) for line in lines]
    kept = [{k: v for k, v in trial.items() if k != "seconds"} for trial in trials]
    return sorted(kept, key=lambda trial: (trial["search"], trial["number"]))


@settings(max_examples=20)
@given(st.lists(st.integers(0, 3), min_size=8, max_size=60), st.floats(0.15, 0.9))
def test_what_is_held_out_trains_nobody_and_is_the_same_share_of_each_class(
    labels: list[int], share: float
) -> None:
    y = np.unique(labels, return_inverse=True)[1]
    x = np.arange(len(y), dtype=np.float32)[:, None] / len(y)  # every sample tells its place
    data = Dataset.from_arrays(x, y, x[:1], y[:1])
    if max(min(round(share * n), n - 1) for n in np.bincount(y)) < 1:
        with pytest.raises(InputError, match="validation"):
            held_out(data, share)
        return
    split = held_out(data, share)
    kept, held = (part[:, 0].tolist() for part in (split.x_train, split.x_test))
    assert sorted(kept + held) == x[:, 0].tolist()  # float32 and all different
    for label, n in enumerate(np.bincount(y)):
        assert (split.y_test == label).sum() == min(round(share * n), n - 1)
        assert (split.y_train == label).any()
    again = held_out(Dataset.from_arrays(x, y, x[::-1], y[::-1]), share)
    assert (again.x_test == split.x_test).all()


class Poisoned(Dataset):
    """A data set of which nobody may look at the test samples."""

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if value is POISON:
            raise AssertionError(f"somebody looked at {name}")
        return value


POISON = np.zeros(1)


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    known = vars(sample(10))
    data = Poisoned(**{name: known[name] for name in known})
    object.__setattr__(data, "x_test", POISON)
    object.__setattr__(data, "y_test", POISON)
    with pytest.raises(AssertionError):
        _ = data.x_test
    monkeypatch.setattr(run, "load", lambda *_: data)


@pytest.mark.usefixtures("poisoned")
def test_a_search_from_its_file_to_the_file_with_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("both.toml").write_text(TUNED)
    tune = ("tune", "both.toml", "--threads", "1", "--output")
    told = asked(capsys, *tune, "whole")
    assert (told["validation_samples"], told["trials"]) == (400, 2)
    for network in told["networks"]:
        accuracies = [trial["accuracy"] for trial in network["trials"]]
        assert [trial["trial"] for trial in network["trials"]] == [0, 1, 2]
        assert network["best"]["accuracy"] == max(accuracies)
        assert all(accuracy * 400 == round(accuracy * 400) for accuracy in accuracies)
    assert json.loads(Path("whole/tuning.json").read_text()) == told

    # Killed while it stored its fourth trial, it goes on with the same trials.
    lines = Path("whole", FILE).read_bytes().splitlines(keepends=True)
    Path("part").mkdir()
    Path("part", FILE).write_bytes(b"".join(lines[:4]) + lines[4][:99])
    assert main([*tune, "part"]) == 0
    words = capsys.readouterr()
    assert words.err.count("stored before") == 3
    assert "file's own" in words.out

    assert stored(Path("part")) == stored(Path("whole"))
    assert Path("part", best.FILE).read_text() == Path("whole", best.FILE).read_text()

    # The file is an experiment's, and its networks are compared although their settings differ.
    found = sweep.read("whole/best.toml")
    assert {one.plan.network.kind: _chosen(one) for one in found.runs} == {
        one["network"]: {
            **{"optimiser.learning_rate": 0.001, "seed": 0},
            **{**one["sweep"], **one["best"]["settings"]},
        }
        for one in told["networks"]
    }


def _chosen(one: sweep.Run) -> dict[str, Any]:
    values = document.leaves(toml_of(one.plan))
    return {key: values[key] for key in ("network", "optimiser.learning_rate", "seed")}


@pytest.mark.agreement  # two processes import torch
def test_two_workers_have_the_trials_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("both.toml").write_text(TUNED)
    for folder, workers in (("one", "1"), ("two", "2")):
        words = ["tune", "both.toml", "--output", folder, "--workers", workers]
        assert main([*words, "--threads", "1"]) == 0
    assert stored(Path("one")) == stored(Path("two"))
    assert Path("one", best.FILE).read_text() == Path("two", best.FILE).read_text()


def test_networks_with_settings_of_their_own_are_compared() -> None:
    text = (
        BOTH_NETWORKS.partition("[sweep]")[0]
        + """[sweep]
together = [
    { network = "ann", optimiser.learning_rate = 0.01, learner.batch_size = 5 },
    { network = "snn", optimiser.learning_rate = 0.1 },
]
"""
    )
    data = sample(10)

    def described(toml: str) -> list[Any]:
        runs = sweep.expand(document.parse(toml, "mine.toml")).runs
        return [
            description(one, replace(one.plan, data=data).site(), data, [[1], [1]]) for one in runs
        ]

    apart = described(text)
    assert pairing.setting(apart[0]) != pairing.setting(apart[1])
    ann, snn = described(f'tuned = ["optimiser.learning_rate", "learner.batch_size"]\n{text}')
    assert pairing.setting(ann) == pairing.setting(snn)
    assert pairing.own(ann)["optimiser"] == {"learning_rate": 0.01}
    assert pairing.shared(ann)["optimiser"]["kind"] == pairing.shared(snn)["optimiser"]["kind"]
    rates = described(f'tuned = ["optimiser.learning_rate"]\n{text}')
    assert pairing.setting(rates[0]) != pairing.setting(rates[1])  # batches differ still


# What stands in [tune] in the place of the learning rate's range; the words of the error.
BAD = [
    ("", ["[tune] has no key to search"]),
    ('"qann.bits" = [4, 5]', ["qann.bits in [tune] decides nothing"]),
    ("trials = 0", ["tune.trials = 0", "a whole number >= 1", "set tune.trials = 20"]),
    ("trials = 2.5", ["tune.trials = 2.5"]),
    ("validation = 0", ["tune.validation = 0", "a number > 0 and < 1"]),
    ("validation = 1.0", ["tune.validation = 1.0"]),
    ("validation = nan", ["tune.validation = nan", "a finite number"]),
    ("trails = 3", ["unknown key trails in [tune]", "did you mean trials?"]),
    ("learning_rate = [1.0]", ["unknown key learning_rate", "write it as optimiser.learning_rate"]),
    ('"optimiser.lerning_rate" = [1.0]', ["unknown key optimiser.lerning_rate", "did you mean"]),
    ('"algorithm.mu" = [0.1]', ["unknown key algorithm.mu", "fedprox"]),
    ('"learner.epochs" = []', ["learner.epochs = []", "at least one value"]),
    ('"learner.epochs" = 3', ["learner.epochs = 3", "a range"]),
    ('"learner.epochs" = [1, 1]', ["learner.epochs holds a value twice"]),
    ('"learner.epochs" = [1, 0]', ["learner.epochs = 0", "a whole number >= 1"]),
    ('"learner.epochs" = { low = 1.5, high = 3.5 }', ["learner.epochs = 1.5"]),
    ('"learner.epochs" = { low = 3, high = 1 }', ["from 3 to 1", "low below high"]),
    ('"learner.epochs" = { low = 3, high = 3 }', ["low below high", "write learner.epochs = [3]"]),
    ('"learner.epochs" = { low = 3 }', ["high of learner.epochs is missing"]),
    ('"learner.epochs" = { low = "a", high = 3 }', ['low of learner.epochs = "a"']),
    ('"learner.epochs" = { low = 1, hgh = 3 }', ["unknown key hgh", "did you mean high?"]),
    ('"learner.epochs" = { low = 0, high = 3, log = true }', ["no logarithm"]),
    ('"learner.epochs" = { low = 1, high = 3, log = 1 }', ["true or false"]),
    ("seed = [0, 1]", ["seed in [tune]", "or write it into [sweep]"]),
    ('network = ["ann"]', ["network in [tune]", "none of"]),
    ('"data.kind" = ["gtsrb"]', ["data.kind in [tune]"]),
    ('"code.kind" = ["rate", "phase"]', ["code.kind is swept, too"]),
    ('code = [{ kind = "rate" }]', ["code is tuned, and code.kind is swept"]),
    ('"optimiser.kind" = ["sgd", "adam"]\n"optimiser.momentum" = [0.5]', ["optimiser.momentum"]),
]


@pytest.mark.parametrize(("entry", "words"), BAD)
def test_a_bad_table_is_one_error_with_file_line_and_cure(entry: str, words: list[str]) -> None:
    swept = BOTH_NETWORKS + '"code.kind" = ["rate", "burst"]\n[tune]\n'
    with pytest.raises(InputError) as error:
        read(f"{swept}{entry}\n")
    line = len(swept.splitlines()) + (1 + entry.count("\n") if entry else 0)
    assert str(error.value).startswith(f"mine.toml, line {line}: ")
    for word in words:
        assert word in str(error.value)


def test_without_a_table_the_error_says_what_to_write() -> None:
    with pytest.raises(InputError, match=r"no \[tune\]\n.*\n.*optimiser.learning_rate"):
        read(BOTH_NETWORKS)


def test_options_have_the_last_word() -> None:
    (ann, _) = read(TUNED, "tune.trials=7", 'tune."learner.epochs"=[1,2]').searches
    assert ann.axes == (
        Range("optimiser.learning_rate", 1e-4, 0.1, True),
        Choices("learner.epochs", [1, 2]),
    )
    (ann, _) = read(TUNED, "optimiser.learning_rate=0.5", "tune.learner.epochs=[1,2]").searches
    assert ann.axes == (Choices("learner.epochs", [1, 2]),)
    with pytest.raises(InputError, match=r"--set tune.learner.epochs=\[0\]: learner.epochs = 0"):
        read(TUNED, "tune.learner.epochs=[0]")


def test_each_network_is_searched_in_the_keys_that_it_has() -> None:
    text = (
        f"{BOTH_NETWORKS}seed = [3, 4]\n"
        'algorithm = [{ kind = "fedavg" }, { kind = "fedprox" }]\n[tune]\n'
        '"algorithm.mu" = { low = 0, high = 1 }\n"snn.time_steps" = { low = 2, high = 5 }\n'
    )
    axes = {one.name: [axis.key for axis in one.axes] for one in read(text).searches}
    assert axes == {
        "ann-iid": [],
        "ann-iid-fedprox": ["algorithm.mu"],
        "snn-iid": ["snn.time_steps"],
        "snn-iid-fedprox": ["algorithm.mu", "snn.time_steps"],
    }
    both = read(text).searches[-1]
    # mu is any number, though its ends were written as whole ones; time steps are whole numbers.
    assert [axis.values for axis in both.axes] == [None, [2, 3, 4, 5]]
    assert both.seeds == (3, 4)


def test_every_network_has_the_same_number_of_trials_and_the_first_ones_alike(
    tmp_path: Path,
) -> None:
    text = TUNED.replace("trials = 2", "trials = 8")
    ann, snn = searched(text, tmp_path, rate).values()
    assert len(ann.trials) == len(snn.trials) == 9
    assert [one.settings for one in ann.trials] == [one.settings for one in snn.trials]


def test_a_search_comes_closer_than_chance(tmp_path: Path) -> None:
    text = TUNED.replace("trials = 2", "trials = 20")
    (found, *_) = searched(text, tmp_path, rate).values()
    by_chance = max(one.accuracy or 0 for one in found.trials[: RANDOM + 1])
    assert found.best is not None
    assert (found.best.accuracy or 0) > max(by_chance, 0.95)


def test_a_search_that_was_stopped_anywhere_has_the_same_trials(tmp_path: Path) -> None:
    text = TUNED.replace("trials = 2", "trials = 7")
    searched(text, tmp_path / "whole", rate)
    lines = (tmp_path / "whole" / FILE).read_bytes().splitlines(keepends=True)
    for stop in (0, 1, 11):
        (part := tmp_path / f"{stop}").mkdir()
        (part / FILE).write_bytes(b"".join(lines[:stop]))
        searched(text, part, rate)
        assert stored(part) == stored(tmp_path / "whole")


def test_who_is_faster_does_not_change_the_trials_of_several_workers(tmp_path: Path) -> None:
    text = TUNED.replace("trials = 2", "trials = 7")
    for folder, size in (("one", 1), ("two", 2), ("six", 6)):
        searched(text, tmp_path / folder, rate, size=size)
    searched(text, tmp_path / "late", rate, size=6, last_first=True)
    assert stored(tmp_path / "six") == stored(tmp_path / "late")
    assert stored(tmp_path / "one") == stored(tmp_path / "two")  # two networks, a process each
    assert stored(tmp_path / "one") != stored(tmp_path / "six")


def test_few_settings_are_all_tried_and_none_twice(tmp_path: Path) -> None:
    text = TUNED.replace(RATES, '"learner.epochs" = [1, 2]\n"learner.batch_size" = [5]\n')
    text = text.replace("trials = 2", "trials = 9")
    ann, _ = searched(text, tmp_path, lambda _: 0.5).values()
    assert [one.settings.get("learner.epochs") for one in ann.trials] == [None, 1, 2]
    axes = [Choices("learner.epochs", list(range(12)))]
    tried: list[Any] = []
    for number in range(1, 12):
        tried.append((suggest(axes, tried, number, 11), 0.5))
    assert len({chosen["learner.epochs"] for chosen, _ in tried}) == 11


def test_a_trial_that_fails_is_never_the_best(tmp_path: Path) -> None:
    text = TUNED.replace("trials = 2", "trials = 6")
    found = searched(text, tmp_path, lambda job: None if job.trial in (0, 2) else rate(job))
    assert [one.failed for one in found["ann-iid"].trials][:3] == ["it diverged", "", "it diverged"]
    assert found["ann-iid"].best.number not in (0, 2)


def test_where_all_trials_of_a_network_fail_it_keeps_the_settings_of_the_file(
    tmp_path: Path,
) -> None:
    found = searched(TUNED, tmp_path, lambda job: rate(job) if job.search == "snn-iid" else None)
    written = best.toml(read(TUNED), list(found.values()))
    assert "# ann-iid: all trials failed; it keeps the file's own settings (it diverged)" in written
    assert '    { network = "ann" },' in written
    assert len(sweep.expand(document.parse(written, "best.toml")).runs) == 2
    with pytest.raises(InputError, match=r"all trials failed, the first one of ann-iid.*diverged"):
        searched(TUNED, tmp_path / "none", lambda _: None)


def test_where_no_trial_is_better_both_networks_fall_back_to_the_file(tmp_path: Path) -> None:
    found = searched(TUNED, tmp_path, lambda job: 0.9 if job.trial == 0 else 0.9 - job.trial / 100)
    written = best.toml(read(TUNED), list(found.values()))
    tuned = sweep.expand(document.parse(written, "best.toml")).runs
    own = sweep.expand(document.parse(BOTH_NETWORKS, "mine.toml")).runs
    assert [one.settings_sha256 for one in tuned] == [one.settings_sha256 for one in own]


def test_what_trains_nothing_in_the_end_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    source, data = document.parse(BOTH_NETWORKS, "mine.toml"), sample(10)

    def outcome(losses: list[float], **chosen: Any) -> Outcome:
        rejections = (Rejection(0, "not finite", "nan"),)
        rounds = [
            SimpleNamespace(number=n, accuracy=0.5, rejections=rejections, training_loss=loss)
            for n, loss in enumerate(losses, 1)
        ]
        monkeypatch.setattr(objective, "rounds", lambda *_, **__: iter(rounds))
        job = Job("ann-iid", 1, 0, chosen)
        *_, told = objective.train(job, source, sweep.SHIPPED, data, "cpu")
        assert isinstance(told, Outcome)
        return told

    assert outcome([math.nan, 1.0]).accuracy == 0.5  # some answers were accepted at last
    assert outcome([1.0, math.nan]).failed == "round 2: all answers rejected, not finite"
    assert outcome([1.0, math.nan]).accuracy is None
    refused = outcome([1.0], **{"learner.epochs": 0})
    assert refused.failed == "mine.toml: learner.epochs = 0"


def test_the_file_of_settings_is_the_trials_of_whole_parts_too(tmp_path: Path) -> None:
    text = f"""{BOTH_NETWORKS.replace('"ann", ', "")}
partition = [{{ kind = "iid" }}, {{ kind = "classes", classes = 3 }}]
seed = [1, 2]
[partition]
kind = "iid"
[optimiser]
kind = "adam"
[tune]
optimiser = [{{ kind = "sgd", learning_rate = 0.5 }}, {{ kind = "adam", learning_rate = 0.02 }}]
remedies = [[], [{{ kind = "clipping", norm = 1.0 }}]]
"""
    tuning = read(text)
    found = searched(text, tmp_path, lambda job: 0.1 * job.trial)
    written = best.toml(tuning, list(found.values()))
    runs = sweep.expand(document.parse(written, "best.toml")).runs
    assert len(runs) == 4
    for one in runs:
        values = document.leaves(toml_of(one.plan))
        assert one.tuned == ("optimiser", "remedies")
        assert values["optimiser.kind"] == "adam"  # of the last of four settings
        assert values["remedies"] == [{"kind": "clipping", "norm": 1.0}]
    assert {(one.plan.partition.kind, one.plan.seed) for one in runs} == {
        (kind, seed) for kind in ("iid", "classes") for seed in (1, 2)
    }


def test_a_journal_of_another_search_or_a_changed_one_is_refused(tmp_path: Path) -> None:
    searched(TUNED, tmp_path, rate)
    with pytest.raises(InputError, match="a search with a b"):
        Journal(tmp_path, {"a": "c"})
    content = (tmp_path / FILE).read_text()
    (tmp_path / FILE).write_text(content.replace('"number": 1', '"number": 2', 1))
    with pytest.raises(InputError, match=rf"{FILE}, line \d+: was changed"):
        Journal(tmp_path, {"a": "b"})
    other = read(TUNED.replace("1e-4", "1e-3"))
    assert other.sha256 != read(TUNED).sha256
    assert read(TUNED, "tune.trials=5").sha256 == read(TUNED).sha256  # more trials go on


def test_the_objective_is_the_last_tenth_of_the_rounds() -> None:
    assert last([*[0.0] * 90, *[0.5] * 9, 1.0]) == pytest.approx(0.55)
    assert last([0.25]) == 0.25


def test_a_file_with_a_search_is_run_as_one_without() -> None:
    with_search, without = (
        sweep.expand(document.parse(text, "mine.toml")).runs for text in (TUNED, BOTH_NETWORKS)
    )
    assert [one.settings_sha256 for one in with_search] == [one.settings_sha256 for one in without]


@pytest.mark.parametrize("tuned", ['"optimiser"', "[1]", '["seed"]', '["optimizer.learning_rate"]'])
def test_what_is_tuned_is_a_list_of_keys(tuned: str) -> None:
    with pytest.raises(InputError, match=r"mine.toml, line 1: tuned = "):
        sweep.expand(document.parse(f"tuned = {tuned}\n{BOTH_NETWORKS}", "mine.toml"))
