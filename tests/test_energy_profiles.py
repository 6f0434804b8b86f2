"""Price profiles: what ships, how a file of one's own is read, and what is said about a wrong one."""

import json
from fractions import Fraction
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counted_example import counted
from fedspike.cli import main
from fedspike.energy import pricing
from fedspike.energy.bill import bill
from fedspike.energy.counts import count
from fedspike.energy.pricing import read
from fedspike.energy.profiles import (
    KEYS,
    NOTHING,
    Memory,
    Price,
    Profile,
    Range,
    _File,
    profile,
    radio,
    radios,
    shipped,
)
from fedspike.errors import InputError
from fedspike.layers.activity import Activity
from fedspike.layers.shapes import Convolution, Dense, Layer

MINE = """\
name = "mine"
title = "a chip of mine"
unit = "pJ"
[every_price]
source = "its data sheet"
node_nm = 22
voltage_v = "not recorded"
data_type = "int8"
evidence = "datasheet"
[price.mac]
value_pj = 0.3
[price.ac]
low_pj = 0.1
nominal_pj = 0.2
high_pj = 0.4
evidence = "derived"
[[memory]]
bytes = 1000
value_pj = 8
access_bits = 64
[[memory]]
bytes = 3000
value_pj = 7
access_bits = 16
"""
RADIO = """\
name = "mine"
title = "a radio of mine"
unit = "pJ"
[every_price]
source = "its data sheet"
node_nm = "not recorded"
voltage_v = 3
data_type = "bit"
evidence = "datasheet"
[price.uplink_bit]
value_pj = 3
[price.downlink_bit]
low_pj = 1
nominal_pj = 2
high_pj = 4
evidence = "measured"
"""
Prices = dict[str, float | tuple[float, float, float]]


def units(add: float, multiply: float, address: float) -> Prices:
    """From the two prices of arithmetic and that of an integer addition, all that is said to follow."""
    sums = {"mac": float(Fraction(str(add)) + Fraction(str(multiply))), "ac": add, "compare": add}
    return {"add": add, "multiply": multiply, **sums, "address": address}


def memories(small: float, middle: float, large: float) -> Prices:
    """Of an access of 64 bits."""
    return {"8192 bytes / 64": small, "32768 bytes / 64": middle, "1048576 bytes / 64": large}


def kerasspiking(nanojoule: float) -> Prices:
    """The same for a synaptic operation and for a neuron's update."""
    return dict.fromkeys(("mac", "neuron.compare"), float(1000 * Fraction(str(nanojoule))))


HOROWITZ = memories(10, 20, 100) | {"dram / 64": (1300, 1950, 2600)}
JOUPPI = memories(7.5, 8.5, 14)
LOIHI: Prices = {
    **{"ac": 23.6, "neuron.multiply": (52, 66.5, 81), "neuron.write_output": 1.7},
    **{"optimiser.mac": 120, "not used: hop": (3.0, 3.5, 4.0)},
}
YAN: Prices = {
    **dict.fromkeys(("ac", "compare", "add"), 0.05448),
    **{"not used: move_sparse": 3.0, "not used: move_dense": 0.25},
}
# As the project's table of prices has them, whole: scope, nm, evidence of an accumulate (of the first
# price, where there is none), pJ.
SHIPPED: dict[str, tuple[str, float | str, str, Prices]] = {
    "founding-study": ("per-term", 45, "derived", {"mac": 3.1, "ac": 0.1}),
    "horowitz45-int8": ("per-term", 45, "derived", units(0.03, 0.2, 0.1) | HOROWITZ),
    "horowitz45-int32": ("per-term", 45, "derived", units(0.1, 3.1, 0.1) | HOROWITZ),
    "horowitz45-fp16": ("per-term", 45, "derived", units(0.4, 1.1, 0.1) | HOROWITZ),
    "horowitz45-fp32": ("per-term", 45, "derived", units(0.9, 3.7, 0.1) | HOROWITZ),
    "jouppi7-int8": ("per-term", 7, "derived", units(0.007, 0.07, 0.03) | JOUPPI),
    "jouppi7-int32": ("per-term", 7, "derived", units(0.03, 1.48, 0.03) | JOUPPI),
    "jouppi7-bf16": ("per-term", 7, "derived", units(0.11, 0.21, 0.03) | JOUPPI),
    "yan22": ("per-term", 22, "pre-silicon", YAN),
    "loihi1-presilicon": ("per-term", 14, "pre-silicon", LOIHI),
    "truenorth-all-in": ("all-in", 28, "measured", {"ac": 26}),
    "odin28-all-in": ("all-in", 28, "measured", {"ac": 12.7}),
    "cortex-m4": ("all-in", "not recorded", "derived", {"mac": 1270, "ac": 1270}),
    **{
        f"keras-spiking-{device}": ("per-term", "not recorded", "derived", kerasspiking(nj))
        for device, nj in (("cpu", 8.6), ("gpu", 0.3), ("arm", 0.9))
    },
}
# J per bit: up and down.
RADIOS = {
    "bluetooth-le": (1.5e-8, 1.5e-8),
    "wifi-5mbps": (2.8e-7, 2.8e-7),
    "wifi-2mbps": (6.5e-7, 6.5e-7),
    "lte": (6.5e-7, 1.5e-7),
    "lora-sf7": (2.7e-5, 2.7e-5),
    "savazzi-end-to-end": (1 / 100e3, 1 / 100e3),
}


