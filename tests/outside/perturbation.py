"""A learner of one's own: no backward pass, two forward passes a step."""

from typing import Annotated, ClassVar

import torch
from msgspec import Meta
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from fedspike.layers.activity import Activity
from fedspike.layers.operations import Table
from fedspike.learning import Correction, Learner, Shown, Trained
from fedspike.networks import Batch, Forward, SizedNetwork
from fedspike.randomness import stream

Parameters = dict[str, Tensor]


class Perturbation(Learner, tag="perturbation"):
    """The loss a little to both sides of the weights, in a random direction, says which side is better.

    d = +-1 at random,  g = (L(w + c d) - L(w - c d)) / 2c,  w <- w - rate g d

    Source: Spall, "Multivariate stochastic approximation using a simultaneous perturbation gradient
    approximation", IEEE Transactions on Automatic Control 37, 1992.
    """

    steps: Annotated[
        int, Meta(ge=1, lt=2**31, description="steps of a round, each on all samples")
    ] = 2
    rate: Annotated[float, Meta(gt=0)] = 0.01
    distance: Annotated[float, Meta(gt=0, description="c")] = 0.05

    backward: ClassVar[bool] = False

    def learn(
        self, network: SizedNetwork, start: Parameters, shown: Shown, correct: Correction
    ) -> Trained:
        """The equations, for all clients side by side; there is no gradient to correct."""
        del correct
        clients, counts = len(shown.positions), [len(own) for own in shown.positions]
        positions = pad_sequence(shown.positions, batch_first=True, padding_value=-1)
        labels = shown.labels[positions.clamp(min=0)]
        batch = Batch(shown.pixels, positions, labels, shown.address)
        kept = network.statistics().keys()
        weights = {name: weight.clone() for name, weight in start.items() if name not in kept}
        passes, losses = [], torch.zeros(clients)
        for step in range(self.steps):
            d = {
                name: self._direction(weight, shown, name, step) for name, weight in weights.items()
            }
            ahead, above = self._loss(network, weights, d, self.distance, batch)
            behind, below = self._loss(network, weights, d, -self.distance, batch)
            g = (above - below) / (2 * self.distance)
            for name, weight in weights.items():
                weight.sub_(self.rate * g.reshape(-1, *[1] * (weight.dim() - 1)) * d[name])
            passes += [ahead, behind]
            losses += (above + below) / (2 * self.steps)
        done = [self._activity(passes, client, counts[client]) for client in range(clients)]
        return Trained(start | weights, [self.steps] * clients, losses.tolist(), done)

    def operations(self) -> Table:
        """To each parameter: twice to the side and back, and the step."""
        return {"optimiser": {"parameter and batch": {"draw": 1, "add": 4, "multiply": 1}}}

    def _direction(self, weight: Tensor, shown: Shown, name: str, step: int) -> Tensor:
        seed, round = shown.address.seed, shown.address.round
        drawn = [
            stream(seed, f"perturbation {name}", round, client, step).integers(
                0, 2, weight[0].shape
            )
            for client in shown.address.clients
        ]
        return torch.stack([torch.from_numpy(one * 2.0 - 1.0) for one in drawn]).to(weight)

    def _loss(
        self,
        network: SizedNetwork,
        weights: Parameters,
        d: Parameters,
        distance: float,
        batch: Batch,
    ) -> tuple[Forward, Tensor]:
        moved = {name: weight + distance * d[name] for name, weight in weights.items()}
        with torch.no_grad():
            forward = network.run(moved, batch)
            loss = network.usual_loss(
                forward.scores, batch.labels, batch.present, network.time_steps
            )
        return forward, loss

    def _activity(self, passes: list[Forward], client: int, samples: int) -> Activity:
        total = Activity(0, 0, {})
        for forward in passes:
            events_in = {name: int(count[client]) for name, count in forward.events_in.items()}
            met = {name: int(count[client]) for name, count in forward.synapses_met.items()}
            total += Activity(samples, 0, events_in, int(forward.events_out[client]), met)
        return total + Activity(0, self.steps, {})
