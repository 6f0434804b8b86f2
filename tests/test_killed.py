"""kill -9 at moments that nobody chose: every run that goes on ends as if nothing had been. `make killed`

The process is the command itself, on small data. First two networks with SCAFFOLD, whose clients have
memories, some of whom drop out, killed 20 times; then the other kinds that keep something from round to round
or have clients of several sizes, 3 times each. The moments are uniform over the time from the first stored
round of the undisturbed run to the last, with all that is stored between them. A smaller version, in the
suite, is in test_experiment_run.py.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fedspike.randomness import stream
from running import FEDSPIKE, fingerprints

FLEET = """
[fleet]
clients = 4
clients_per_round = 3
samples_per_round = 60
"""
SAMPLE = """
rounds = 30
[data]
kind = "fashion-mnist-sample"
"""
EXPERIMENTS = {  # how often each is killed, and its file
    "scaffold": (
        20,
        """
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
""",
    ),
    "local": (
        3,
        SAMPLE
        + FLEET
        + """
[partition]
kind = "shared-classes"
[architecture]
hidden = [20]
[snn]
time_steps = 5
[neuron]
kind = "competitive"
[read_out]
kind = "membrane"
[learner]
kind = "stdp"
[sweep]
network = ["snn"]
together = [
    { algorithm.kind = "neuron-union" },
    { algorithm.kind = "neuron-matching" },
    { rule.kind = "strongest" },
    { rule.kind = "maximum", learner.output = "supervised" },
    { learner.allotted = true },
]
""",
    ),
    "memory": (
        3,
        SAMPLE
        + FLEET
        + """
memory_kb = [600, 450, 1]
unfit = "absent"
[architecture]
hidden = [16]
[snn]
time_steps = 4
[read_out]
kind = "membrane"
[sweep]
network = ["ann", "snn"]
together = [{ remedies = [{ kind = "heterofl" }] }, { remedies = [{ kind = "fedrolex" }] }]
""",
    ),
    "online": (
        3,
        SAMPLE
        + FLEET
        + """
[architecture]
hidden = [8]
[snn]
time_steps = 4
[sweep]
network = ["snn"]
"learner.kind" = ["ottt", "e-prop"]
""",
    ),
    "signs": (
        3,
        """
network = "snn"
rounds = 20
test_noise = [0.1]
test_blur = [1.0]
[data]
kind = "signs"
train_samples = 129
test_samples = 43
[partition]
kind = "roads"
[fleet]
clients = 4
clients_per_round = 3
[architecture]
kind = "convolutional"
features = [2, "pool", 4, "pool"]
pool = "max"
hidden = [8]
[snn]
time_steps = 3
[read_out]
kind = "membrane"
[code]
kind = "receptive-field"
[loss]
kind = "masked-cross-entropy"
[learner]
batch_size = 8
""",
    ),
}


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


def wait_for(what: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 300
    while not what():
        assert process.poll() is None, "it ended too early"
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.001)


def trains(folder: Path) -> Callable[[], bool]:
    """Whether a round is stored."""
    return lambda: any(folder.glob("*/checkpoint"))


def rounds_done(folder: Path) -> int:
    return sum(len(path.read_bytes().splitlines()) for path in folder.glob("*/rounds.jsonl"))


@pytest.mark.killed
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_killed_at_any_moment_it_ends_with_the_same_bits(name: str, tmp_path: Path) -> None:
    kills, text = EXPERIMENTS[name]
    file, undisturbed = tmp_path / "tiny.toml", tmp_path / "whole"
    file.write_text(f'name = "{name}"\n{text}')
    whole = begin(file, undisturbed)
    wait_for(trains(undisturbed), whole)
    started = time.time()
    finish(whole)
    training_s = max(path.stat().st_mtime for path in undisturbed.glob("*/summary.json")) - started
    expected, rounds = fingerprints(undisturbed), rounds_done(undisturbed)

    same, done = 0, []
    for number, moment in enumerate(stream(0, "kill").random(kills) * training_s):
        folder = tmp_path / f"killed-{number}"
        process = begin(file, folder)
        wait_for(trains(folder), process)
        time.sleep(moment)
        assert process.poll() is None, "it ended before it could be killed"
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        done.append(rounds_done(folder))
        finish(begin(file, folder))
        same += fingerprints(folder) == expected
        print(
            f"{name}: killed after {moment:.2f} s and {done[-1]} of {rounds} rounds; "
            f"{same} of {number + 1} same"
        )
    assert same == kills
    assert sum(one < rounds for one in done) > kills / 2, "most died after training"
    assert len(set(done)) > kills / 2, "most died at the same round"