def whole(one: Profile) -> tuple[str, float | str, str, Prices]:
    """All numbers of a profile under the names of the table."""
    named: dict[str, Price] = dict(one.price)
    named |= {f"{memory.bytes} bytes / {memory.access_bits}": memory for memory in one.memory}
    named |= {f"dram / {one.dram.access_bits}": one.dram} if one.dram else {}
    named |= {f"not used: {name}": price for name, price in one.not_used.items()}
    prices: Prices = {}
    for name, price in named.items():
        low, nominal, high = (float(pj) for pj in (price.pj.low, price.pj.nominal, price.pj.high))
        prices[name] = nominal if low == high else (low, nominal, high)
    first = next(iter(one.price.values()))
    return one.scope, first.node_nm, one.price.get("ac", first).evidence, prices


def test_every_number_that_ships_is_that_of_the_table() -> None:
    assert {name: whole(one) for name, one in shipped().items()} == SHIPPED


DOCUMENTED: dict[str, dict[str, Layer]] = {
    # Of KerasSpiking's documentation: the example of its class, and "Estimating model energy".
    "class": {"dense": Dense(784, 128)},
    "page": {
        "convolution": Convolution(1, 2, kernel=7, height=28, width=28),
        "dense": Dense(968, 128),
        "output": Dense(128, 10),
    },
}


@pytest.mark.parametrize(
    ("device", "model", "printed"),
    [("cpu", "class", "8.64e-04"), ("cpu", "page", "1.49e-03"), ("gpu", "page", "5.21e-05")],
)
def test_the_joules_that_kerasspiking_prints(device: str, model: str, printed: str) -> None:
    layers = DOCUMENTED[model]
    met = dict.fromkeys(layers.keys() & {"convolution"}, 0)
    seen = Activity(1, 0, dict.fromkeys(layers, 0), synapses_met=met)
    counts = count(counted(layers), seen, training=False)
    cost = bill(counts, shipped()[f"keras-spiking-{device}"], "compute")
    assert f"{cost.nominal_mj / 1000:.2e}" == printed
    assert cost.not_priced == []


def test_what_a_source_does_not_give_is_called_assumed() -> None:
    for name, one in shipped().items():
        assumed = {key for key, price in one.price.items() if price.evidence == "assumed"}
        assert assumed == ({"compare", "address"} if name.startswith(("horo", "joup")) else set())


def test_the_radios_in_joule() -> None:
    assert radios().keys() == RADIOS.keys()
    for name, (up, down) in RADIOS.items():
        one = radios()[name]
        assert float(one.uplink_bit.pj.nominal / 10**12) == pytest.approx(up, rel=1e-12)
        assert float(one.downlink_bit.pj.nominal / 10**12) == pytest.approx(down, rel=1e-12)
    wide = radios()["savazzi-end-to-end"].uplink_bit.pj
    assert [10**12 / pj for pj in (wide.high, wide.low)] == [50_000, 200_000]  # bits per joule


def test_names_are_file_names() -> None:
    from fedspike.energy import profiles

    for folder, found in (("profiles", shipped()), ("radios", radios())):
        files = (Path(profiles.__file__).parent / folder).glob("*.toml")
        assert {path.stem for path in files} == found.keys()


def words_pj(one: Profile, *sizes: int) -> list[Fraction]:
    words = [one.word_pj(size) for size in sizes]
    return [word.nominal for word in words if word is not None]


