"""Compiled event-driven kernels, and whether they are in use.

`compiled` has the records that they take, `kernels` those of the best instruction set of this machine. Where
they cannot be used (nothing was compiled, another dtype than float32, another device than the CPU, or
FEDSPIKE_KERNELS=off) plain torch does the same work; on a GPU `triton_kernels` do its slow parts.
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
kernels: Any
try:
    compiled = _load()
    kernels = compiled.instruction_sets[0]
    WHY_NOT = "FEDSPIKE_KERNELS=off" if _SWITCH == "off" else ""
except ImportError as error:
    compiled = kernels = None
    WHY_NOT = (
        f"nothing was compiled ({error}); pip install . with a C++ compiler builds the kernels"
    )

ACTIVE = not WHY_NOT


def gpus() -> list[str]:
    """The names of the GPUs of this machine that torch can use."""
    cuda = importlib.import_module("torch").cuda  # takes a while
    return [cuda.get_device_name(index) for index in range(cuda.device_count())]


def engine(device: str = "cpu") -> str:
    """What computes on a device, in words.

    >>> engine().split()[0] in ("compiled", "plain")
    True
    """
    if device != "cpu":
        # Imports torch, which takes a while.
        triton = importlib.import_module("fedspike.engine.triton_kernels")
        there = "with Triton kernels" if triton.AVAILABLE else f"without kernels: {triton.WHY_NOT}"
        return f"torch on {device}, {there}"
    if ACTIVE:
        return f"compiled kernels for {kernels.name}"
    return f"plain torch: {WHY_NOT}"
