"""How a module is run: for one client, and for all."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import functional_call

from fedspike.networks.module.adopt import Adopted
from fedspike.networks.module.counting import Watch
from fedspike.networks.sized_layers import Parameters

Counts = Mapping[str, Tensor]
"""layer -> the counts of `Watch`, [3] or, of all clients, [client, 3]."""
Passed = tuple[Tensor, Counts]
"""What came out of the module, and the counts."""


@dataclass(frozen=True, eq=False)
class Call:
    """A module and the way in which it wants its input.

    `timed` inputs and outputs have a time axis. `stepped` modules get them step by step; of a pair that the
    module returns, the tensor number `taken` counts.
    """

    own: Adopted
    timed: bool
    stepped: bool
    taken: int
    not_counted: tuple[str, ...]

    def outputs(self, tensors: Parameters, flow: Tensor) -> Tensor:
        """What it makes of [batch, ...] or, `timed`, [time, batch, ...]. Membranes in `tensors` move on."""
        if not self.stepped:
            return self._taken(functional_call(self.own.module, tensors, (flow,)))
        made, state = [], None
        for now in flow:
            if self._returns_state:
                out, state = functional_call(self.own.module, tensors, (now, state))
            else:
                out = self._taken(functional_call(self.own.module, tensors, (now,)))
            made.append(out)
        return torch.stack(made)

    def watch(self, tensors: Parameters) -> Watch:
        """A watch over the parameters among these tensors."""
        names = (*self.own.learned, *self.own.frozen)
        return Watch({name: tensors[name] for name in names}, self.not_counted, spiking=self.timed)

    def at_once(self, learned: Parameters, flow: Tensor) -> Passed:
        """For all clients together; RuntimeError where torch.vmap refuses the module."""
        axes = (0, int(self.timed))
        outputs, counts = torch.vmap(self._one, in_dims=axes, randomness="error")(learned, flow)
        return outputs.movedim(0, int(self.timed)), counts

    def in_turn(self, learned: Parameters, flow: Tensor) -> Passed:
        """For one client after the other."""
        alone = [
            self._one({name: weight[k] for name, weight in learned.items()}, now)
            for k, now in enumerate(flow.unbind(int(self.timed)))
        ]
        outputs, counts = zip(*alone, strict=True)
        return torch.stack(outputs, int(self.timed)), _stacked(counts)

    @property
    def _returns_state(self) -> bool:
        return len(inspect.signature(self.own.module.forward).parameters) > 1

    def _taken(self, answer: Tensor | Sequence[Tensor]) -> Tensor:
        return answer if isinstance(answer, Tensor) else answer[self.taken]

    def _one(self, learned: Parameters, flow: Tensor) -> Passed:
        tensors = self.own.tensors(learned)
        with self.watch(tensors) as watch:
            outputs = self.outputs(tensors, flow)
        return outputs, watch.counts


def _stacked(counts: Sequence[Counts]) -> Counts:
    """Of all clients. A layer that a client's samples did not go through had no events."""
    nothing = {name: torch.zeros_like(number) for one in counts for name, number in one.items()}
    every = [nothing | dict(one) for one in counts]
    return {name: torch.stack([one[name] for one in every]) for name in nothing}
