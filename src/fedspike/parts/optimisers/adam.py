"""Adam."""

from typing import Annotated

import torch
from msgspec import Meta

from fedspike.layers.operations import Table
from fedspike.parts.optimisers.optimiser import (
    LearningRate,
    Optimiser,
    Parameters,
    Step,
    WeightDecay,
    at_each_step,
)

Decay = Annotated[float, Meta(ge=0, le=0.999999)]  # nearer to 1 it is 1 in single precision


class Adam(Optimiser, tag="adam"):
    """Adam; the number of the step t counts from 1.

        w <- (1 - eta lambda) w
        m <- b1 m + (1 - b1) g,    v <- b2 v + (1 - b2) g^2
        w <- w - eta (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon)

    Source: Kingma, Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015; the decay is decoupled from
    the gradient, see Loshchilov, Hutter, "Decoupled Weight Decay Regularization" (AdamW), ICLR 2019.
    """

    learning_rate: LearningRate = 1e-3
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    epsilon: Annotated[float, Meta(gt=0)] = 1e-8
    weight_decay: Annotated[WeightDecay, Meta(description="lambda, decoupled")] = 0.0

    def start(self, parameters: Parameters) -> dict[str, Parameters]:
        """Moments m and v, zero."""
        return {
            moment: {name: torch.zeros_like(weight) for name, weight in parameters.items()}
            for moment in ("m", "v")
        }

    def step(self, step: Step) -> None:
        """The equations."""
        self.decay(step.parameters)
        for name, weight in step.parameters.items():
            g, m, v = step.gradients[name], step.memory["m"][name], step.memory["v"][name]
            m.mul_(self.beta1).add_(g, alpha=1 - self.beta1)
            v.mul_(self.beta2).addcmul_(g, g, value=1 - self.beta2)
            scale = (v / (1 - self.beta2**step.number)).sqrt_().add_(self.epsilon)
            weight.addcdiv_(m, scale, value=-self.learning_rate / (1 - self.beta1**step.number))

    def decay(self, parameters: Parameters) -> None:
        """The first equation."""
        if self.weight_decay:
            for weight in parameters.values():
                weight.mul_(1 - self.learning_rate * self.weight_decay)

    def operations(self) -> Table:
        """The equations, a division being a multiply."""
        return at_each_step(multiply=11 + bool(self.weight_decay), add=4, sqrt=1)
