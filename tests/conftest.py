"""With FEDSPIKE_SHAPES=1, as in `make shapes`, types and shapes that annotations promise are checked, too.

That takes as long again as the tests themselves; test_checking.py does it for some of them.

Files of tests run side by side, one more than there are cores, because tests of servers and browsers wait
most of their time; each computes in one thread unless it asks for more.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("FEDSPIKE_PASSPHRASE", "")  # nobody is there to be asked for one
os.environ.pop("COLUMNS", None)  # tests read what is written for nobody's terminal
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # what tests start compiles the package once

import pytest
import torch
from hypothesis import settings

from checking import check

if os.environ.get("FEDSPIKE_SHAPES"):
    check("fedspike")
collect_ignore = ["checking.py"]  # no tests, and what it replaces is replaced once

# A machine that is busy with something else must not fail a test; what is drawn stays reproducible.
settings.register_profile("fedspike", deadline=None, derandomize=True)
settings.load_profile("fedspike")


def pytest_xdist_auto_num_workers() -> int:
    """How many run side by side."""
    return len(os.sched_getaffinity(0)) + 1


@pytest.fixture(autouse=True)
def same_draws() -> None:
    """What a test draws from torch without a generator of its own is the same in every run."""
    torch.manual_seed(0)
