"""`fedspike energy RUN`: finished runs priced again, from a folder of an experiment or of a run."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from fedspike.cli import main
from fedspike.energy import repricing
from fedspike.records import joined, reader
from fedspike.report.analysis.results import Results
from fedspike.report.figures.decision import lines
from running import asked, finish, python, resealed

TINY = """\
name = "tiny"
rounds = 3
target_accuracy = 0.1
[data]
kind = "fashion-mnist-sample"
[fleet]
clients = 3
samples_per_round = 20
[architecture]
hidden = [6]
[snn]
time_steps = 4
[learner]
batch_size = 10
[sweep]
network = ["ann", "snn"]
seed = [0, 1]
"""
MINE = """\
name = "mine"
title = "twice the founding study's"
unit = "pJ"
[every_price]
source = "me"
evidence = "assumed"
data_type = "int32"
node_nm = 45
voltage_v = 0.9
[price.mac]
value_pj = 6.2
[price.ac]
value_pj = 0.2
"""
RADIO = """\
name = "mine"
title = "a radio of mine"
unit = "pJ"
[every_price]
source = "me"
evidence = "assumed"
data_type = "bit"
node_nm = "not recorded"
voltage_v = "not recorded"
[price.uplink_bit]
value_pj = 3e6
[price.downlink_bit]
low_pj = 1e6
nominal_pj = 2e6
high_pj = 4e6
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finish(TINY, tmp_path_factory.mktemp("runs") / "tiny")


Told = pytest.CaptureFixture[str]


def summaries(folder: Path) -> dict[str, dict[str, Any]]:
    runs = json.loads((folder / "summary.json").read_bytes())["runs"]
    return {run["name"]: run for run in runs}


def test_what_was_billed_is_billed_again(finished: Path, capsys: Told) -> None:
    """Every profile, level and the radio, to the last bit, and no file is touched."""
    before = {p: p.stat().st_mtime_ns for p in finished.rglob("*")}
    found = asked(capsys, "energy", finished, "--radio", "lte")
    assert [run["name"] for run in found["runs"]] == list(summaries(finished))
    for run in found["runs"]:
        kept = summaries(finished)[run["name"]]
        for profile, levels in run["bill"].items():
            assert levels == {level: kept["bill"][profile][level] for level in levels}
            assert ("communication:lte" in levels) == ("training" in levels)
        assert run["bill"].keys() == kept["bill"].keys()
        assert run["bill_evaluation"] == kept["bill_evaluation"]
        assert run["rounds_to_target"] == kept["rounds_to_target"]
    assert {p: p.stat().st_mtime_ns for p in finished.rglob("*")} == before


def test_a_run_alone(finished: Path, capsys: Told) -> None:
    whole = asked(capsys, "energy", finished)
    [alone] = asked(capsys, "energy", finished / "snn-iid-seed1")["runs"]
    assert alone == next(run for run in whole["runs"] if run["name"] == "snn-iid-seed1")
    assert main(["energy", str(finished / "snn-iid-seed1"), "--level", "study"]) == 0
    text = capsys.readouterr().out
    assert "snn-iid-seed1" in text
    table = text.partition("The test after each round")[0].splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in table if line[:2] == "  "}
    # Its spikes have no price where only a processor's ANN has one.
    assert rows["keras-spiking-cpu"][:2] == ["not", "priced"]
    assert alone["synapses_not_priced"] == [f"keras-spiking-{x}" for x in ("arm", "cpu", "gpu")]
    study = alone["bill"]["founding-study"]["study"]["nominal_mj"]
    assert rows["founding-study"][0] == f"{study:.4g}"
    assert "cheaper" not in text


def test_prices_of_your_own(finished: Path, tmp_path: Path, capsys: Told) -> None:
    (tmp_path / "mine.toml").write_text(MINE)
    words = ("--profile", tmp_path / "mine.toml", "--profile", "founding-study", "--level", "study")
    found = asked(capsys, "energy", *words, finished)
    assert found["profiles"] == ["mine", "founding-study"]
    for run in found["runs"]:
        assert list(run["bill"]["mine"]) == ["study"]
        mine, study = (run["bill"][name]["study"]["run"] for name in found["profiles"])
        assert mine["nominal_mj"] == pytest.approx(2 * study["nominal_mj"], rel=1e-14)


