"""The site's commands do what it shows, and those that would take hours are at least commands."""

import doctest
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from fedspike.cli.parser import parsed
from fedspike.experiment import sweep

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted([*DOCS.glob("*.md"), DOCS.parent / "README.md"])
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^(?:\$ )?(?:torchrun .* -m )?fedspike (.*)$", re.MULTILINE)


def shown(page: Path) -> list[tuple[str, str]]:
    """The commands of a page's consoles, each with what is said to be seen."""
    consoles = [
        text for kind, text in BLOCK.findall(page.read_text(encoding="utf-8")) if kind == "console"
    ]
    parts = [part for text in consoles for part in re.split(r"^\$ ", text, flags=re.M) if part]
    return [(command, seen) for command, _, seen in (part.partition("\n") for part in parts)]


def without_numbers(text: str) -> str:
    """Machines differ in speed, and versions of torch in last digits."""
    return re.sub(r" +", " ", re.sub(r"\d+(\.\d+)?", "0", text))


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["tutorial.md"])
def test_what_the_page_shows_is_seen(name: str, tmp_path: Path) -> None:
    """In the order of the page, in one folder."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for kind, text in BLOCK.findall((DOCS / name).read_text(encoding="utf-8")):
        if kind == "python":
            (tmp_path / text.partition("\n")[0].removeprefix("# ")).write_text(text)
    for command, wanted in shown(DOCS / name):
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == (2 if "fedspike: " in wanted else 0), done.stdout
        matches = doctest.OutputChecker().check_output(
            without_numbers(wanted), without_numbers(done.stdout), doctest.ELLIPSIS
        )
        assert matches, f"{command}\n{done.stdout}"


def commands_of(page: Path) -> list[str]:
    """The arguments of the commands in blocks of code, without what the shell does with them.

    Those that are answered with an error are left out.
    """
    found = []
    for kind, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if kind in ("", "sh", "console"):
            text = re.sub(r"^.*\n(?=fedspike: )", "", text.replace("\\\n", ""), flags=re.MULTILINE)
            found += COMMAND.findall(text)
    return [re.split(r"\s(?:#|[|<>&;])", one)[0] for one in found]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_is_one(page: Path) -> None:
    """Its options are known, and its preset is there."""
    for command in commands_of(page):
        if command.endswith(("--help", "--version")):
            continue
        options = parsed(shlex.split(command))
        named = getattr(options, "experiment", "my.toml")
        assert named in sweep.presets() or named.endswith(".toml"), command


def test_what_follows_from_the_code_is_up_to_date() -> None:
    """After a change of records or of what one starts with: python tools/write_reference.py"""
    path = DOCS.parent / "tools" / "write_reference.py"
    spec = importlib.util.spec_from_file_location("write_reference", path)
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    for page, least in (("api.md", 40), ("run-directory.md", 20)):
        text = (DOCS / page).read_text(encoding="utf-8")
        assert tool.FILLED[page](text) == text, page
        assert len(re.findall(r"^(?:###|\.\. auto)", text, re.MULTILINE)) >= least


def test_every_page_has_a_place_in_the_site() -> None:
    listed = re.findall(r"^([\w-]+)$", (DOCS / "index.md").read_text(encoding="utf-8"), re.M)
    assert sorted(set(listed)) == sorted(
        page.stem for page in DOCS.glob("*.md") if page.stem != "index"
    )
