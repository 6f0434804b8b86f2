"""What a network costs one device, against a calculation by hand; units at every scale; duties as files."""

import csv
from pathlib import Path

import pytest

from counted_example import counted
from fedspike.cli import main
from fedspike.energy import duties, pricing
from fedspike.energy.account import RoundCounts, work
from fedspike.energy.duties import duty
from fedspike.energy.on_device import OnDevice, on_device, trainings
from fedspike.energy.profiles import profile, radio, shipped
from fedspike.energy.units import UNITS, written
from fedspike.errors import InputError
from fedspike.layers.activity import Activity
from fedspike.parts.optimisers import SGD
from fedspike.report import writing
from fedspike.report.figures.device_cost import DEVICE_COST_TABLE
from fedspike.report.figures.figure import Part, Section
from fedspike.report.figures.price_tables import ALL_BILLS, PRICE_SOURCES
from fedspike.report.figures.verdicts import PRICE_MATRIX
from running import BOTH_NETWORKS, asked, finish

PRICES = """\
name = "mine"
title = "a chip of mine"
unit = "pJ"
[every_price]
source = "me"
evidence = "assumed"
data_type = "int32"
node_nm = 45
voltage_v = 0.9
[price]
mac = { value_pj = 2 }
ac = { value_pj = 1 }
compare = { value_pj = 1 }
multiply = { value_pj = 3 }
add = { value_pj = 4 }
[dram]
value_pj = 10
access_bits = 32
"""
LINKS = """\
name = "my-radio"
title = "a radio of mine"
unit = "pJ"
[every_price]
source = "me"
evidence = "assumed"
data_type = "bit"
node_nm = "not recorded"
voltage_v = "not recorded"
[price]
uplink_bit = { value_pj = 5 }
downlink_bit = { value_pj = 3 }
"""
MINE = """\
name = "my-duty"
title = "a device of mine"
inferences_per_day = { value = 100, source = "me", evidence = "assumed" }
rounds_per_day = { value = 2, source = "me", evidence = "assumed" }
idle_mw = { value = 0.001, source = "me", evidence = "assumed" }
operations_per_second = { value = 1000, source = "me", evidence = "assumed" }
battery_wh = { value = 1, source = "me", evidence = "assumed" }
self_discharge_percent_per_year = { value = 10, source = "me", evidence = "assumed" }
"""
BARE = "\n".join(MINE.splitlines()[:4])
Told = pytest.CaptureFixture[str]


def rounds() -> list[RoundCounts]:
    """Two devices in the first round, one in the second: 10 samples in 2 batches for each."""
    trained = Activity(10, 2, {"hidden": 25, "output": 16})
    tested = Activity(7, 0, {"hidden": 20, "output": 9})
    return [
        RoundCounts(
            accuracy=0.5,
            activity=dict.fromkeys(range(devices), trained),
            tested=tested,
            uplink_bytes=92 * devices,
            downlink_bytes=92 * devices,
        )
        for devices in (2, 1)
    ]


def cost(text: str = MINE, chip: str = "") -> OnDevice:
    """Of a 4-3-2 network: 18 synapses, 5 biases, 23 parameters."""
    network = counted(optimiser=SGD())
    own = shipped()[chip] if chip else profile(PRICES, "mine.toml")
    whole = work(network, rounds())
    links, does = radio(LINKS, "radio.toml"), duty(text, "duty.toml")
    return on_device(whole, trainings(rounds()), own, links, does)