def test_a_word_of_horowitzs_memory_is_half_an_access_of_64_bit() -> None:
    one = shipped()["horowitz45-int8"]
    assert words_pj(one, 0, 8192, 32768, 1048576) == [5, 5, 10, 50]
    assert words_pj(one, (8192 + 32768) // 2) == [Fraction(15, 2)]  # half way
    beyond = one.word_pj(1048577)
    assert beyond is not None
    assert [beyond.low, beyond.nominal, beyond.high] == [650, 975, 1300]  # DRAM
    assert words_pj(shipped()["jouppi7-int8"], 10**9) == [7]  # no DRAM: the largest memory
    assert shipped()["yan22"].word_pj(1) is None


def test_a_word_of_memories_of_different_width() -> None:
    """8 pJ per 64 bit is 4 per word at 1000 bytes, 7 per 16 bit is 14 at 3000; a quarter up: 6.5."""
    one = profile(MINE, "mine.toml")
    assert words_pj(one, 500, 1000, 1500, 3000, 9999) == [4, 4, Fraction(13, 2), 14, 14]


@given(st.integers(0, 2_000_000), st.integers(0, 2_000_000), st.sampled_from(sorted(SHIPPED)))
def test_a_larger_memory_is_never_cheaper(a: int, b: int, name: str) -> None:
    small, large = (shipped()[name].word_pj(size) or NOTHING for size in sorted((a, b)))
    assert small.low <= large.low
    assert small.nominal <= large.nominal
    assert small.high <= large.high


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(MINE)
    one = pricing.profile(str(path))
    assert one == read(path)
    assert one.scope == "per-term"
    assert one.price["mac"].pj.low == one.price["mac"].pj.high == Fraction(3, 10)
    ac = one.price["ac"]
    assert (ac.pj.low, ac.pj.nominal, ac.pj.high) == (
        Fraction(1, 10),
        Fraction(1, 5),
        Fraction(2, 5),
    )
    assert (ac.source, ac.evidence, ac.node_nm) == ("its data sheet", "derived", 22)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("value_pj = 0.3", "value_pj = -0.3", "price.mac: an energy of -0.3 pJ"),
        ("value_pj = 0.3", "value_pj = nan", "price.mac: an energy of nan pJ"),
        ("value_pj = 0.3", "value_pj = inf", "price.mac: an energy of inf pJ"),
        ("value_pj = 0.3", 'value_pj = "0.3"', "price.mac: Expected `float"),
        ("value_pj = 0.3", "value_nj = 0.3", "price.mac: Object contains unknown field `value_nj`"),
        ("value_pj = 0.3", "", "price.mac: 0 energies"),
        ("nominal_pj = 0.2", "", "price.ac: 2 energies"),
        (
            "nominal_pj = 0.2",
            "nominal_pj = 0.5",
            "price.ac: low, nominal and high of 0.1, 0.5, 0.4",
        ),
        ("nominal_pj = 0.2", "nominal_pj = 0.2\nvalue_pj = 0.2", "price.ac: 4 energies"),
        ('source = "its data sheet"', "", "price.mac: Object missing required field `source`"),
        ('source = "its data sheet"', 'source = ""', "price.mac: Expected `str` of length >= 1"),
        ('evidence = "datasheet"', "", "Object missing required field `evidence`"),
        ('evidence = "datasheet"', 'evidence = "hearsay"', "Invalid enum value 'hearsay'"),
        ("node_nm = 22", "", "Object missing required field `node_nm`"),
        ('voltage_v = "not recorded"', "", "Object missing required field `voltage_v`"),
        ('data_type = "int8"', "", "Object missing required field `data_type`"),
        ('unit = "pJ"', 'unit = "nJ"', "Invalid enum value 'nJ' - at `$.unit`"),
        ('unit = "pJ"', "", "Object missing required field `unit`"),
        ('unit = "pJ"', 'unit = "pJ"\ncolour = "red"', "unknown field `colour`"),
        ('unit = "pJ"', 'unit = "pJ"\nscope = "some"', "Invalid enum value 'some'"),
        ('unit = "pJ"', 'unit = "pJ"\nscope = "all-in"', 'scope = "all-in" with prices of more'),
        ("[price.mac]", "[price.mack]", "a price of mack"),
        ("[price.mac]", '[price."later.mac"]', "a price of later.mac"),
        ("value_pj = 0.3", 'value_pj = 0.3\nincludes = ["leak"]', "a price of leak"),
        ("access_bits = 64", "", "memory: Object missing required field `access_bits`"),
        ("access_bits = 64", "access_bits = 0", "memory: Expected `int` >= 1"),
        ("bytes = 3000", "bytes = 1000", "memories of [1000, 1000] bytes"),
        ("bytes = 3000", "bytes = 500", "memories of [1000, 500] bytes"),
        ("[every_price]", "[every_price", "mine.toml: Expected ']'"),
        ("node_nm = 22", f"node_nm = {'2' * 5000}", "mine.toml: Exceeds the limit"),
        ("node_nm = 22", f"node_nm = {'[' * 2000}", "mine.toml: nested too deeply"),
        ("node_nm = 22", f"node_nm = {'[' * 9}{']' * 9}", "mine.toml: nested too deeply"),
        ("node_nm = 22", "node_nm = 22" + "\n" * 20_000, "characters are too many"),
    ],
)
def test_a_wrong_file_is_refused(old: str, new: str, words: str) -> None:
    assert old in MINE
    with pytest.raises(InputError) as error:
        profile(MINE.replace(old, new), "mine.toml")
    said = str(error.value)
    assert said.startswith("mine.toml")
    assert words in said
    assert "\n  expected: " in said
    assert "\n  fix: " in said


