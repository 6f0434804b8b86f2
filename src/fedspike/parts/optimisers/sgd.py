"""Gradient descent, plain or with momentum."""

from typing import Annotated

import torch
from msgspec import Meta

from fedspike.errors import InputError
from fedspike.layers.operations import Table
from fedspike.parts.optimisers.optimiser import (
    LearningRate,
    Optimiser,
    Parameters,
    Step,
    WeightDecay,
    at_each_step,
)


class SGD(Optimiser, tag="sgd"):
    """Stochastic gradient descent: w <- w - eta g.

    With weight decay g is that of the loss and lambda/2 |w|^2, with momentum a sum over the past:

        g <- g + lambda w,    v <- mu v + g,    w <- w - eta v;    with Nesterov's: w <- w - eta (g + mu v)

    Source: Sutskever, Martens, Dahl, Hinton, "On the importance of initialization and momentum in deep
    learning", ICML 2013, in the form that PyTorch gives it: the learning rate is outside of v.
    """

    learning_rate: LearningRate = 0.1
    momentum: Annotated[
        float, Meta(ge=0, le=0.999999, description="mu, the part of the past that stays")
    ] = 0.0
    nesterov: Annotated[bool, Meta(description="Nesterov's momentum, which looks ahead")] = False
    weight_decay: Annotated[WeightDecay, Meta(description="lambda")] = 0.0

    def check(self) -> None:
        """Raise InputError for Nesterov's momentum without any."""
        if self.nesterov and not self.momentum:
            raise InputError(
                "SGD that looks ahead without momentum",
                expected="a momentum that looks ahead",
                fix="set momentum = 0.9, or leave nesterov out",
                keys=("nesterov", "momentum"),
            )

    @property
    def plain(self) -> bool:
        """Without momentum; a decay is the gradient of a loss with a penalty."""
        return not self.momentum

    def start(self, parameters: Parameters) -> dict[str, Parameters]:
        """v, zero, where there is momentum."""
        if not self.momentum:
            return {}
        return {"v": {name: torch.zeros_like(weight) for name, weight in parameters.items()}}

    def step(self, step: Step) -> None:
        """The equations."""
        for name, weight in step.parameters.items():
            g = step.gradients[name]
            if self.weight_decay:
                g = g.add(weight, alpha=self.weight_decay)
            if self.momentum:
                v = step.memory["v"][name].mul_(self.momentum).add_(g)
                g = g.add(v, alpha=self.momentum) if self.nesterov else v
            weight.sub_(g, alpha=self.learning_rate)

    def operations(self) -> Table:
        """The equations."""
        made = 1 + bool(self.momentum) + self.nesterov + bool(self.weight_decay)
        return at_each_step(multiply=made, add=made)
