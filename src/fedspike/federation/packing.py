"""Replies as they travel, unpacked where they arrive: see `remedies/compression.py`."""

from collections.abc import Iterable

from fedspike.algorithms import Tree
from fedspike.federation.order import Order


def unpacked(order: Order, clients: Iterable[int], tree: Tree) -> Tree:
    """The tree of a reply for these clients to this order, as guard and rules take it.

    Raises InputError where something packed is malformed. What is missing or unknown is left to the guard.
    """
    clients, whole = list(clients), dict(tree)
    for client in clients:
        names = {g: g if len(clients) == 1 else f"{client}/{g}" for g in order.rules}
        own = {group: tree[name] for group, name in names.items() if name in tree}
        opened = order.site.algorithm.unpacked(own, order.forms[client])
        whole |= {names[group]: tensors for group, tensors in opened.items()}
    return whole
