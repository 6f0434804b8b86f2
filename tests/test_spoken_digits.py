"""Spoken digits: who is in which file, layout and card, what was stopped goes on; the ear is lauscher's."""

import hashlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from fedspike import extras
from fedspike.cli import main
from fedspike.data.events.cochlea import Cochlea
from fedspike.data.spoken_digits import ear, recipe, voices
from fedspike.errors import InputError
from fedspike.files import content_of
from fedspike.randomness import stream

HEARS = pytest.mark.skipif(not extras.is_here("lauscher"), reason="needs lauscher: make voices")


class StoppedAt(Exception):
    pass


class QuickEar:
    """Hears a spike for each 10 ms of a word, in channels that its address says."""

    heard = 0
    stop = 10**9

    def spikes(self, wave: np.ndarray, address: str) -> tuple[np.ndarray, np.ndarray]:
        if QuickEar.heard == QuickEar.stop:
            raise StoppedAt
        QuickEar.heard += 1
        times = (np.arange(len(wave) // 480) / 100).astype(np.float32)
        return times, stream(1, address).integers(0, 700, len(times)).astype(np.uint16)


def wave(voice: voices.Voice, language: str, digit: int, _: voices.Take, rate: int) -> Any:
    assert language in voice.languages
    return np.ones(int(rate * (0.3 + 0.09 * digit)))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither programs nor packages of the ear are needed."""
    QuickEar.heard, QuickEar.stop = 0, 10**9
    monkeypatch.setattr(ear, "Ear", QuickEar)
    monkeypatch.setattr(voices, "wave", wave)
    monkeypatch.setattr(voices, "demand_voices", lambda: None)
    monkeypatch.setattr(voices, "versions", lambda: {"espeak-ng": "1.51"})
    monkeypatch.setattr(recipe, "STATED", ("numpy",))
    monkeypatch.setattr(recipe, "NEEDED", ("h5py",))


def test_who_is_tested_and_who_is_learnt_from() -> None:
    content = recipe.words(len(voices.LEARNT), len(voices.TAKES))
    speakers = {name: {word.voice for word in words} for name, words in content.items()}
    new = speakers[recipe.TEST] - speakers[recipe.TRAIN]
    assert new == {*voices.NEW}
    assert not speakers[recipe.REAL] & (speakers[recipe.TRAIN] | speakers[recipe.TEST])
    addresses = [word.address for words in content.values() for word in words]
    assert len({*addresses}) == len(addresses)  # so nobody is tested with what was learnt from
    for name in (recipe.TRAIN, recipe.TEST):
        counts = np.bincount([word.label for word in content[name]])
        assert counts.tolist() == [counts[0]] * 20
    assert np.bincount([word.label for word in content[recipe.REAL]]).tolist() == [2] * 20
    with pytest.raises(InputError, match="--voices 21"):
        recipe.words(21, 1)


@pytest.mark.usefixtures("quick")
def test_made_in_parts_the_files_are_the_same_and_are_read_as_shd_is(tmp_path: Path) -> None:
    whole = recipe.make(tmp_path / "whole", 2, 1, lambda _: None)
    QuickEar.heard, QuickEar.stop = 0, 30
    with pytest.raises(StoppedAt):
        recipe.make(tmp_path / "parts", 2, 1, lambda _: None)
    assert not [*(tmp_path / "parts").glob("*")][1:]  # but the folder of what was made so far
    QuickEar.stop = 10**9
    said: list[str] = []
    again = recipe.make(tmp_path / "parts", 2, 1, said.append)
    assert said[0] == "spoken-digits: 200 recordings, 30 of them made before"
    assert QuickEar.heard == 200
    assert [content_of(path) for path in again] == [content_of(path) for path in whole]
    assert {path.name for path in (tmp_path / "parts").iterdir()} == {path.name for path in whole}

    train, test, real, card = whole
    data = Cochlea(path=str(train), test=str(test)).load()
    assert (len(data.y_train), len(data.y_test), data.classes) == (40, 120, 20)
    assert data.owners is not None
    assert data.owners.names == ("0", "1")
    assert {*data.class_names} == {*voices.WORDS["it"], *voices.WORDS["fr"]}
    with h5py.File(real) as file:
        assert len(file["labels"]) == 40
        names = file["extra/meta_info/name"].asstr()[:]
        assert {*names[file["extra/speaker"][:]]} == {"Carlo", "Menardi", "June", "Armelle"}
        assert file["spikes/times"][0].dtype == np.float32
        assert file["spikes/units"][0].dtype == np.uint16
        assert all(times.max() < ear.LONGEST for times in file["spikes/times"])
    text = content_of(card).decode()
    for path in (train, test, real):
        assert hashlib.sha256(content_of(path)).hexdigest() in text
    for words in ("It is not SHD", "40 recordings of 4 people", "espeak-ng: 1.51", "40 words were"):
        assert words in text, text
    with pytest.raises(InputError, match="is there already"):
        recipe.make(tmp_path / "whole", 2, 1, lambda _: None)


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voices, "SPEAK", "no-such-program")
    with pytest.raises(InputError, match="no-such-program") as error:
        voices.demand_voices()
    assert "apt-get install espeak-ng sox" in str(error.value)
    assert "asterisk-prompt-fr-armelle" in str(error.value)
    monkeypatch.setattr(recipe, "NEEDED", ("no_such_package",))
    with pytest.raises(InputError, match=r"fedspike\[voices\]"):
        recipe.make(tmp_path, 1, 1, lambda _: None)


def test_what_nobody_can_make_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "make", "spoken-digit"]) == 2
    assert "did you mean spoken-digits" in capsys.readouterr().err


def test_fibres_rest_after_they_fired_and_fire_as_often_as_one_by_one() -> None:
    chances = np.full(4000, 0.02)
    uniforms = stream(5, "fibres").random(4000)
    counts = ear.fired(chances, 40, 24.0, uniforms)
    windows = np.lib.stride_tricks.sliding_window_view(counts, 24).sum(axis=1)
    assert windows.max() <= 40
    # A fibre that waits 1/p steps and rests 23 more: a renewal process with a mean of 73 steps.
    assert abs(counts.sum() - 40 * 4000 / 73) < 5 * np.sqrt(40 * 4000 / 73)
    assert ear.fired(np.ones(100), 40, 24.0, uniforms).tolist() == [
        40 * (step % 24 == 0) for step in range(100)
    ]
    assert not ear.fired(np.zeros(100), 40, 24.0, uniforms).any()


@HEARS
def test_hair_and_bushy_cells_are_lauscher_s() -> None:
    from lauscher.transformations import BushyCell, HairCell

    rng = np.random.default_rng(0)
    moved = 300 * rng.standard_normal(2400)
    hair, bushy = HairCell(), BushyCell()
    constants = (hair.y, hair.g, hair.l, hair.r, hair.x, hair.a, hair.b, hair.h, hair.m)
    chances = ear.released(moved, 24000.0, constants)
    assert np.array_equal(chances, hair._meddis(moved, 24000.0))

    alone = np.random.default_rng(1).random((2400, 40)) < chances[:, None]
    spikes = bushy._lif(alone.astype(float), 24000.0)
    taus = (bushy.tau_mem, bushy.tau_syn, bushy.tau_refrac)
    ours = ear.membrane_spikes(alone.sum(axis=1), 24000.0, taus, bushy.weight)
    assert len(ours) > 5
    assert np.array_equal(ours, np.flatnonzero(spikes))


@HEARS
@pytest.mark.thorough  # half a minute: the membrane's response
def test_the_higher_a_tone_the_nearer_to_the_base_it_is_heard_and_always_alike() -> None:
    inner = ear.Ear()
    t = np.arange(int(0.2 * ear.RATE)) / ear.RATE
    heard = [inner.spikes(np.sin(2 * np.pi * hertz * t), "tone") for hertz in (300, 3000)]
    low, high = (np.median(units) for _, units in heard)
    assert low > high + 100  # the base of the cochlea, channel 0, hears what is high
    again = inner.spikes(np.sin(2 * np.pi * 300 * t), "tone")
    assert all(np.array_equal(*pair) for pair in zip(heard[0], again, strict=True))
