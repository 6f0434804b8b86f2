"""The tool of `make aarch64`: every kernel's bits, on this machine alone."""

import subprocess
import sys
from pathlib import Path

import pytest

from fedspike import engine

TOOL = Path(__file__).parent.parent / "tools" / "kernel_bits.py"


@pytest.mark.skipif(not engine.ACTIVE, reason=engine.WHY_NOT)
def test_all_instruction_sets_and_threads_have_the_same_bits() -> None:
    command = [sys.executable, str(TOOL), engine.compiled.__file__]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    bits: dict[str, list[str]] = {}
    for line in told.splitlines():
        _, _, case, digest = line.split("\t")
        bits.setdefault(case, []).append(digest)
    sets = len(engine.compiled.instruction_sets)
    assert len(bits) > 50
    assert {len(set(digests)) for digests in bits.values()} == {1}
    assert {len(digests) for digests in bits.values()} == {2 * sets}, "two thread counts each"
