"""Trees of several clients: one tensor with a client axis in the place of one for each client."""

from collections.abc import Sequence

import torch

from fedspike.algorithms.algorithm import Tree


def stack(trees: Sequence[Tree]) -> Tree:
    """One tree with a client axis from one tree per client, all of the first one's names."""
    return {
        group: {name: torch.stack([tree[group][name] for tree in trees]) for name in tensors}
        for group, tensors in trees[0].items()
    }


def take(tree: Tree, client: int) -> Tree:
    """A copy of one client's tree, out of a stacked one."""
    return {
        group: {name: tensor[client].clone() for name, tensor in tensors.items()}
        for group, tensors in tree.items()
    }


def move(tree: Tree, device: torch.device) -> Tree:
    """The tree on a device."""
    return {
        group: {name: tensor.to(device) for name, tensor in tensors.items()}
        for group, tensors in tree.items()
    }


def count_bytes(tree: Tree) -> int:
    """What the numbers of a tree weigh on the wire."""
    return sum(t.numel() * t.element_size() for tensors in tree.values() for t in tensors.values())