def test_a_device_by_hand() -> None:
    made = cost()
    assert made.model_bytes == 23 * 4
    # 18 products, a comparison for each of the 5 neurons; 18 weights, 7 inputs, 5 biases, 5 outputs.
    assert (made.operations, made.words) == (18 + 5, 18 + 7 + 5 + 5)
    assert made.latency_s == pytest.approx((23 + 35) / 1000)
    inference_pj = 18 * 2 + 5 * 1 + 35 * 10
    assert made.inference_j == pytest.approx(391e-12) == pytest.approx(inference_pj * 1e-12)
    # A sample: an inference, a product for each weight's gradient, one for each of the 6 synapses of the
    # output back to the hidden layer, a multiplication for each neuron; a batch: two operations a parameter.
    round_pj = 10 * (inference_pj + 18 * 2 + 6 * 2 + 5 * 3) + 2 * 23 * (3 + 4)
    assert made.round_j == pytest.approx(round_pj * 1e-12)
    assert made.radio_j == pytest.approx(92 * 8 * (5 + 3) * 1e-12)
    day = 100 * 391e-12 + 2 * (round_pj + 5888) * 1e-12 + 1e-6 * 86_400
    assert made.year_j == pytest.approx(365.25 * day)
    assert made.battery_days == pytest.approx(3600 / (day + 360 / 365.25))
    assert made.not_priced == ["training.memory (not counted)"]


def test_what_cannot_be_said_is_none() -> None:
    at_rest = MINE.replace("100,", "0,").replace("= 2,", "= 0,").replace("0.001", "0")
    assert cost(at_rest).battery_days == pytest.approx(10 * 365.25)  # by itself
    assert cost(at_rest.replace("10,", "0,")).battery_days is None
    bare = cost(BARE)
    assert (bare.latency_s, bare.battery_days) == (None, None)
    assert bare.year_j is not None
    assert "nothing known of its idle power" in duty(BARE, "").in_words
    for chip in ("cortex-m4", "odin28-all-in"):  # no price of training; none of products
        made = cost(chip=chip)
        assert (made.inference_j is None) == (chip == "odin28-all-in")
        assert (made.round_j, made.year_j, made.battery_days) == (None, None, None)
        assert made.radio_j == pytest.approx(5888e-12)
    idle = cost(BARE.replace("100", "0").replace("2,", "0,"), "odin28-all-in")
    assert (idle.year_j, idle.inference_j) == (0, None)


@pytest.mark.parametrize("base", UNITS)
def test_every_scale_has_a_unit_and_three_digits(base: str) -> None:
    for name, size in UNITS[base].items():
        assert written(size, base) == f"1.00 {name}".strip()
        assert written(1.234 * size, base) == f"1.23 {name}".strip()
    assert written(999.6e-9, "J") == "1.00 µJ"
    smallest, least = next(iter(UNITS[base].items()))
    assert written(0.01 * least, base) == f"0.0100 {smallest}".strip()
    assert not written(123 * 10**9 * max(UNITS[base].values()), base).startswith("1.")


@pytest.mark.parametrize("name", duties.duties())
def test_what_ships_is_described(name: str, capsys: Told) -> None:
    assert main(["energy", "profiles", name]) == 0
    told = " ".join(capsys.readouterr().out.split())
    for key, given in duties.duties()[name].given.items():
        assert f"{key} {given.value:,.10g} {given.evidence}: {given.source}" in told
    (described,) = asked(capsys, "energy", "profiles", name)["duties"]
    assert described["rounds_per_day"]["value"] == duties.duties()[name].rounds_per_day.value


