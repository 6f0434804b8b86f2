"""How a module is run: for one client, and for all."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import functional_call

from fedspike.errors import InputError
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
                answer = functional_call(self.own.module, tensors, (now, state))
                if not (isinstance(answer, tuple) and len(answer) == 2):
                    raise self._unfit(answer, "what came out and the state", "return spikes, state")
                out, state = answer
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

    def _taken(self, answer: object) -> Tensor:
        several = isinstance(answer, tuple | list) and len(answer) > self.taken
        one = answer[self.taken] if several else answer  # type: ignore[index]
        if not isinstance(one, Tensor):
            what = "a tensor" if self.taken == 0 else "membranes, alone or behind the spikes"
            fix = 'return scores; of a dict, return answer["scores"]'
            raise self._unfit(answer, what, fix)
        return one

    def _unfit(self, answer: object, expected: str, fix: str) -> InputError:
        passed = f"a {type(self.own.module).__name__} that answers with a {type(answer).__name__}"
        return InputError(passed, expected=expected, fix=fix)

    def _one(self, learned: Parameters, flow: Tensor) -> Passed:
        tensors = self.own.tensors(learned)
        with self.watch(tensors) as watch:
            watch.shown(flow)
            outputs = self.outputs(tensors, flow)
        return outputs, watch.counts


def _stacked(counts: Sequence[Counts]) -> Counts:
    """Of all clients. A layer that a client's samples did not go through had no events."""
    nothing = {name: torch.zeros_like(number) for one in counts for name, number in one.items()}
    every = [nothing | dict(one) for one in counts]
    return {name: torch.stack([one[name] for one in every]) for name in nothing}
