"""Types and shapes are what the annotations promise, in a round of each kind of network.

All tests are run like that by `make shapes`.
"""

import os
import subprocess
import sys

WRONG = """
from checking import check
check("fedspike")
import torch
from fedspike.parts.losses import CrossEntropy
labels, present = torch.zeros(1, 5, dtype=torch.long), torch.ones(1, 5).bool()
CrossEntropy()(torch.zeros(2, 3), labels, present, 1)
"""


def ran(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Python with these words, in a process of its own."""
    return subprocess.run(
        [sys.executable, *words], env=os.environ | environment, capture_output=True, text=True
    )


def test_annotations_hold() -> None:
    few = (
        "tests/test_combinations.py",
        "-k",
        "fedavg or scaffold",
        "-n",
        "0",
        "-p",
        "no:cacheprovider",
    )
    done = ran("-m", "pytest", *few, FEDSPIKE_SHAPES="1")
    assert done.returncode == 0, done.stdout[-3000:]


def test_a_wrong_shape_is_seen() -> None:
    assert "BeartypeCall" in ran("-c", WRONG, PYTHONPATH="tests").stderr
