"""What several tests run: code in a new interpreter, a command line for its JSON, a tiny experiment."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fedspike.cli import main
from fedspike.experiment import document, sweep
from fedspike.experiment.run import load, perform


def python(code: str) -> subprocess.CompletedProcess[str]:
    """Code in an interpreter of its own, and what it printed."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def asked(told: pytest.CaptureFixture[str], *words: str | Path) -> dict[str, Any]:
    """What `fedspike WORDS --json` prints, in this process."""
    assert main([*map(str, words), "--json"]) == 0
    found: dict[str, Any] = json.loads(told.readouterr().out)
    return found


def events(experiment: sweep.Experiment, folder: Path, *, measure: bool = False) -> Iterator[Any]:
    """What happens, one by one, while an experiment is done; what it would say is not heard."""
    dataset = load(experiment, lambda _: None)
    return perform(experiment, dataset, folder, command="fedspike run", measure=measure)


def finish(toml: str, folder: Path) -> Path:
    """The folder, with all runs of the experiment in a TOML text."""
    for _ in events(sweep.expand(document.parse(toml, "tiny.toml")), folder):
        pass
    return folder
