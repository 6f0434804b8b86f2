"""Texts as people have them: every encoding and line end of editors and shells, and no file that is none."""

import codecs
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedspike import own_files, reading
from fedspike.energy import pricing, profiles
from fedspike.errors import InputError
from fedspike.experiment import document, sweep
from running import python

TOML = 'name = "mine"  # ± 1\nrounds = 5\n\n[code]\nkind = "phase"\nperiod = 17\n'
OWN = """\
# Größe
from fedspike.parts.surrogates import Atan

class Wide(Atan, tag="wide"):
    '''Wide.'''
"""
PRICES = (Path(profiles.__file__).parent / "profiles" / "horowitz45-int8.toml").read_text()
SAVED: dict[str, Callable[[str], bytes]] = {
    "UTF-8 with a mark": lambda text: text.encode("utf-8-sig"),
    "UTF-16 of PowerShell": lambda text: codecs.BOM_UTF16_LE + crlf(text).encode("utf-16-le"),
    "UTF-16, big-endian": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    "UTF-32": lambda text: codecs.BOM_UTF32_LE + text.encode("utf-32-le"),
    "Windows": lambda text: crlf(text).encode(),
    "old Macintosh": lambda text: text.replace("\n", "\r").encode(),
}
READERS: dict[str, Callable[[Path], Any]] = {
    "a.toml": lambda path: sweep.read(str(path)),
    "prices.toml": lambda path: pricing.profile(str(path)),
    "a.py": lambda path: own_files.load([path]),
}


def crlf(text: str) -> str:
    return text.replace("\n", "\r\n")


@pytest.mark.parametrize("saved", SAVED)
def test_a_text_is_read_as_any_editor_saves_it(saved: str, tmp_path: Path) -> None:
    config, prices = tmp_path / "a.toml", tmp_path / "b.toml"
    config.write_bytes(SAVED[saved](TOML))
    with pytest.raises(InputError, match=r"a\.toml, line 6: code\.period = 17"):
        sweep.read(str(config))
    prices.write_bytes(SAVED[saved](PRICES.replace("horowitz45-int8", "mine")))
    assert pricing.profile(str(prices)).name == "mine"
    own = tmp_path / "wide.py"
    own.write_bytes(SAVED[saved](OWN))
    if saved != "UTF-32":  # Python reads it no more than anybody writes it
        assert [kind.__name__ for kind in own_files.load([own])] == ["Wide"]


def test_another_encoding_is_said_with_its_line_and_cure(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes('name = "mine"\n# Größe\n'.encode("latin-1"))
    with pytest.raises(InputError, match=r"a\.toml, line 2: is not UTF-8(.|\n)*save it as UTF-8"):
        sweep.read(str(path))


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("what", ["pipe", "folder", "device", "endless", "long", "absent"])
def test_what_is_no_file_of_a_person_is_refused_at_once(
    name: str, what: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    elif what == "long":
        path.write_bytes(b"\n" * 2**21)
    elif what != "absent":
        path.symlink_to("/dev/zero" if what == "endless" else "/dev/null")
    began = time.monotonic()
    with pytest.raises(InputError, match=str(path)):
        READERS[name](path)
    assert time.monotonic() - began < 5  # one without an end would take forever


@pytest.mark.parametrize("gap", ["\n", "# x\n", "    \n"])
@pytest.mark.parametrize("inside", ["{gap}rounds = 0", "seeds = [{gap}]\nrounds = 0"])
def test_the_line_of_a_key_is_found_soon_in_any_text(gap: str, inside: str) -> None:
    text = inside.format(gap=gap * ((reading.LONGEST - 30) // len(gap)))
    began = time.monotonic()
    assert document.line_of(text, ("rounds",)) == text.count("\n") + 1
    assert time.monotonic() - began < 1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('a = """\nkey = 1\n"""\nkey = 2', 4),
        ("a = '''\nkey = 1'''\nkey = 2", 3),
        ('a = "]"  # [\nkey = 2', 2),
        ('a = """"x""""\n[b]\nkey = 1\n[[c]]\n"k" = [\n1, # ]\n]\n[d]\n[e]\n', None),
        ("a = 1\n\n\n  'key' = [\n1\n]", 4),
        ("[b]\n[key.c]\n", 2),
    ],
)
def test_a_key_is_found_behind_texts_brackets_and_comments(text: str, line: int | None) -> None:
    assert document.line_of(text, ("key",)) == line


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x89PNG\r\n\x1a\n\x00\x00", "own.py: SyntaxError"),
        (b"import sys\nsys.exit(0)\n", "line 2: SystemExit: 0"),
        (b"raise KeyboardInterrupt2\n", "line 1: NameError"),
        (b"a = 1\n", "no kind of part in it"),
    ],
)
def test_an_own_file_that_is_none_is_said(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        own_files.load([path])
    assert "None" not in str(caught.value)


@pytest.mark.parametrize(
    "command", ["doctor", "run quickstart", "energy profiles", "fleet status x"]
)
def test_windows_is_told_where_it_works(command: str) -> None:
    main = f"from fedspike.cli import main; sys.exit(main({command.split()}))"
    said = python(f"import sys; sys.modules['fcntl'] = None; {main}")
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.startswith("fedspike: this is Windows\n  expected: Linux or macOS")
    assert "WSL" in said.stderr
    assert "Traceback" not in said.stderr


def test_windows_is_told_in_python_too() -> None:
    said = python("import sys; sys.modules['fcntl'] = None; import fedspike; fedspike.ANN")
    assert said.stderr.rstrip().splitlines()[-3].startswith("fedspike.errors.InputError: this is W")
