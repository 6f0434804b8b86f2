"""Compiled event-driven kernels, and whether they are in use.

`packed` has the operators. Where they cannot be used (nothing was compiled, another dtype than float32,
another device than the CPU, or FEDSPIKE_KERNELS=off) the plain-torch functions beside them do the same work;
on a GPU with Triton, `gpu` does their slow parts.
"""

import importlib
import importlib.util
import os
from typing import Any

_SWITCH = os.environ.get("FEDSPIKE_KERNELS", "on")  # or "off", or the path of another build


def _load() -> Any:
    if _SWITCH in ("on", "off"):
        return importlib.import_module("fedspike.engine._kernels")
    spec = importlib.util.spec_from_file_location("fedspike.engine._kernels", _SWITCH)
    if spec is None or spec.loader is None:
        raise ImportError(f"FEDSPIKE_KERNELS={_SWITCH} is no module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


compiled: Any
try:
    compiled = _load()
    WHY_NOT = "FEDSPIKE_KERNELS=off" if _SWITCH == "off" else ""
except ImportError as error:
    compiled = None
    WHY_NOT = (
        f"nothing was compiled ({error}); pip install . with a C++ compiler builds the kernels"
    )

ACTIVE = not WHY_NOT


def engine(device: str = "cpu") -> str:
    """What computes on a device, in words.

    >>> engine().split()[0] in ("compiled", "plain")
    True
    """
    if device != "cpu":
        kernels = importlib.import_module(
            "fedspike.engine.triton_kernels"
        )  # imports torch, which takes a while
        triton = (
            "with Triton kernels" if kernels.AVAILABLE else f"without kernels: {kernels.WHY_NOT}"
        )
        return f"torch on {device}, {triton}"
    if ACTIVE:
        return f"compiled kernels for {compiled.instruction_set}"
    return f"plain torch: {WHY_NOT}"
