"""Learning step by step: what is kept of a sample's past does not grow with the time steps.

At each step t the scores to come are estimated from those so far, z, each step's share of which is known:

    zhat[t] = T/(t+1) sum_{t' <= t} z[t']          error "so-far"
    zhat[t] = T z[t]                               error "step"
    E[t]    = dL/dz (zhat[t])                      of the loss L that backpropagation has, too
    dW     += sum over the samples of delta[t] a[t]^T

with the traces a of `networks/steps.py`, which stand for the past, and a kind's own delta. As E[t] takes the
place of the error at the end, which nobody knows yet, dW is an estimate of backpropagation's gradient, of the
same size, and equal to it in the last step. The optimiser steps once a minibatch, with the sum over all steps
and the mean over the samples (in the words of Xiao et al. 2022 this is their variant A, for "accumulated").
"""

from typing import Annotated, ClassVar, Literal

import torch
from msgspec import Meta
from msgspec.structs import replace
from torch import Tensor
from torch.autograd import grad

from fedspike.engine.engines import Engine, Learned, Share, in_parts, losses_of
from fedspike.layers.operations import LayerOperations, NetworkOperations, Table, joined
from fedspike.learning.minibatches import Minibatches
from fedspike.networks import Batch, Parameters, SizedNetwork, Step
from fedspike.part import abstractmethod
from fedspike.parts.losses import Loss
from fedspike.parts.tensors import Scores

Memory = dict[str, Tensor]
"""What a kind keeps from step to step of a pass."""


class Online(Minibatches):
    """A spiking network learns at each time step, from the present step and traces of its inputs."""

    error: Annotated[
        Literal["so-far", "step"],
        Meta(
            description="the error at a step is that of the scores so far, or of this step's alone"
        ),
    ] = "so-far"

    replaced: ClassVar[tuple[str, ...]] = ("backward_weights",)
    """The phases of a backward pass through time in whose place it does something else."""

    @abstractmethod
    def slopes(
        self, network: SizedNetwork, step: Step, error: Scores, leaves: Parameters, memory: Memory
    ) -> Parameters:
        """The gradients at a step in which the last layer's neurons have this `error`.

        All clients' are summed over their samples; `memory` is changed in place.
        """

    @property
    def apart(self) -> bool:
        """Whether no gradient passes from a layer to the one before it."""
        return False

    def demand_network(self, network: SizedNetwork) -> None:
        """Raise InputError for a network that is not run step by step."""
        super().demand_network(network)
        network.demand_steps()

    def samples_at_once(self, network: SizedNetwork) -> int | None:
        """Samples of each client whose step is computed at once; None: the whole minibatch."""
        return network.samples_at_a_step

    def bytes_of_a_step(self, engine: Engine, network: SizedNetwork, rows: int) -> int:
        """Memory of a step, at the least: of all layers the inputs, their traces and membranes, as floats."""
        del engine
        return (
            12 * min(rows, self.samples_at_once(network) or rows) * sum(network.architecture.layers)
        )

    def peak_of_a_step(self, engine: Engine, network: SizedNetwork, rows: int) -> int:
        """Measured: 7 numbers of all layers a sample; the code's, and a step's gradients beside their sum."""
        del engine
        rows, code = min(rows, self.samples_at_once(network) or rows), network.code
        inputs, *_ = layers = network.architecture.layers
        shown = 0 if code is None else code.bytes_of_steps(inputs, rows, network.time_steps)
        return 28 * rows * sum(layers) + shown + 4 * network.architecture.parameters

    def begin(self, network: SizedNetwork, seed: int) -> Memory:
        """What is kept before the first step of a pass."""
        del network, seed
        return {}

    def taught(
        self,
        engine: Engine,
        network: SizedNetwork,
        loss: Loss,
        parameters: Parameters,
        batch: Batch,
    ) -> Learned:
        """The equations at the top of the file."""
        del engine

        def learn(part: Batch, share: Share) -> Learned:
            return self._pass(network, loss, parameters, part, share)

        return in_parts(batch, self.samples_at_once(network), learn)

    def _pass(
        self,
        network: SizedNetwork,
        loss: Loss,
        parameters: Parameters,
        part: Batch,
        share: Share,
    ) -> Learned:
        """Through all steps of these samples."""
        T, read_out, last = network.time_steps, network.read_out, network.architecture.names[-1]
        assert read_out is not None  # see `demand_network`
        used = network.amplified(parameters)
        leaves = {name: weight.detach().requires_grad_() for name, weight in used.items()}
        steps = network.steps(leaves, part, apart=self.apart)
        gradients, memory = dict[str, Tensor](), self.begin(network, part.address.seed)
        z: Tensor | float = 0.0

        def mean_loss(scores: Scores) -> Tensor:
            return share(losses_of(loss, scores, part, T))

        for t, step in enumerate(steps):
            out = step.flow[last].detach().requires_grad_()
            own = read_out.share(out, t, T)
            z = z + own.detach()
            estimate = own.detach() * T if self.error == "step" else z * (T / (t + 1))
            estimate.requires_grad_()
            losses = mean_loss(estimate)
            (error,) = grad(losses, estimate, torch.ones_like(losses))
            (error,) = grad(own, out, error)
            slopes = self.slopes(network, step, error, leaves, memory)
            gradients = (
                {n: gradients[n].add_(g) for n, g in slopes.items()} if gradients else slopes
            )
        assert isinstance(z, Tensor)
        return Learned(steps.forward(z), mean_loss(z), network.amplified(gradients))

    def trains(self, network: SizedNetwork) -> NetworkOperations:
        """With what it does in place of a backward pass through time.

        A trace decays at each step, and an event is added to it. The gradient of each synapse is a MAC at
        each step, because traces are hardly ever 0. Of an input that is the same at each step the errors are
        gathered before they meet it, once. What a neuron counts for its surrogate is left as it is, with the
        gradient through its recurrence: at each step a multiply and an addition more than are needed.
        """
        counted = super().trains(network)
        layers = {}
        for name, layer in counted.layers.items():
            kept = {p: rows for p, rows in layer.trained.items() if p not in self.replaced}
            work = self.work(name, layer, network) if layer.synapses else {}
            layers[name] = replace(layer, trained=joined([(kept, 1), (work, 1)]))
        return replace(counted, layers=layers)

    def work(self, name: str, layer: LayerOperations, network: SizedNetwork) -> Table:
        """In place of a gradient through time: a trace of each input, and its products with the errors."""
        del name, network
        if layer.constant:
            return {"backward_weights": {"product": {"mac": 1}, "output and step": {"mac": 1}}}
        trace = {"input and step": {"multiply": 1}, "event in": {"add": 1}}
        return {"backward_weights": {**trace, "synapse and step": {"mac": 1}}}
