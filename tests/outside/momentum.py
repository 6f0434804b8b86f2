"""An optimiser of one's own."""

from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor

from fedspike.layers.operations import Table
from fedspike.parts.optimisers import Optimiser, Step


class Momentum(Optimiser, tag="momentum"):
    """Gradient descent with a memory: v <- decay v + g,  w <- w - eta v."""

    learning_rate: Annotated[float, Meta(gt=0)] = 0.05
    decay: Annotated[float, Meta(ge=0, lt=1)] = 0.9

    def start(self, parameters: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
        """v, zero."""
        return {"v": {name: torch.zeros_like(weight) for name, weight in parameters.items()}}

    def step(self, step: Step) -> None:
        """The two equations."""
        for name, weight in step.parameters.items():
            v = step.memory["v"][name].mul_(self.decay).add_(step.gradients[name])
            weight.sub_(v, alpha=self.learning_rate)

    def operations(self) -> Table:
        """The two equations."""
        return {"optimiser": {"parameter and batch": {"multiply": 2, "add": 2}}}
