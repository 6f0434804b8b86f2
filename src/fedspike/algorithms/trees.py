"""Trees of several clients: one tensor with a client axis in the place of one for each client."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from fedspike.algorithms.algorithm import Tree

Form = tuple[tuple[str, str, torch.Size], ...]


def stack(trees: Sequence[Tree]) -> Tree:
    """One tree with a client axis from one tree per client, all of the first one's names."""
    return {
        group: {name: torch.stack([tree[group][name] for tree in trees]) for name in tensors}
        for group, tensors in trees[0].items()
    }


def together(trees: Sequence[Tree]) -> Tree:
    """The same, with an axis of length 1 where all have the very same numbers."""
    first, *others = trees
    return {
        group: {
            name: tensor.unsqueeze(0)
            if all(are_one(tree[group][name], tensor) for tree in others)
            else torch.stack([tree[group][name] for tree in trees])
            for name, tensor in tensors.items()
        }
        for group, tensors in first.items()
    }


def are_one(tensor: Tensor, other: Tensor) -> bool:
    """Whether two tensors are the same piece of memory."""
    return tensor is other or (
        tensor.data_ptr() == other.data_ptr()
        and tensor.shape == other.shape
        and tensor.stride() == other.stride()
        and tensor.dtype == other.dtype
    )


def each(tree: Tree, change: Callable[[Tensor], Tensor]) -> Tree:
    """The tree with every tensor changed."""
    return {group: {n: change(t) for n, t in tensors.items()} for group, tensors in tree.items()}


def in_order(form: Tree, tree: Tree) -> Tree:
    """The tree with groups and names in the order of another one of its form; bytes do not keep it."""
    return {group: {name: tree[group][name] for name in own} for group, own in form.items()}


def row(tree: Tree, client: int) -> Tree:
    """One client's tree out of a stacked one, the same memory."""
    return each(tree, lambda tensor: tensor[client])


def first_clients(tree: Tree, k: int) -> Tree:
    """The part of a stacked tree that belongs to the first k clients, the same memory."""
    return each(tree, lambda tensor: tensor[:k])


def alone(tree: Tree) -> Tree:
    """The tree of one client with a client axis."""
    return each(tree, lambda tensor: tensor.unsqueeze(0))


def copied(tree: Tree) -> Tree:
    """The tree in memory of its own."""
    return each(tree, Tensor.clone)


def form(tree: Tree) -> Form:
    """Names and shapes."""
    return tuple((g, name, t.shape) for g, tensors in tree.items() for name, t in tensors.items())


def move(tree: Tree, device: torch.device) -> Tree:
    """The tree on a device."""
    return each(tree, lambda tensor: tensor.to(device))


def count_bytes(tree: Tree) -> int:
    """What the numbers of a tree weigh on the wire."""
    return sum(t.numel() * t.element_size() for tensors in tree.values() for t in tensors.values())
