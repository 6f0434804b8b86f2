"""Tensors as the bytes of a safetensors file, and back: checkpoints, models, the memories of clients."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as bytes_from_tensors
from torch import Tensor

from fedspike.errors import InputError


def pack(tensors: Mapping[str, Tensor]) -> bytes:
    """Tensors as the bytes of a safetensors file, the same for the same tensors.

    Each is copied first, since safetensors refuses tensors that share memory.
    """
    copies = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    packed: bytes = bytes_from_tensors(copies)
    return packed


def unpack(content: bytes, path: Path | str, fix: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file; `path` is only named in the error."""
    try:
        tensors: dict[str, Tensor] = tensors_from_bytes(content)
    except SafetensorError as error:
        raise InputError(f"{path}: {error}", expected="a safetensors file", fix=fix) from error
    return tensors
