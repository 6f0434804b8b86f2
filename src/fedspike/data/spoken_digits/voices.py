"""Who speaks: synthetic voices of eSpeak NG and real ones of Asterisk; how a word is had of each."""

import shutil
import subprocess
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from fedspike.errors import InputError

WORDS = {
    "it": ("zero", "uno", "due", "tre", "quattro", "cinque", "sei", "sette", "otto", "nove"),
    "fr": ("zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf"),
}
SPEAK, DECODE = "espeak-ng", "sox"
PACKAGES = (
    "espeak-ng sox asterisk-core-sounds-it-wav asterisk-core-sounds-fr-wav "
    "asterisk-prompt-it-menardi-wav asterisk-prompt-fr-armelle"
)
SOUNDS = Path("/usr/share/asterisk/sounds")
SILENCE = 0.03  # of the loudest hundredth of a second: what is below at either end is cut off


class Voice(NamedTuple):
    """One who speaks; `folder` holds the words of a real voice, which speaks one language."""

    name: str
    gender: str
    folder: str | None = None
    languages: tuple[str, ...] = tuple(WORDS)


class Take(NamedTuple):
    """How fast, in words a minute, and how high, from 0 to 99, a synthetic voice speaks."""

    speed: int
    pitch: int


# Variants of eSpeak NG, in the order in which they are taken: women and men in turn.
MEN = ("m1", "m2", "m3", "m4", "m5", "m6", "Marco", "Denis", "pablo", "Diogo")
WOMEN = ("f1", "f2", "f3", "f4", "Andrea", "Annie", "linda", "steph3", "aunty", "belinda")
LEARNT = tuple(
    Voice(name, gender)
    for pair in zip(MEN, WOMEN, strict=True)
    for name, gender in zip(pair, ("male", "female"), strict=True)
)
NEW = (Voice("m7", "male"), Voice("f5", "female"), Voice("Hugo", "male"), Voice("Alicia", "female"))
REAL = (
    Voice("Carlo", "male", "it_IT_m_Carlo", ("it",)),
    Voice("Menardi", "female", "it_IT_f_Menardi", ("it",)),
    Voice("June", "female", "fr_CA_f_June", ("fr",)),
    Voice("Armelle", "female", "fr", ("fr",)),
)
EVERYBODY = (*LEARNT, *NEW, *REAL)

TAKES = (Take(175, 50), Take(150, 42), Take(195, 60), Take(140, 62), Take(185, 36), Take(165, 70))
TEST_TAKE = Take(160, 55)  # nobody is learnt from in this one
ONLY_TAKE = Take(0, 0)  # of a recording


def demand_voices() -> None:
    """Raise InputError, with the packages of Debian, where a program or a real voice is missing."""
    missing = [name for name in (SPEAK, DECODE) if shutil.which(name) is None]
    missing += [f"the voice {one.name}" for one in REAL if not _recordings(one)]
    if missing:
        raise InputError(
            f"{' and '.join(missing)}: not on this machine",
            expected="eSpeak NG, SoX and the recorded voices of Asterisk, as Debian has them",
            fix=f"apt-get install {PACKAGES}",
        )


def _recordings(voice: Voice) -> list[Path]:
    folder = SOUNDS / str(voice.folder) / "digits"
    return sorted(path for path in folder.glob("[0-9].*") if path.suffix in (".wav", ".gsm"))


def versions() -> dict[str, str]:
    """What the programs say of themselves."""
    return {
        SPEAK: _output(SPEAK, "--version").decode().split("Data at")[0].strip(),
        DECODE: _output(DECODE, "--version").decode().split(":")[-1].strip(),
    }


def wave(
    voice: Voice, language: str, digit: int, take: Take, rate: int
) -> Float64[np.ndarray, " sample"]:
    """A word, from its first sound to its last, at so many samples a second.

    Raises InputError where a program fails.
    """
    from scipy.signal import resample_poly

    if voice.folder is None:
        how = ("-v", f"{language}+{voice.name}", "-s", f"{take.speed}", "-p", f"{take.pitch}")
        sound = _output(SPEAK, *how, "--stdout", WORDS[language][digit])
    else:
        path = next(one for one in _recordings(voice) if one.stem == str(digit))
        sound = _output(DECODE, str(path), "-D", "-t", "wav", "-")
    own, samples = _decoded(sound)
    moment = own // 100
    moments = samples[: len(samples) // moment * moment].reshape(-1, moment)
    energy = np.sqrt((moments**2).mean(axis=1))
    loud = np.flatnonzero(energy > SILENCE * energy.max())
    common = int(np.gcd(own, rate))
    spoken = samples[loud[0] * moment : (loud[-1] + 1) * moment]
    resampled: Float64[np.ndarray, " sample"] = resample_poly(spoken, rate // common, own // common)
    return resampled


def _decoded(sound: bytes) -> tuple[int, Float64[np.ndarray, " sample"]]:
    """Rate and samples of a mono wave of 16 bits, whose header may not know how long it is."""
    import soundfile

    samples, rate = soundfile.read(BytesIO(sound))
    if samples.ndim != 1 or not samples.any():
        raise InputError("a word of silence", expected="a voice", fix="install the voices again")
    return rate, samples


def _output(program: str, *arguments: str) -> bytes:
    try:
        return subprocess.run([program, *arguments], check=True, capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise InputError(
            f"{program} {' '.join(arguments)}: failed",
            expected="a program that works",
            fix=f"apt-get install {PACKAGES}",
        ) from error