@pytest.mark.parametrize(
    ("old", "new", "expected", "fix"),
    [
        (
            'source = "its data sheet"',
            "",
            "source = where the number is published",
            "may stand once",
        ),
        (
            'evidence = "datasheet"',
            'evidence = "hearsay"',
            '"pre-silicon", "datasheet"',
            "may stand",
        ),
        ("node_nm = 22", "node_nm = -22", "node_nm = a number of nanometre above 0", "may stand"),
        ("node_nm = 22", "node_nm = nan", "node_nm = a number of nanometre above 0", "may stand"),
        ("node_nm = 22", "node_nm = inf", "node_nm = a number of nanometre above 0", "may stand"),
        ("value_pj = 0.3", "value_pj = true", "value_pj = a number of picojoule", "may stand"),
        ('unit = "pJ"', 'unit = "nJ"', 'unit = "pJ", with all energies in picojoule', "correct it"),
        ('unit = "pJ"', "", 'unit = "pJ", with all energies in picojoule', "or add it\n"),
        ('name = "mine"', 'name = "my chip"', "name = letters, digits", "or add it\n"),
        (
            "value_pj = 0.3",
            "value_nj = 0.3",
            "one of source, ",
            "mean value_pj? Energies are in pJ",
        ),
        ("node_nm = 22", "nodenm = 22\nnode_nm = 22", "one of source, ", "mean node_nm?\n"),
        ("node_nm = 22", 'node_nm = 22\nx = ""', "one of source, ", "leave it out\n"),
    ],
)
def test_what_is_expected_and_what_to_do(old: str, new: str, expected: str, fix: str) -> None:
    with pytest.raises(InputError) as error:
        profile(MINE.replace(old, new), "mine.toml")
    assert expected in error.value.expected
    assert fix in f"{error.value.fix}\n"


def test_every_key_is_explained() -> None:
    keys = {field.name for kind in (Memory, _File) for field in msgspec.structs.fields(kind)}
    assert keys == KEYS.keys()


def test_a_file_may_not_have_the_name_of_one_that_ships(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(MINE.replace('"mine"', '"horowitz45-int8"'))
    with pytest.raises(InputError, match="name = horowitz45-int8"):
        pricing.profile(str(path))


def test_an_all_in_profile_prices_synaptic_operations_alone() -> None:
    lean = MINE[: MINE.index("[[memory]]")].replace(
        "[every_price]", 'scope = "all-in"\n[every_price]'
    )
    assert profile(lean, "mine.toml").scope == "all-in"
    with pytest.raises(InputError, match="all-in"):
        profile(lean + "[price.add]\nvalue_pj = 1\n", "mine.toml")


def test_a_radio_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(RADIO)
    one = pricing.radio(str(path))
    assert one == read(path) == radio(RADIO, "mine.toml")
    assert one.uplink_bit.pj == Range(Fraction(3), Fraction(3), Fraction(3))
    assert one.downlink_bit.pj == Range(Fraction(1), Fraction(2), Fraction(4))
    assert (one.uplink_bit.evidence, one.downlink_bit.evidence) == ("datasheet", "measured")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("value_pj = 3", "value_pj = -3", "price.uplink_bit: an energy of -3.0 pJ"),
        ("value_pj = 3", "value_nj = 3", "price.uplink_bit: Object contains unknown field `value_"),
        ("value_pj = 3", "", "price.uplink_bit: 0 energies"),
        ("nominal_pj = 2", "nominal_pj = 5", "low, nominal and high of 1.0, 5.0, 4.0 pJ"),
        ('source = "its data sheet"', "", "price.uplink_bit: Object missing required field `sour"),
        ('unit = "pJ"', 'unit = "nJ"', "Invalid enum value 'nJ' - at `$.unit`"),
        ('unit = "pJ"', 'unit = "pJ"\nscope = "all-in"', "a radio with prices of uplink_bit, down"),
        ("[price.downlink_bit]", "[price.downlink]", "a radio with prices of uplink_bit, downlink"),
        ("[price.downlink_bit]", "[price.mac]", "a radio with prices of uplink_bit, mac"),
        ("[price.uplink_bit]", "[dram]\naccess_bits = 64", "a radio with prices of downlink_bit"),
        (
            "value_pj = 3",
            "value_pj = 3\n[price.mac]\nvalue_pj = 1",
            "uplink_bit, mac, downlink_bit",
        ),
        ("value_pj = 3", 'value_pj = 3\nincludes = ["mac"]', "a radio with prices of"),
        ('name = "mine"', 'name = "lte"', "name = lte"),
    ],
)
def test_a_wrong_radio_is_refused(old: str, new: str, words: str, tmp_path: Path) -> None:
    assert old in RADIO
    path = tmp_path / "mine.toml"
    path.write_text(RADIO.replace(old, new))
    with pytest.raises(InputError) as error:
        pricing.radio(str(path))
    assert str(error.value).startswith("mine.toml")
    assert words in str(error.value)


