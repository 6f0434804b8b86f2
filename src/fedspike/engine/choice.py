"""Which engine computes."""

import torch

from fedspike import engine
from fedspike.engine.cpu import CompiledEngine
from fedspike.engine.engines import Engine
from fedspike.engine.gpu import TRITON
from fedspike.engine.plain_torch import PlainEngine
from fedspike.engine.triton_kernels import AVAILABLE
from fedspike.errors import InputError, warn_once

DEVICES = ("cpu", "cuda", "mps")  # of the twenty that torch would name
TYPES = (torch.float32, torch.float64)


def engine_for(device: torch.device | str, dtype: torch.dtype) -> Engine:
    """The fastest engine for tensors of this type on this device.

    Where the kernels could compute but for the type, that is logged once. Recordings are whole numbers, of
    bits, and are computed with in float32.
    """
    device = torch.device(device)
    if device.type == "cpu" and engine.ACTIVE:
        if dtype == torch.float32 or not dtype.is_floating_point:
            return CompiledEngine()
        warn_once(f"plain torch computes, several times slower: {dtype} is not float32")
    if device.type == "cuda" and AVAILABLE:
        return PlainEngine(device, TRITON)
    return PlainEngine(device)


def demand_device(device: object, dtype: object = torch.float32, asked: str = "device =") -> None:
    """Raise InputError where this torch cannot compute with numbers of this type on this device."""
    if not (isinstance(dtype, torch.dtype) and dtype in TYPES):
        raise InputError(
            f"dtype = {dtype}",
            expected=" or ".join(map(str, TYPES)),
            fix=f"leave it out for {TYPES[0]}",
        )
    try:
        if not isinstance(device, str | torch.device):
            raise TypeError("a device is a name")
        torch.zeros(1, device=device, dtype=dtype).cpu()
    except Exception as error:  # torch has many for what it does not know
        has_name = str(device).partition(":")[0] in DEVICES
        reason = f"torch says: {error}" if has_name else f"or use one of: {', '.join(DEVICES)}"
        raise InputError(
            f"{asked} {device}",
            expected="a device that this torch can compute on",
            fix=f"leave it out for the CPU; {reason.splitlines()[0]}",
        ) from error


def device_of_rank(device: str, local_rank: int) -> str:
    """The device of one of several processes of a machine: of its graphics cards each takes the next."""
    cards = torch.cuda.device_count() if device == "cuda" else 0
    return f"{device}:{local_rank % cards}" if cards else device
