"""Which engine computes."""

import torch

from fedspike import engine
from fedspike.engine.cpu import CompiledEngine
from fedspike.engine.engines import Engine
from fedspike.engine.gpu import TRITON
from fedspike.engine.plain_torch import PlainEngine
from fedspike.engine.triton_kernels import AVAILABLE
from fedspike.errors import warn_once


def engine_for(device: torch.device | str, dtype: torch.dtype) -> Engine:
    """The fastest engine for tensors of this type on this device.

    Where the kernels could compute but for the type, that is logged once.
    """
    device = torch.device(device)
    if device.type == "cpu" and engine.ACTIVE:
        if dtype == torch.float32:
            return CompiledEngine()
        warn_once(f"plain torch computes, several times slower: {dtype} is not float32")
    if device.type == "cuda" and AVAILABLE:
        return PlainEngine(device, TRITON)
    return PlainEngine(device)
