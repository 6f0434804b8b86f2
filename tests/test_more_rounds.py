"""A run goes on for more rounds than it was to have: the same bits, and nothing stored is lost on the way."""

import json
import shutil
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from fedspike import files
from fedspike.cli import main
from fedspike.errors import InputError
from fedspike.experiment import document, sweep
from fedspike.experiment.training import SIMULATED, train
from fedspike.records import reader
from fedspike.records.events import Finished, Skipped, Started
from running import BOTH_NETWORKS, asked, events, fingerprints, finish

# Of which clients remember something from round to round.
SCAFFOLD = '[algorithm]\nkind = "scaffold"\n[optimiser]\nkind = "sgd"\nlearning_rate = 0.05\n'
TOML = BOTH_NETWORKS + SCAFFOLD


def of(rounds: int) -> sweep.Experiment:
    """The experiment, with so many rounds."""
    text = TOML.replace("rounds = 2", f"rounds = {rounds}")
    return sweep.expand(document.parse(text, "both.toml"))


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All five rounds from the start."""
    folder = tmp_path_factory.mktemp("five") / "both"
    return finish(TOML.replace("rounds = 2", "rounds = 5"), folder)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rounds."""
    return finish(TOML, tmp_path_factory.mktemp("two") / "both")


@pytest.fixture
def two(finished: Path, tmp_path: Path) -> Path:
    """A copy of these."""
    return Path(shutil.copytree(finished, tmp_path / "both"))


def test_a_finished_run_goes_on_to_the_same_bits(two: Path, five: Path) -> None:
    started = [event for event in events(of(5), two) if isinstance(event, Started)]
    assert {event.rounds_done for event in started} >= {2}
    assert_same(two, five)
    assert all(isinstance(event, Skipped) for event in events(of(5), two))


def test_a_run_that_was_stopped_before_goes_on_to_the_same_bits(tmp_path: Path, five: Path) -> None:
    happening = events(of(2), tmp_path / "both")
    assert len(list(islice(happening, 4))) == 4
    del happening
    for _ in events(of(5), tmp_path / "both"):
        pass
    assert_same(tmp_path / "both", five)


