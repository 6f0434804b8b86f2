"""Batch normalisation through time (BNTT), between the synapses of a layer and its neurons.

    I_hat[t] = gamma[t] * (I[t] - mu[t]) / sqrt(var[t] + epsilon),    I[t] = W s[t]

which is then what the neurons get: U[t] = beta*U[t-1] + I_hat[t] - ... Every channel (a convolution's, or a
neuron of a dense layer) has a gamma, a mu and a var of its own for each time step; there is no shift, the
synapses have no bias, and the output layer is not normalised.

In training mu and var are those of the batch, over the samples present and, of a channel, all its places.
They are followed by running ones, mu <- (1 - momentum)*mu + momentum*mu_batch and var alike, which stand in
for them in a test. A client whose batch has one sample is normalised by its running ones too, and these stay
as they are: the variance of one sample says nothing.

Source: Kim, Panda, "Revisiting Batch Normalization for Training Low-Latency Deep Spiking Neural Networks From
Scratch", Frontiers in Neuroscience 15, 2021. Departures: the running variance follows the batch's, not
n/(n-1) times that, so that variances can be pooled exactly; theirs has no rule for batches of one.
"""

from typing import Annotated, Any, ClassVar, Literal

import torch
from jaxtyping import Float
from msgspec import Meta
from torch import Tensor

from fedspike.layers.shapes import BatchNorm, Convolution, Dense
from fedspike.parts.normalisations.normalisation import ByTime, Normalisation, Parameters
from fedspike.parts.sums import total
from fedspike.parts.tensors import Flow, Present

STATISTICS = MEAN, VARIANCE = "mean", "variance"
"""A layer's running statistics are named `hidden.mean` and `hidden.variance`, [time, channel] each."""


class BNTT(Normalisation, tag="bntt"):
    """Normalise every hidden layer of an SNN by its own statistics at every time step.

    They are no parameters: no optimiser and no rule for updates touches them. "pooled" statistics are sent
    with the model and put together by the server, exactly, by numbers of samples. "local" ones never leave
    their client; the server, which then has none, tests with those of the images that it tests on.
    """

    statistics: Literal["pooled", "local"] = "pooled"
    momentum: Annotated[float, Meta(gt=0, le=1)] = 0.1
    epsilon: Annotated[float, Meta(gt=0)] = 1e-4

    replaces_bias: ClassVar[bool] = True

    @property
    def pools_statistics(self) -> bool:
        """Whether the server pools the clients' running statistics."""
        return self.statistics == "pooled"

    def behind(self, layer: Dense | Convolution, time_steps: int) -> BatchNorm:
        """What stands behind a layer, as the energy bill has it."""
        channels = layer.outputs if isinstance(layer, Dense) else layer.out_channels
        places = layer.outputs // channels
        return BatchNorm(channels, places, time_steps, shift=False, pooled=self.pools_statistics)

    def normalised(
        self, currents: Flow, gamma: ByTime, running: Parameters, present: Present | None = None
    ) -> tuple[Flow, Parameters]:
        """The equation at the top, and the running statistics after it; neurons come channel by channel.

        `running` are "mean" and "variance", [client, time, channel], or nothing. A pass with gradients takes
        the batch's own statistics, and so does one that is given none.
        """
        images = currents.reshape(*currents.shape[:3], gamma.shape[2], -1)
        if present is None:
            present = torch.ones(images.shape[1:3], dtype=torch.bool, device=images.device)
        samples = present.sum(1, keepdim=True)
        enough = samples > 1 if running else samples > 0
        by_batch = enough & (torch.is_grad_enabled() or not running)
        share = (present & by_batch).to(images.dtype) / samples
        expanded = {name: _over_images(numbers) for name, numbers in running.items()}
        nothing = torch.zeros_like(_over_images(gamma))
        kept = (expanded.get(name, nothing) for name in STATISTICS)
        scaled, *of_batch = _Scaled.apply(
            images, _over_images(gamma), share[None, ..., None, None], *kept, self.epsilon
        )  # type: ignore[no-untyped-call]
        after = {
            name: _by_client(torch.lerp(expanded[name], new, self.momentum))
            for name, new in zip(STATISTICS, of_batch, strict=True)
            if name in expanded
        }
        return scaled.flatten(3), after


class _Scaled(torch.autograd.Function):
    """gamma * (I - mu)/sqrt(var + epsilon), and mu and var.

    These are weighted by `share`, each sample's part of the batch; where it is 0 for all, they are what is
    kept. Sums go over a sample's places and then sample by sample, so that company changes no bit.
    """

    @staticmethod
    def forward(
        ctx: Any,
        images: Tensor,
        gamma: Tensor,
        share: Tensor,
        mu: Tensor,
        var: Tensor,
        epsilon: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        by_batch = (share > 0).any(2, keepdim=True)
        mu = torch.where(by_batch, _total(images, share), mu)
        standard = images - mu
        var = torch.where(by_batch, _total(standard.square(), share), var)
        deviation = (var + epsilon).sqrt()
        standard /= deviation
        ctx.save_for_backward(standard, gamma / deviation, share)
        ctx.mark_non_differentiable(mu, var)
        return gamma * standard, mu, var

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """dL/dI = gamma/sqrt(var + epsilon) (g - mean(g) - I_hat/gamma mean(g I_hat/gamma)), of a batch."""
        standard, scale, share = ctx.saved_tensors
        g, places = gradients[0], standard.shape[4]
        into_gamma = places * _total(g * standard)
        through_statistics = (places * _total(g) + standard * into_gamma) * (share / places)
        return scale * (g - through_statistics), into_gamma, None, None, None, None


def _total(
    images: Float[Tensor, "time client batch channel place"],
    share: Tensor | float = 1.0,
) -> Float[Tensor, "time client 1 channel 1"]:
    """The sum over samples, each by its share, of the means over places."""
    return total(images.mean(4, keepdim=True) * share, 2).unsqueeze(2)


def _over_images(numbers: ByTime) -> Float[Tensor, "time client 1 channel 1"]:
    return numbers.movedim(1, 0)[:, :, None, :, None]


def _by_client(numbers: Float[Tensor, "time client 1 channel 1"]) -> ByTime:
    return numbers[:, :, 0, :, 0].movedim(1, 0)
