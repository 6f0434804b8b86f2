"""Plain gradient descent."""

from typing import ClassVar

from fedspike.layers.operations import Table
from fedspike.parts.optimisers.optimiser import LearningRate, Optimiser, Step, at_each_step


class SGD(Optimiser, tag="sgd"):
    """Stochastic gradient descent: w <- w - eta g."""

    learning_rate: LearningRate = 0.1

    plain: ClassVar[bool] = True

    def step(self, step: Step) -> None:
        """The equation."""
        for name, weight in step.parameters.items():
            weight.sub_(step.gradients[name], alpha=self.learning_rate)

    def operations(self) -> Table:
        """The equation."""
        return at_each_step(multiply=1, add=1)