def test_a_radio_of_your_own(finished: Path, tmp_path: Path, capsys: Told) -> None:
    (tmp_path / "mine.toml").write_text(RADIO)
    words = ("--radio", tmp_path / "mine.toml", "--profile", "founding-study")
    found = asked(capsys, "energy", *words, finished)
    assert found["radio"] == "mine"
    for run in found["runs"]:
        kept = summaries(finished)[run["name"]]
        up, down = (8 * kept[f"{way}link_bytes_per_round"] for way in ("up", "down"))
        levels = run["bill"]["founding-study"]
        for end, microjoule in (("low", 1), ("nominal", 2), ("high", 4)):
            sent = levels["communication:mine"][f"{end}_mj"] - levels["training"][f"{end}_mj"]
            assert sent == pytest.approx(1e-3 * (3 * up + microjoule * down), rel=1e-9)
    assert main(["energy", *map(str, words), str(finished)]) == 0
    assert "communication: training + radio (mine)\n" in capsys.readouterr().out


def test_another_target(finished: Path, capsys: Told) -> None:
    run = asked(capsys, "energy", finished, "--target", "0")["runs"][0]
    assert (run["target_accuracy"], run["rounds_to_target"]) == (0.0, 1)
    entry = run["bill"]["founding-study"]["study"]
    # Every round of an ANN costs the same under the study's rule.
    assert entry["to_target"]["nominal_mj"] == pytest.approx(entry["nominal_mj"], rel=1e-14)
    never = asked(capsys, "energy", finished, "--target", "1")["runs"][0]
    assert never["rounds_to_target"] is None
    assert never["bill"]["founding-study"]["study"]["to_target"] is None


def test_skipped_zeros_are_the_conventional_networks(finished: Path, capsys: Told) -> None:
    for run in asked(capsys, "energy", finished, "--skip-zeros")["runs"]:
        kept = summaries(finished)[run["name"]]
        expected = kept["bill_skip_zeros" if run["network"] == "ann" else "bill"]
        assert run["skip_zeros"] == (run["network"] == "ann")
        for profile, levels in run["bill"].items():
            assert levels == {level: expected[profile][level] for level in levels}


def test_both_networks_side_by_side(finished: Path, capsys: Told) -> None:
    found = asked(capsys, "energy", finished)
    [comparison] = found["comparisons"]
    assert (comparison["setting"], comparison["networks"]) == ("iid", ["ann", "snn"])
    assert comparison["runs"] == [[f"ann-iid-seed{s}", f"snn-iid-seed{s}"] for s in (0, 1)]
    runs = {run["name"]: run["bill"] for run in found["runs"]}
    one = next(
        each
        for each in comparison["verdicts"]
        if (each["profile"], each["level"]) == ("horowitz45-int8", "compute")
    )
    ratios = [
        snn["horowitz45-int8"]["compute"]["nominal_mj"]
        / ann["horowitz45-int8"]["compute"]["nominal_mj"]
        for ann, snn in ((runs[a], runs[s]) for a, s in comparison["runs"])
    ]
    assert one["ratio"] == pytest.approx(sum(ratios) / 2)
    assert (one["ratio_low"], one["ratio_high"]) == (None, None)  # of two seeds
    spiking = summaries(finished)["snn-iid-seed0"]["activity"]
    layer = next(row for row in comparison["break_even"] if row["layer"] == "hidden")
    assert layer["spikes"] == spiking["events_in"]["hidden"] / (spiking["samples"] * 784)


