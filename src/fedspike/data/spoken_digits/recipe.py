"""Spoken digits as spikes of a cochlea, in files laid out as SHD's are: what is made, and how it goes on."""

import hashlib
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fedspike import extras, files
from fedspike.data.spoken_digits import card, voices
from fedspike.data.spoken_digits.voices import Take, Voice
from fedspike.errors import InputError

NAME = "spoken-digits"
EXTRA = "voices"
NEEDED = ("lauscher", "h5py")
STATED = ("lauscher", "numpy", "scipy", "numba", "soundfile", "h5py")  # versions, in the card
CARD = "CARD.txt"
TRAIN, TEST, REAL = "spoken_digits_train.h5", "spoken_digits_test.h5", "spoken_digits_real.h5"
REPORT_EVERY = 20  # recordings
CLASSES = tuple((language, digit) for language in voices.WORDS for digit in range(10))


class Word(NamedTuple):
    """A recording to be made."""

    voice: Voice
    take: Take
    label: int

    @property
    def address(self) -> str:
        """Its own name, which its randomness comes from."""
        language, digit = CLASSES[self.label]
        return f"{self.voice.name}-{language}{digit}-{self.take.speed}-{self.take.pitch}"


def words(learnt: int, takes: int) -> dict[str, list[Word]]:
    """What is in each file, of so many voices to learn from and takes; InputError beyond what there is.

    >>> {name: len(content) for name, content in words(10, 2).items()}
    {'spoken_digits_train.h5': 400, 'spoken_digits_test.h5': 280, 'spoken_digits_real.h5': 40}
    """
    for option, number, most in (
        ("--voices", learnt, len(voices.LEARNT)),
        ("--takes", takes, len(voices.TAKES)),
    ):
        if not 1 <= number <= most:
            raise InputError(
                f"{option} {number}", expected=f"from 1 to {most}", fix=f"write {option} {most}"
            )
    old = voices.LEARNT[:learnt]
    return {
        TRAIN: _all(old, voices.TAKES[:takes]),
        TEST: _all((*old, *voices.NEW), (voices.TEST_TAKE,)),
        REAL: _all(voices.REAL, (voices.ONLY_TAKE,)),
    }


def _all(speakers: Sequence[Voice], takes: Sequence[Take]) -> list[Word]:
    return [
        Word(voice, take, label)
        for take in takes
        for voice in speakers
        for label, (language, _) in enumerate(CLASSES)
        if language in voice.languages
    ]


def make(folder: Path, learnt: int, takes: int, say: Callable[[str], None]) -> list[Path]:
    """Make the files and their card in a folder; the paths of all.

    Each word is stored when it is made, so what was stopped goes on with the same call. Raises InputError
    where a package, a program or a voice is missing, where the card is there already, and where the folder
    cannot be written to.
    """
    content = words(learnt, takes)
    files.demand_free(folder / CARD)
    extras.demand(NEEDED, EXTRA, NAME, expected="lauscher, the inner ear of SHD, and h5py")
    voices.demand_voices()
    tools = {name: version(name) for name in STATED} | voices.versions()
    parts = folder / f".parts-{hashlib.sha256(files.json_bytes(tools)).hexdigest()[:12]}"
    with files.claimed(folder):
        cut = _spoken(content, parts, folder, say)
        made = {}
        for name, recordings in content.items():
            made[name] = _hdf5(recordings, parts)
            files.write_whole(folder / name, made[name], folder)
        digests = {name: hashlib.sha256(one).hexdigest() for name, one in made.items()}
        text = card.text(content, tools, digests, cut)
        files.write_whole(folder / CARD, text.encode(), folder)
        files.remove(parts, folder)
    return [folder / name for name in (*content, CARD)]


def _spoken(
    content: dict[str, list[Word]], parts: Path, folder: Path, say: Callable[[str], None]
) -> int:
    """Store the spikes of each word that is not stored; how many words were longer than the ear takes."""
    wanted = [word for name in (REAL, TEST, TRAIN) for word in content[name]]
    todo = [word for word in wanted if not _part(parts, word).exists()]
    say(f"{NAME}: {len(wanted)} recordings, {len(wanted) - len(todo)} of them made before")
    if todo:
        from fedspike.data.spoken_digits.ear import LONGEST, RATE, Ear

        say(f"{NAME}: the response of the inner ear, which takes some seconds")
        ear, begin = Ear(), time.monotonic()
        for number, word in enumerate(todo):
            if number and number % REPORT_EVERY == 0:
                left = (time.monotonic() - begin) / number * (len(todo) - number)
                say(f"{NAME}: {number} of {len(todo)}, {left / 60:.1f} min left")
            wave = voices.wave(word.voice, *CLASSES[word.label], word.take, RATE)
            most = int(LONGEST * RATE)
            times, units = ear.spikes(wave[:most], word.address)
            file = BytesIO()
            np.savez_compressed(file, times=times, units=units, cut=len(wave) > most)
            files.write_whole(_part(parts, word), file.getvalue(), folder)
    return sum(bool(_read(parts, word)["cut"]) for word in wanted)


def _part(parts: Path, word: Word) -> Path:
    return parts / f"{word.address}.npz"


def _read(parts: Path, word: Word) -> Any:
    return np.load(BytesIO(files.content_of(_part(parts, word))), allow_pickle=False)


def _hdf5(recordings: list[Word], parts: Path) -> bytes:
    """The content of a file as SHD lays it out, the same bytes for the same recordings."""
    import h5py

    spikes = [_read(parts, word) for word in recordings]
    memory = BytesIO()
    with h5py.File(memory, "w") as file:
        for name, kind in (("times", np.float32), ("units", np.uint16)):
            rows = file.create_dataset(f"spikes/{name}", (len(spikes),), h5py.vlen_dtype(kind))
            for number, one in enumerate(spikes):
                rows[number] = one[name]
        file["labels"] = np.array([word.label for word in recordings], np.uint16)
        everybody = voices.EVERYBODY
        speakers = [everybody.index(word.voice) for word in recordings]
        file["extra/speaker"] = np.array(speakers, np.uint16)
        keys = [voices.WORDS[language][digit] for language, digit in CLASSES]
        file.create_dataset("extra/keys", data=keys, dtype=h5py.string_dtype())
        for about, values in (
            ("gender", [one.gender for one in everybody]),
            ("name", [one.name for one in everybody]),
        ):
            file.create_dataset(f"extra/meta_info/{about}", data=values, dtype=h5py.string_dtype())
    return memory.getvalue()
