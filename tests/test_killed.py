"""kill -9 at 20 moments that nobody chose: every run that goes on ends as if nothing had been. `make killed`

The process is the command itself, on the packaged data: two networks with SCAFFOLD, whose clients have
memories, some of whom drop out. The moments are uniform over the time from the first round of the undisturbed
run to the last, with all that is stored between them. A smaller version, in the suite, is in
test_experiment_run.py.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fedspike.randomness import stream

FEDSPIKE = [sys.executable, "-c", "import sys; from fedspike.cli import main; sys.exit(main())"]
KILLS = 20
TINY = """\
name = "tiny"
rounds = 60
[data]
kind = "fashion-mnist-sample"
[partition]
kind = "classes"
classes = 3
[fleet]
clients = 4
clients_per_round = 3
samples_per_round = 24
dropout = 0.2
quorum = 0.5
[architecture]
hidden = [6]
[snn]
time_steps = 4
[learner]
batch_size = 10
[optimiser]
kind = "sgd"
learning_rate = 0.05
[algorithm]
kind = "scaffold"
[sweep]
network = ["ann", "snn"]
"""
RUNS = ("ann-classes3-scaffold-seed0", "snn-classes3-scaffold-seed0")
FIRST_ROUND = Path(RUNS[0], "checkpoint")  # which comes after the first round's line


def begin(file: Path, folder: Path) -> subprocess.Popen[bytes]:
    """The command."""
    return subprocess.Popen(
        [*FEDSPIKE, "run", str(file), "--output", str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def finish(process: subprocess.Popen[bytes]) -> None:
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said.decode()


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 300
    while not path.exists():
        assert process.poll() is None, f"ended without {path}"
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.001)


def without_seconds(record: dict[str, Any]) -> dict[str, Any]:
    """Of a round's line and of a run's summary all but times, and the hashes of files that hold some."""
    return {k: v for k, v in record.items() if k not in ("seconds", "files", "seal")}


def fingerprints(folder: Path) -> dict[str, tuple[str, str, str]]:
    """run -> SHA-256 of its weights, of its round records and of its summary."""
    found = {}
    for name in RUNS:
        run = folder / name
        lines = (run / "rounds.jsonl").read_text().splitlines()
        records = [without_seconds(json.loads(line)) for line in lines]
        assert [record["round"] for record in records] == list(range(1, 61))
        summary = without_seconds(json.loads((run / "summary.json").read_text()))
        weights = (run / "model.safetensors").read_bytes()
        texts = (weights, json.dumps(records).encode(), json.dumps(summary).encode())
        one, two, three = (hashlib.sha256(text).hexdigest() for text in texts)
        found[name] = (one, two, three)
    return found


def rounds_done(folder: Path) -> int:
    return sum(len(path.read_bytes().splitlines()) for path in folder.glob("*/rounds.jsonl"))


@pytest.mark.killed
def test_killed_at_any_moment_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    file = tmp_path / "tiny.toml"
    file.write_text(TINY)
    whole = begin(file, tmp_path / "whole")
    wait_for(tmp_path / "whole" / FIRST_ROUND, whole)
    started = time.monotonic()
    wait_for(tmp_path / "whole" / RUNS[-1] / "summary.json", whole)
    training_s = time.monotonic() - started
    finish(whole)
    expected = fingerprints(tmp_path / "whole")

    moments = stream(0, "kill").random(KILLS) * training_s
    same, done = 0, []
    for number, moment in enumerate(moments):
        folder = tmp_path / f"killed-{number}"
        process = begin(file, folder)
        wait_for(folder / FIRST_ROUND, process)
        time.sleep(moment)
        assert process.poll() is None, "it ended before it could be killed"
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        done.append(rounds_done(folder))
        finish(begin(file, folder))
        same += fingerprints(folder) == expected
        print(
            f"killed after {moment:.2f} s and {done[-1]} of 120 rounds; {same} of {number + 1} same"
        )
    assert same == KILLS
    assert sum(rounds < 120 for rounds in done) > KILLS / 2, "most died after training"
    assert len(set(done)) > KILLS / 2, "most died at the same round"
