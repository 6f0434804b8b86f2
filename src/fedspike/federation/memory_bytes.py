"""What a client remembers as bytes, wherever they lie: in a run's folder, or on a node.

They are a safetensors file with names such as "0003/control/hidden.weight": the file itself keeps no order.
"""

import re
from pathlib import Path

from fedspike.algorithms import Tree
from fedspike.errors import InputError
from fedspike.federation.tensor_bytes import pack, unpack

NAME = re.compile(r"\d{4,}/([^/]+)/([^/]+)")


def memory_bytes(tree: Tree) -> bytes:
    """As many for each client that remembers tensors of these names and shapes."""
    flat = [(f"{g}/{n}", tensor) for g, own in tree.items() for n, tensor in own.items()]
    return pack({f"{i:04d}/{name}": tensor for i, (name, tensor) in enumerate(flat)})


def memory_of(content: bytes, path: Path, fix: str) -> Tree:
    """What such bytes say. Raises InputError, with `path` and `fix`, where they say nothing.

    >>> import torch
    >>> memory = {"own": {"w": torch.ones(1), "b": torch.zeros(1)}}
    >>> memory_of(memory_bytes(memory), Path("file"), "restore it")
    {'own': {'w': tensor([1.]), 'b': tensor([0.])}}
    """
    tree: Tree = {}
    for name, tensor in sorted(unpack(content, path, fix).items()):
        if (parts := NAME.fullmatch(name)) is None:
            raise InputError(
                f"{path}: a tensor {name}", expected="what a client remembers", fix=fix
            )
        group, own = parts.groups()
        tree.setdefault(group, {})[own] = tensor
    return tree
