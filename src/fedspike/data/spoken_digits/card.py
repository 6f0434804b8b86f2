"""The data card: what lies beside it, how it was made, and what it is not."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fedspike.data.spoken_digits import voices

HEAD = """\
Spoken digits as spikes of 700 cochlea channels: a data card

WHAT. The digits 0 to 9 in Italian and in French, 20 classes: synthetic voices to learn from and to test
with, and recorded human voices as a second test. The layout is that of the Spiking Heidelberg Digits (SHD):
times in s, units from 0 to 699, labels, extra/speaker (the voice: a client each), extra/keys (the words).
Two of extra/meta_info are here, gender and name, by the speaker's number; nobody has an age or a height.

WHAT IT IS NOT. It is not SHD: no recording of SHD is in it, and no result on it is one on SHD. SHD has 12
people who speak English and German; a synthesiser varies less than people do, and says each word of a take in
one way.

HOW. eSpeak NG says a word (variant, words a minute and pitch as below); what is silent at either end is cut
off (hundredths of a second below 3 % of the loudest one); it is resampled to 48 kHz, as SHD was recorded. The
inner ear is SHD's own: equations and constants of lauscher 1.0.1 (level 0.3, a Hann window over the whole
word, basilar membrane, hair cells, bushy cells of 40 fibres). Two things are computed otherwise: words are
filled up with silence after the window, and the fibres that fire are drawn as a binomial number, not one by
one. Each word's randomness comes from its own name, so the same versions on the same machine give the same
bytes. Nothing above 12 kHz is heard: no voice has anything there.
"""
LIMITS = """\
LIMITS. The variants of eSpeak NG are one synthesiser with other formants, pitches and timbres: they are less
apart than people are. The real voices are few, each speaks one language, and each says each digit once, over
a telephone's 8 kHz: nothing above 4 kHz. An accuracy on {real} recordings of {speakers} people has a wide
interval; say both numbers beside it. {cut} words were longer than 1 s, and their ends were cut off.

SOURCES. Cramer, Stradmann, Schemmel, Zenke, "The Heidelberg spiking data sets for the systematic evaluation
of spiking neural networks", IEEE Transactions on Neural Networks and Learning Systems 33, 2022 (the recipe).
The human voices are those of these packages of Debian, whose licences are in /usr/share/doc:
{packages}
"""


def text(
    content: Mapping[str, Sequence[Any]],
    tools: Mapping[str, str],
    digests: Mapping[str, str],
    cut: int,
) -> str:
    """The card of files with this content, made by these versions; `cut` words were too long."""
    real = [word for words in content.values() for word in words if word.voice.folder]
    limits = LIMITS.format(
        real=len(real),
        speakers=len({word.voice for word in real}),
        cut=cut,
        packages="\n".join(one for one in voices.PACKAGES.split() if one.startswith("asterisk")),
    )
    lines = [HEAD, "FILES."]
    for name, words in content.items():
        lines += [f"{name}: {len(words)} recordings", f"  SHA-256 {digests[name]}"]
        lines += [f"  {line}" for line in _speakers(words)]
    lines += ["", "VERSIONS.", *(f"{name}: {one}" for name, one in tools.items()), "", limits]
    return "\n".join(lines)


def _speakers(words: Iterable[Any]) -> list[str]:
    """A line for each voice: its number, its name, how many recordings and in which takes."""
    mine: dict[Any, list[Any]] = {}
    for word in words:
        mine.setdefault(word.voice, []).append(word)
    return [
        f"speaker {voices.EVERYBODY.index(voice)}: {voice.name}, {voice.gender}, "
        f"{'recorded' if voice.folder else 'synthetic'}, {' and '.join(voice.languages)}, "
        f"{len(spoken)} recordings{_takes(spoken)}"
        for voice, spoken in mine.items()
    ]


def _takes(spoken: Iterable[Any]) -> str:
    takes = dict.fromkeys(word.take for word in spoken if word.take != voices.ONLY_TAKE)
    return "".join(f"; {take.speed} words a minute, pitch {take.pitch}" for take in takes)