@pytest.mark.parametrize("stopped_after", [0, 2, 5, 8])
def test_stopped_anywhere_what_was_finished_can_be_read_and_more_goes_on(
    stopped_after: int, two: Path, five: Path
) -> None:
    before = reader.read(two)
    happening = events(of(5), two)
    seen = list(islice(happening, stopped_after))
    del happening
    over = {event.run for event in seen if isinstance(event, Finished)}
    for run, records in reader.with_rounds(two):
        assert len(records) == run.rounds == (5 if run.name in over else 2)
    if not over:
        assert reader.read(two) == before
        assert [type(event) for event in events(of(2), two)] == [Skipped, Skipped]
    for _ in events(of(5), two):
        pass
    assert_same(two, five)


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("writes", range(9))
def test_killed_at_any_write_it_goes_on(
    writes: int, two: Path, five: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before each of its writes: of what begins, of a round, and of what is finished."""
    run = of(3).runs[0]
    home, left = two / run.name, iter(range(writes))

    def killing(act: Any) -> Any:
        def write(*arguments: Any, **named: Any) -> Any:
            if next(left, None) is None:
                raise Killed
            return act(*arguments, **named)

        return write

    with monkeypatch.context() as patch:
        for name in ("write_whole", "remove"):
            patch.setattr(f"fedspike.experiment.training.{name}", killing(getattr(files, name)))
        for name in ("append", "write_folder"):
            patch.setattr(f"fedspike.records.checkpoint.{name}", killing(getattr(files, name)))
        plan = run.plan.loaded()
        with suppress(Killed):
            for _ in train(run, plan, home, SIMULATED):
                pass
    summary = reader.run(home)
    assert summary is None or len(reader.rounds(home, summary)) == summary.rounds
    for _ in events(of(5), two):
        pass
    assert_same(two, five)


def test_fewer_rounds_than_are_stored_are_refused(two: Path, five: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(five, tmp_path / "five"))
    with pytest.raises(InputError, match=r"has 5 rounds, and is to have 4(.|\n)*--set rounds=5"):
        list(events(of(4), copy))
    happening = events(of(5), two)
    assert len(list(islice(happening, 8))) == 8
    del happening
    with pytest.raises(InputError, match=r"has \d rounds, and is to have 3"):
        list(events(of(3), two))


def test_without_the_last_checkpoint_nothing_is_lost(two: Path) -> None:
    home = two / "ann-iid-scaffold-seed0"
    shutil.rmtree(home / "checkpoint")
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match="has 2 rounds, and no checkpoint after the last of them"):
        list(events(of(5), two))
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before


def test_other_settings_are_refused_with_more_rounds_too(two: Path) -> None:
    text = TOML.replace("rounds = 2", "rounds = 5").replace("hidden = [4]", "hidden = [5]")
    other = sweep.expand(document.parse(text, "both.toml"))
    with pytest.raises(InputError, match=r"architecture.hidden is \[4\] there and \[5\] here"):
        list(events(other, two))


def test_records_beyond_a_summary_are_refused_where_nothing_goes_on(two: Path) -> None:
    with (two / "ann-iid-scaffold-seed0" / "rounds.jsonl").open("ab") as file:
        file.write(b"{}\n")
    with pytest.raises(InputError, match=r"rounds.jsonl: \d+ bytes with SHA-256"):
        reader.read(two)


def test_the_option_adds_to_what_the_file_says(
    finished: Path,
    five: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fedspike.cli.commands.write_report", lambda folder: folder)
    shutil.copytree(finished, "runs/both")
    Path("both.toml").write_text(TOML)
    summary = asked(capsys, "run", "both.toml", "--more-rounds", "3")
    assert [run["rounds"] for run in summary["runs"]] == [5, 5]
    assert summary["command"] == "fedspike run both.toml --set rounds=5"
    assert_same(Path("runs/both"), five)
    assert main(["run", "both.toml", "--set", "rounds=4", "--more-rounds", "1", "-q"]) == 0
    assert_same(Path("runs/both"), five)


@pytest.mark.parametrize(
    ("words", "passed"),
    [
        (["--more-rounds", "0"], "--more-rounds 0"),
        (["--more-rounds", "-3"], "--more-rounds -3"),
        (["--more-rounds=many"], "--more-rounds many"),
        (["--more-rounds", "9999999999"], "--more-rounds 9999999999"),
        (["--set", "sweep.rounds=[2,3]", "--more-rounds", "1"], "--more-rounds 1"),
    ],
)
def test_what_is_no_number_of_rounds_is_said(
    words: list[str], passed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "both.toml").write_text(TOML)
    assert main(["run", str(tmp_path / "both.toml"), *words]) == 2
    assert capsys.readouterr().err.startswith(f"fedspike: {passed}")


def test_a_schedule_that_is_over_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fedspike.cli.commands.write_report", lambda folder: folder)
    cosine = '[schedule]\nkind = "cosine"\nrounds = 2\nlowest = 0.1\n'
    text = BOTH_NETWORKS.replace('["ann", "snn"]', '["ann"]')
    Path("both.toml").write_text(text + cosine)
    words = ["run", "both.toml", "--output", "both"]
    assert main(words) == 0
    assert "learning rate" not in capsys.readouterr().err
    assert main([*words, "--more-rounds", "1"]) == 0
    said = "the learning rate falls for 2 rounds, and stays as it is in those to 3"
    assert said in capsys.readouterr().err


def assert_same(folder: Path, other: Path) -> None:
    """The same weights, records, summaries, and files of both runs."""
    assert fingerprints(folder) == fingerprints(other)
    for run in fingerprints(other):
        assert names(folder / run) == names(other / run)
        for name in ("config.toml", "model.safetensors"):
            assert (folder / run / name).read_bytes() == (other / run / name).read_bytes()
    one, two = reader.read(folder), reader.read(other)
    assert [run.rounds for run in one.runs] == [run.rounds for run in two.runs]
    assert json.loads((folder / "summary.json").read_text())["name"] == "both"
    assert one.comparisons == two.comparisons


def names(home: Path) -> list[str]:
    """Of the files in a run's folder."""
    return sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())