def test_a_file_of_the_other_kind_is_refused_with_the_right_option(tmp_path: Path) -> None:
    chip, wireless = tmp_path / "chip.toml", tmp_path / "wireless.toml"
    chip.write_text(MINE)
    wireless.write_text(RADIO)
    with pytest.raises(InputError, match=r"--profile .*chip\.toml"):
        pricing.radio(str(chip))
    with pytest.raises(InputError, match=r"--radio .*wireless\.toml"):
        pricing.profile(str(wireless))


def test_an_unknown_name_and_an_unreadable_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean horowitz45-int8"):
        pricing.profile("horowitz45-int")
    with pytest.raises(InputError, match="unknown radio bluetooth"):
        pricing.radio("bluetooth")
    with pytest.raises(InputError, match="No such file"):
        pricing.profile(str(tmp_path / "none.toml"))
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"binary\.toml"):
        pricing.profile(str(tmp_path / "binary.toml"))


def test_the_command_lists_every_price_with_its_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["energy", "profiles"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for one in shipped().values():
        assert f"{one.name}: {one.title} ({one.scope})" in text
        prices = (*one.price.values(), *one.memory, *one.not_used.values())
        assert all(price.source in text for price in prices)
    for wireless in radios().values():
        assert f"{wireless.name}: {wireless.title} (radio)" in text
        assert wireless.uplink_bit.source in text
    assert "neuron.multiply 52 to 81 pJ a neuron's update" in text
    assert "compare 0.03 pJ assumed [1], as much as an addition" in text
    assert "1,300 to 2,600 pJ per 64 bit" in text
    assert main(["energy", "profiles", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in listed["profiles"]] == list(shipped())
    assert [one["name"] for one in listed["radios"]] == list(radios())
    assert listed["profiles"][1]["price"]["mac"]["value_pj"] == 3.1


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_the_list_is_as_wide_as_the_terminal(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "9999")
    assert main(["energy", "profiles"]) == 0
    words = capsys.readouterr().out.split()
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["energy", "profiles"]) == 0
    text = capsys.readouterr().out
    assert text.split() == words  # broken between words only
    assert columns - 10 < max(map(len, text.splitlines())) <= columns


def test_the_command_checks_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(MINE)
    assert main(["energy", "profiles", str(path)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("mine: a chip of mine (per-term)\n")
    assert "founding-study" not in out
    path.write_text(MINE.replace("0.3", "-0.3"))
    assert main(["energy", "profiles", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("fedspike: mine.toml, price.mac: an energy of -0.3 pJ\n")
    assert main(["energy", "profiles", "founding-studi"]) == 2
    assert "did you mean founding-study?" in capsys.readouterr().err
    path.write_text(RADIO)
    assert main(["energy", "profiles", str(path), "lte", "yan22"]) == 0
    out = capsys.readouterr().out
    titles = [line for line in out.splitlines() if line and line[0] != " "]
    assert titles[1:] == ["mine: a radio of mine (radio)", "lte: LTE (radio)"]
    assert "downlink, a bit  1 to 4 pJ  measured [1]" in out
    with pytest.raises(SystemExit) as end:
        main(["energy", "profiles", "--help"])
    assert end.value.code == 0
