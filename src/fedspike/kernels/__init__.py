"""Compiled event-driven kernels, and whether they are in use.

`packed` has the operators. Where they cannot be used (nothing was compiled, another dtype than float32,
another device than the CPU, or FEDSPIKE_KERNELS=off) the plain-torch functions beside them do the same work;
on a GPU with Triton, `gpu` does their slow parts.
"""

import importlib
import os
from typing import Any

compiled: Any
try:
    compiled = importlib.import_module("fedspike.kernels._kernels")
    WHY_NOT = "FEDSPIKE_KERNELS=off" if os.environ.get("FEDSPIKE_KERNELS") == "off" else ""
except ImportError as error:
    compiled = None
    WHY_NOT = (
        f"nothing was compiled ({error}); pip install . with a C++ compiler builds the kernels"
    )

ACTIVE = not WHY_NOT


def engine() -> str:
    """What computes, in words.

    >>> engine().split()[0] in ("compiled", "plain")
    True
    """
    if ACTIVE:
        return f"compiled kernels for {compiled.instruction_set}"
    return f"plain torch: {WHY_NOT}"