@pytest.mark.parametrize(
    ("old", "new", "passed", "expected"),
    [
        (
            "idle_mw",
            "idle_mW",
            "unknown field `idle_mW`",
            "one of name, title, inferences_per_day,",
        ),
        ("rounds_per_day", "# ", "missing required field `rounds_per_day`", "rounds_per_day = a"),
        ("value = 1,", "", "field `value` - at `$.battery_wh`", "battery_wh = a table of value"),
        ("value = 1,", "value = 0,", "> 0.0 - at `$.battery_wh.value`", "above 0"),
        ("value = 10,", "value = 101,", "<= 100.0 - at `$.self_disch", "at most 100"),
        ('"assumed" }', '"known" }', "'known' - at `$.inferences_per_day.evidence`", "inferences_"),
        ("my-duty", "phone", "name = phone", "a name of its own"),
        ("{", "{{", "my.toml: ", "a TOML file"),
    ],
)
def test_a_wrong_file_is_refused(
    old: str, new: str, passed: str, expected: str, tmp_path: Path, capsys: Told
) -> None:
    (tmp_path / "my.toml").write_text(MINE.replace(old, new, 1))
    assert main(["energy", "profiles", str(tmp_path / "my.toml")]) == 2
    told = capsys.readouterr()
    first, second, third = told.err.splitlines()
    assert passed in first
    assert expected in second
    assert third.startswith("  fix: ")
    assert told.out == ""


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ((["lte"], "", ""), "unknown price profile lte"),
        (([], "phone.toml", ""), "phone.toml: a duty, not a radio"),
        (([], "", "radio.toml"), "radio.toml: a radio, not a duty"),
        (([], "", "phones"), "did you mean phone?"),
        (([], "", "misspelt.toml"), "did you mean battery_wh?"),
    ],
)
def test_each_option_takes_its_own_kind(
    chosen: tuple[list[str], str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("phone.toml").write_text(MINE)
    Path("radio.toml").write_text(LINKS)
    Path("misspelt.toml").write_text('name = "my"\ntitle = "mine"\n[batery_wh]\nvalue = 1\n')
    with pytest.raises(InputError) as error:
        pricing.hardware(*chosen)
    assert said in str(error.value)


def test_a_chip_a_radio_and_a_duty_of_ones_own(
    tmp_path: Path, capsys: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the terminal, in its JSON and on the whole page the same numbers; the records are untouched."""
    folder, words = finish(BOTH_NETWORKS, tmp_path / "tiny"), []
    for option, text in (("profile", PRICES), ("radio", LINKS), ("duty", MINE)):
        (tmp_path / f"{option}.toml").write_text(text)
        words += [f"--{option}", str(tmp_path / f"{option}.toml")]
    found = asked(capsys, "energy", folder, *words)
    assert found["duty"]["name"] == "my-duty"
    by_kind = {run["network"]: run["on_device"]["mine"] for run in found["runs"]}
    assert main(["energy", str(folder), *words]) == 0
    told = capsys.readouterr().out.partition("On one device")[2]
    assert told.startswith(", a device of mine (my-duty): mine, my-radio, modelled\n")
    part = Part(
        (DEVICE_COST_TABLE, ALL_BILLS, PRICE_MATRIX, PRICE_SOURCES)
    )  # others take long to draw
    monkeypatch.setattr(writing, "SECTIONS", (Section("bill", "Energy bill", (part,)),))
    before = (folder / "summary.json").read_bytes()
    assert main(["report", str(folder), *words]) == 0
    assert (folder / "summary.json").read_bytes() == before
    tables = folder / "tables"
    rows = list(csv.DictReader((tables / "tableE14-device-cost.csv").read_text().splitlines()))
    assert [row["network"] for row in rows] == ["ANN", "SNN"]
    for row in rows:
        cost = by_kind[row["network"].lower()]
        assert float(row["inference_joule"]) == pytest.approx(cost["inference_j"], rel=1e-9)
        assert float(row["battery_days"]) == pytest.approx(cost["battery_days"], rel=1e-9)
        assert f" {written(cost['inference_j'], 'J')} " in told
    bills = {
        (row["run"], row["hardware"], row["profile"], row["level"]): float(row["nominal_mj"])
        for row in csv.DictReader((tables / "tableE12-bills.csv").read_text().splitlines())
    }
    for run in found["runs"]:
        for level, bill in run["bill"]["mine"].items():
            own = bills[run["name"], "dense", "mine", level]
            assert own == pytest.approx(bill["nominal_mj"], rel=1e-9)
        assert (run["name"], "dense", "horowitz45-int8", "communication:my-radio") in bills
    assert "mine" in (tables / "price-matrix.md").read_text()
    assert "my-radio,bit sent,5" in (tables / "tableE10-prices.csv").read_text()
