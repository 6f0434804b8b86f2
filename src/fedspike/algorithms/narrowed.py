"""An algorithm whose clients train networks of different width; see `remedies/heterofl.py`.

A client receives the leading units of every hidden layer: the leading corner of every tensor, whatever the
algorithm sends. Where the window rolls, the server turns every hidden layer by a unit a round before it
takes the corner, and back afterwards; the corners of a round lie in one another in either case.
"""

from collections.abc import Mapping

import torch
from msgspec.structs import replace
from torch import Tensor

from fedspike.algorithms.algorithm import Tree
from fedspike.algorithms.changed import Changed
from fedspike.networks import Parameters, SizedNetwork, narrow
from fedspike.rules import Holders, Rule, corner

WINDOW = "window"  # group of the server's state: how often it stepped


class Narrowed(Changed):
    """Client k trains the share `widths[k mod n]` of each hidden layer of the network it is fitted to."""

    widths: tuple[float, ...]
    amplified: bool = True
    rolling: bool = False
    layers: tuple[str, ...] = ()

    def fitted(self, network: SizedNetwork) -> "Narrowed":
        """With the names of the layers that have weights, first to last."""
        if min(self.widths) < 1:
            network.narrowed(min(self.widths))
        fitted, layers = self.algorithm.fitted(network), network.architecture.names
        return replace(self, algorithm=fitted, layers=layers)

    def width(self, client: int) -> float:
        """The share of each hidden layer that the client trains."""
        return self.widths[client % len(self.widths)]

    def sub_network(self, network: SizedNetwork, client: int) -> SizedNetwork:
        """As wide as the client's width."""
        whole, width = self.algorithm.sub_network(network, client), self.width(client)
        return whole if width == 1 else whole.narrowed(width, 1 / width if self.amplified else 1.0)

    def own_size(self, client: int) -> str:
        """The width."""
        width = self.width(client)
        return "" if width == 1 else f"width {width:g}"

    def start(self, model: Parameters) -> Tree:
        """Where the window rolls, with how often the server stepped."""
        steps: Tree = {WINDOW: {"steps": torch.tensor(0)}} if self.rolling else {}
        return self.algorithm.start(model) | steps

    def order(self, server: Tree, client: int) -> Tree:
        """The client's corner of what the algorithm orders."""
        tree = self.algorithm.order(self._turned(server), client)
        units, width = _units(server["model"], self.layers), self.width(client)
        return {
            group: {
                name: _cut(tensor, _along(units, name, tensor), width)
                for name, tensor in own.items()
            }
            for group, own in tree.items()
        }

    def joining(self) -> Mapping[str, Rule]:
        """Each number over those who hold it."""
        return {group: Holders(rule) for group, rule in self.algorithm.joining().items()}

    def next_state(self, server: Tree, joined: Tree, participation: float) -> Tree:
        """The algorithm's step with what somebody holds; what nobody holds stays as it was."""
        before = self._turned(server)
        shapes = {name: tensor for own in joined.values() for name, tensor in own.items()}
        held = {
            group: corner(own, {name: shapes.get(name, tensor) for name, tensor in own.items()})
            for group, own in before.items()
        }
        after = self.algorithm.next_state(held, joined, participation)
        whole = {
            group: {name: _put(before[group][name], tensor) for name, tensor in own.items()}
            for group, own in after.items()
        }
        if not self.rolling:
            return whole
        steps = server[WINDOW]["steps"]
        return self._turned(whole | {WINDOW: server[WINDOW]}, back=True) | {
            WINDOW: {"steps": steps + 1}
        }

    def _turned(self, server: Tree, *, back: bool = False) -> Tree:
        """The algorithm's part of the state, with the window's first units at the front."""
        own = {group: tensors for group, tensors in server.items() if group != WINDOW}
        steps = int(server[WINDOW]["steps"]) if self.rolling else 0
        if not steps:
            return own
        units = _units(server["model"], self.layers)
        return {
            group: {
                n: _roll(t, _along(units, n, t), steps if back else -steps)
                for n, t in tensors.items()
            }
            for group, tensors in own.items()
        }


def _units(model: Parameters, layers: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """Layer -> the hidden units before it and its own, 0 for pixels and classes."""
    own = [*(len(model[f"{layer}.weight"]) for layer in layers[:-1]), 0]
    return dict(zip(layers, zip([0, *own], own, strict=False), strict=True))


def _along(units: Mapping[str, tuple[int, int]], name: str, tensor: Tensor) -> tuple[int, ...]:
    """The hidden units along each axis of a tensor, of one number each or of several; 0: there are none."""
    layer, _, part = name.rpartition(".")
    before, own = units[layer]
    axes = (own, before) if part == "weight" else (own,)
    return tuple(
        n if n and not size % n else 0
        for n, size in zip((*axes, *[0] * (tensor.dim() - len(axes))), tensor.shape, strict=True)
    )


def _cut(tensor: Tensor, along: tuple[int, ...], width: float) -> Tensor:
    """The leading share of the units along each axis; the same memory, and all of it the tensor itself."""
    kept = [
        narrow(n, width) * (size // n) if n else size
        for n, size in zip(along, tensor.shape, strict=True)
    ]
    return tensor if kept == [*tensor.shape] else tensor[tuple(map(slice, kept))]


def _put(whole: Tensor, part: Tensor) -> Tensor:
    """The tensor with another leading corner."""
    if part.shape == whole.shape:
        return part
    changed = whole.clone()
    changed[tuple(map(slice, part.shape))] = part
    return changed


def _roll(tensor: Tensor, along: tuple[int, ...], steps: int) -> Tensor:
    """The tensor with its units moved by so many places along each axis, round and round."""
    for axis, n in enumerate(along):
        if n:
            tensor = tensor.roll(steps * (tensor.shape[axis] // n), axis)
    return tensor
