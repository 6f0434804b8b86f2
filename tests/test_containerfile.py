"""The container file and what is documented of it: none is built here, but all that it names is there."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from fedspike.cli.parser import parser

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "Containerfile").read_text(encoding="utf-8")
RUNS = re.compile(r"^(?:podman run .* fedspike|podman exec \S+ fedspike|fedspike) (?=fleet )")


def instructions() -> list[tuple[str, str]]:
    """Each with its words, comments left out and continued lines joined."""
    kept = "\n".join(line for line in TEXT.splitlines() if not line.startswith("#"))
    lines = kept.replace("\\\n", " ").splitlines()
    return [(name, words) for line in lines if line for name, _, words in [line.partition(" ")]]


def commands(document: str) -> list[str]:
    """What the document's code blocks run of fedspike's fleet, in a container or not."""
    text = (ROOT / document).read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = [line for language, block in blocks if not language for line in block.splitlines()]
    return [RUNS.sub("", line) for line in lines if RUNS.match(line)]


def test_what_is_copied_is_there_and_not_ignored() -> None:
    ignored = (ROOT / ".containerignore").read_text(encoding="utf-8").splitlines()
    copied = [words.split() for name, words in instructions() if name == "COPY"]
    sources = [source for words in copied if "--from=build" not in words for source in words[:-1]]
    assert "src" in sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {project["readme"], *project["license-files"]} <= set(sources)


def test_it_installs_what_a_fleet_needs_and_runs_as_no_root() -> None:
    named = dict(instructions())
    (named_extras,) = re.findall(r"'\.\[([\w,]+)\]'", TEXT)
    extras = named_extras.split(",")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert extras == ["report", "fleet"]
    assert set(extras) <= project["optional-dependencies"].keys()
    assert named["ENTRYPOINT"] == '["fedspike"]'
    assert "fedspike" in project["scripts"]
    assert int(named["USER"]) > 0
    kept = named["VOLUME"]
    assert named["WORKDIR"] == kept
    assert f"FEDSPIKE_CACHE={kept}/" in named["ENV"]


@pytest.mark.parametrize(("document", "least"), [("docs/fleet.md", 12)])
def test_the_documented_commands_are_fedspikes(document: str, least: int) -> None:
    """Their words are taken by the parser; nothing is run."""
    documented = commands(document)
    assert len(documented) >= least
    for command in documented:
        options = parser().parse_args(shlex.split(command))
        assert callable(options.command), command


def test_containers_are_found_among_the_documented_commands() -> None:
    text = (ROOT / "docs/fleet.md").read_text(encoding="utf-8")
    in_containers = [
        line for line in text.splitlines() if line.startswith(("podman run", "podman exec"))
    ]
    assert len(in_containers) >= 4
    assert all(RUNS.match(line) for line in in_containers)