def test_it_can_be_read(finished: Path, capsys: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["energy", str(finished)]) == 0
    text = capsys.readouterr().out
    for words in (
        "iid: SNN beside ANN, 2 seeds",
        "communication: training + radio (bluetooth-le)",
        "Published thresholds",
        "Break-even with the dense ANN",
        "no price in any of them: encode.draw (SNN)",
        "These figures are not a measurement.",
        "ANN to 0.1",
    ):
        assert words in text
    monkeypatch.setenv("COLUMNS", "60")
    assert main(["energy", str(finished)]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 60
    table = text.split("study: ")[1].split("\n\n")[0]
    loihi = next(line for line in table.splitlines() if "loihi1" in line)
    assert "not priced" in loihi, "an ANN without a price for its products costs nobody knows what"
    assert "no verdict" in loihi
    assert max(map(len, text.splitlines())) < 120


def test_networks_that_have_no_partner_stand_alone(finished: Path, tmp_path: Path) -> None:
    summary = json.loads((finished / "summary.json").read_bytes())
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    summary["runs"] = [run for run in summary["runs"] if run["name"] != "ann-iid-seed1"]
    summary["comparisons"] = []
    (folder / "summary.json").write_bytes(resealed(summary))
    repriced = repricing.reprice(reader.with_rounds(folder), repricing.prices([], None, "lte"))
    assert repriced.comparisons[0].runs == [("ann-iid-seed0", "snn-iid-seed0")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("nowhere", ["nowhere: no such folder", "fedspike run"]),
        ("{runs}/tinny", ["no such folder", "did you mean tiny?"]),
        ("{runs}", ["no summary.json in it"]),
        ("{unfinished}", ["not finished", "give the command"]),
        ("{old}", ["schema version 1, from another version", "run the experiment again"]),
        ("{broken}", ["rounds.jsonl: 1 bytes with SHA-256", "restore it, or delete"]),
        ("{tiny} --level trainning", ["--level trainning", "did you mean training?"]),
        ("{tiny} --profile horowitz45-int", ["unknown price profile", "did you mean"]),
        ("{tiny} --profile nowhere.toml", ["nowhere.toml"]),
        ("{tiny} --radio lto", ["unknown radio lto", "did you mean lte?"]),
        ("{tiny} --radio nowhere.toml", ["nowhere.toml"]),
        ("{tiny} --target 85", ["--target 85", "from 0 to 1"]),
        ("{tiny} --target most", ["--target most", "a number from 0 to 1"]),
        ("{tiny} --target nan", ["--target nan"]),
        ("{tiny} --profile odin28-all-in --level memory", ["odin28-all-in", "study or compute"]),
    ],
)
def test_wrong_input(
    words: str, said: list[str], finished: Path, tmp_path: Path, capsys: Told
) -> None:
    folders = {"tiny": finished, "runs": finished.parent}
    for name in ("unfinished", "old", "broken"):
        folders[name] = shutil.copytree(finished, tmp_path / name)
    (folders["unfinished"] / "summary.json").unlink()
    old = json.loads((folders["old"] / "summary.json").read_bytes()) | {"schema": 1}
    (folders["old"] / "summary.json").write_text(json.dumps(old))
    (folders["broken"] / "ann-iid-seed0" / "rounds.jsonl").write_text("{")
    code = main(["energy", *words.format(**folders).split()])
    told = capsys.readouterr()
    assert (code, told.out) == (2, "")
    for word in said:
        assert word in told.err


def test_profiles_are_listed_as_before(capsys: Told) -> None:
    assert main(["energy", "profiles", "yan22"]) == 0
    assert "yan22" in capsys.readouterr().out


def test_a_folder_called_profiles(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Told
) -> None:
    shutil.copytree(finished, tmp_path / "profiles")
    monkeypatch.chdir(tmp_path)
    assert asked(capsys, "energy", "./profiles")["runs"]


@pytest.mark.parametrize("words", [["energy", "--help"], ["energy", "x", "--help"]])
def test_help(words: list[str], capsys: Told) -> None:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith("usage: fedspike energy [-h] ")


def test_nothing_needs_torch(finished: Path) -> None:
    code = (
        f"import sys; from fedspike.cli import main; main(['energy', {str(finished)!r}, '--json'])\n"
        "assert 'torch' not in sys.modules"
    )
    answer = python(code)
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ("[neuron]\nthreshold = 1000.0\n", "layer hidden is dead: 0.00% of its neurons spike"),
        ("[optimiser]\nlearning_rate = 1e-9\n", "naming the most frequent class would do as well"),
    ],
    ids=["dead", "untrained"],
)
def test_a_network_that_does_not_work_gets_no_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: str, reason: str
) -> None:
    """Its spikes may be cheap; nobody would use it."""
    folder = finish(TINY + changes, tmp_path / "broken")
    (stored,) = reader.read(folder).comparisons
    assert {one.winner for one in stored.verdicts + stored.verdicts_skip_zeros} == {"no verdict"}
    assert any(reason in one for one in stored.unfit)
    assert main(["energy", str(folder)]) == 0
    told = capsys.readouterr().out
    assert "no verdict, for a network does not work: " in told
    assert "Break-even" not in told
    first, *others = lines(Results(*joined.read([folder])))
    assert first.startswith("Not decidable, because ")
    assert "the SNN does not work (" in first
    assert "Energy: not compared, because a network does not work." in others
