"""What clients did as bytes, for the other processes of a run: a line of JSON, then their tensors."""

from collections.abc import Mapping, Sequence

import msgspec
import torch
from msgspec import Struct
from torch import Tensor

from fedspike.algorithms import Tree
from fedspike.algorithms.trees import copied
from fedspike.federation.cohort import Work
from fedspike.federation.tensor_bytes import pack, unpack
from fedspike.layers.activity import Activity

Numbered = dict[str, dict[str, str]]
"""A tree with the names of its tensors, as they are among those that were packed."""
AGAIN = "start all of them again"
LOSSES = "losses"


class _Head(Struct):
    """All but the tensors; names keep their order, which the tensors' bytes do not."""

    replies: dict[int, Numbered]
    memories: dict[int, Numbered]
    activity: dict[int, Activity]


def to_bytes(work: Work) -> bytes:
    """The work, numbers to the bit."""
    tensors: dict[str, Tensor] = {}
    head = _Head(
        {client: _numbered(tree, tensors) for client, tree in work.replies.items()},
        {client: _numbered(tree, tensors) for client, tree in work.memories.items()},
        work.activity,
    )
    losses = [work.losses[client] for client in work.replies]  # nan and infinity are none in JSON
    tensors[LOSSES] = torch.tensor(losses, dtype=torch.float64)
    return msgspec.json.encode(head) + b"\n" + pack(tensors)


def from_bytes(content: bytes) -> Work:
    """The work that these bytes are of."""
    line, _, packed = content.partition(b"\n")
    head = msgspec.json.decode(line, type=_Head)
    tensors = unpack(packed, "what another rank trained", AGAIN)
    replies = {client: _tree(own, tensors) for client, own in head.replies.items()}
    return Work(
        replies,
        # What is kept beyond the round must not keep the others' bytes in memory.
        {client: copied(_tree(own, tensors)) for client, own in head.memories.items()},
        head.activity,
        dict(zip(replies, tensors[LOSSES].tolist(), strict=True)),
    )


def _numbered(tree: Tree, tensors: dict[str, Tensor]) -> Numbered:
    """The names of a tree's tensors among `tensors`, to which they are added."""
    numbered: Numbered = {}
    for group, own in tree.items():
        numbered[group] = {}
        for name, tensor in own.items():
            numbered[group][name] = str(len(tensors))
            tensors[str(len(tensors))] = tensor
    return numbered


def _tree(numbered: Numbered, tensors: Mapping[str, Tensor]) -> Tree:
    return {g: {name: tensors[n] for name, n in own.items()} for g, own in numbered.items()}


def in_order(works: Sequence[Work], clients: Sequence[int]) -> Work:
    """All of them in one, the clients in this order."""
    whole, ordered = Work(), Work()
    for work in works:
        whole.add(work)
    for client in clients:
        ordered.replies[client] = whole.replies[client]
        ordered.activity[client] = whole.activity[client]
        ordered.losses[client] = whole.losses[client]
        if client in whole.memories:
            ordered.memories[client] = whole.memories[client]
    return ordered
