"""Eligibility propagation (e-prop)."""

from functools import cache
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from msgspec import Meta
from torch import Tensor
from torch.autograd import grad

from fedspike.errors import InputError
from fedspike.layers.operations import LayerOperations, Table, joined
from fedspike.layers.shapes import Convolution
from fedspike.learning.online import Memory, Online
from fedspike.networks import Parameters, SizedNetwork, Step
from fedspike.networks.synapses import product
from fedspike.parts.sums import total
from fedspike.parts.tensors import Now, Scores
from fedspike.randomness import stream

ELIGIBILITIES = 2**22  # numbers of a synapse and sample that are held at once, for each client


class EProp(Online, tag="e-prop"):
    """Eligibility propagation: what each synapse did, times what its neuron is told of the error.

        e_ji[t] = psi_j[t] a_i[t],    a_i[t] = beta a_i[t-1] + s_i[t]      eligibility
        L_j[t]  = sum_k B_kj E_k[t]                                        learning signal
        dW_ji  += sum over the samples of L_j[t] e_ji[t]

    E_k[t] is the error of class k and psi the surrogate. B is the output layer's weight ("symmetric", of one
    hidden layer), or fixed random numbers, uniform on +-1/sqrt(neurons of the layer), addressed by the seed
    and the layer, the same on all clients. The output layer has L = E.

    Where the threshold adapts, each synapse has a second eligibility, for each sample, and

        e_ji[t] = psi_j[t] (a_i[t] - adaptation x_ji[t]),    x_ji[t+1] = rho x_ji[t] + (1 - rho) e_ji[t]

    The memory of a step does not grow with the time steps. A bias has the trace of an input that is always 1.

    Source: Bellec, Scherr, Subramoney, Hajek, Salaj, Legenstein, Maass, "A solution to the learning dilemma
    for recurrent networks of spiking neurons", Nature Communications 11, 2020. Departures: the network has
    layers in place of recurrent connections; the loss is the one that backpropagation has, estimated at each
    step; eligibilities are not filtered with the read-out's leak, which would keep a number for each synapse
    and sample. As there, no gradient passes a reset.
    """

    feedback: Annotated[
        Literal["symmetric", "random"],
        Meta(
            description="how the hidden layers are told of the error: by the output's weights, or by chance"
        ),
    ] = "symmetric"

    replaced: ClassVar[tuple[str, ...]] = ("backward_weights", "backward_inputs")

    @property
    def apart(self) -> bool:
        """Errors reach each layer at once."""
        return True

    def demand_network(self, network: SizedNetwork) -> None:
        """Raise InputError for a network that is not run step by step, or a feedback that it cannot have."""
        super().demand_network(network)
        layers = network.described.values()
        if self.feedback == "symmetric" and len(layers) > 2:
            raise InputError(
                f"symmetric feedback to {len(layers) - 1} layers before the output",
                expected="one hidden layer, whose weights to the output carry the error back",
                fix='feedback = "random", or one hidden layer',
                keys=("feedback", "hidden", "architecture"),
            )
        if any(
            network.rises(name) and isinstance(layer, Convolution)
            for name, layer in network.described.items()
        ):
            raise InputError(
                "adaptive neurons behind a convolution",
                expected="fully connected layers, each synapse of which has its own second eligibility",
                fix='neuron.kind = "lif", or architecture.kind = "dense"',
                keys=("neuron", "architecture"),
            )

    def samples_at_once(self, network: SizedNetwork) -> int | None:
        """So many that second eligibilities fit, where the neurons have them."""
        weighted = {name: network.described[name] for name in network.architecture.names}
        if not (adaptive := [layer for name, layer in weighted.items() if network.rises(name)]):
            return super().samples_at_once(network)
        return max(1, ELIGIBILITIES // max(layer.inputs * layer.outputs for layer in adaptive))

    def begin(self, network: SizedNetwork, seed: int) -> Memory:
        """The random feedback to each hidden layer, [class, neuron]."""
        if self.feedback == "symmetric":
            return {}
        *hidden, last = network.architecture.names
        classes = network.described[last].outputs
        neurons = {name: network.described[name].outputs for name in hidden}
        return {f"{name}.B": random_feedback(seed, name, classes, n) for name, n in neurons.items()}

    def slopes(
        self, network: SizedNetwork, step: Step, error: Scores, leaves: Parameters, memory: Memory
    ) -> Parameters:
        """The equations; autograd multiplies L psi with the trace where there is no second eligibility."""
        *hidden, last = step.flow
        L = {last: error}
        for name in hidden:
            B = memory.get(f"{name}.B", leaves[f"{last}.weight"].detach())
            L[name] = product(error, B.to(error).expand(len(error), *B.shape[-2:]))
        slopes: Parameters = {}
        for name, flow in step.flow.items():
            if rises := network.rises(name):
                slopes |= self._adaptive(name, rises, step, L[name], memory)
            else:
                own = {n: leaf for n, leaf in leaves.items() if n.startswith(f"{name}.")}
                slopes |= dict(zip(own, grad(flow, list(own.values()), L[name]), strict=True))
        return slopes

    def _adaptive(
        self, name: str, rises: tuple[float, float], step: Step, L: Now, memory: Memory
    ) -> Parameters:
        """A layer's gradients; second eligibilities x are [client, sample, neuron, input]."""
        (adaptation, rho), slopes = rises, Parameters()
        flow, current = step.flow[name], step.currents[name]
        psi = grad(flow, current, torch.ones_like(flow))[0].unsqueeze(3)
        one = torch.full_like(step.traces[name][:, :, :1], step.trace_of_bias)
        for part, trace in (("weight", step.traces[name]), ("bias", one)):
            a, x = trace.unsqueeze(2), memory.get(f"{name}.{part}")
            e = psi * (a if x is None else a - adaptation * x)
            memory[f"{name}.{part}"] = (1 - rho) * e if x is None else rho * x + (1 - rho) * e
            slopes[f"{name}.{part}"] = total(L.unsqueeze(3) * e, 1)
        slopes[f"{name}.bias"] = slopes[f"{name}.bias"].squeeze(2)
        return slopes

    def work(self, name: str, layer: LayerOperations, network: SizedNetwork) -> Table:
        """Traces and products as in OTTT; a MAC for each class brings a hidden neuron its learning signal.

        A second eligibility takes three MACs and two multiplications at each synapse and step.
        """
        *_, last = network.architecture.names
        classes = 0 if name == last else network.described[last].outputs
        told = {"backward_inputs": {"output and step": {"mac": classes}}}
        second: Table = {}
        if network.rises(name):
            second = {"backward_weights": {"synapse and step": {"mac": 3, "multiply": 2}}}
        tables = (super().work(name, layer, network), told, second)
        return joined((table, 1) for table in tables)


@cache
def random_feedback(
    seed: int, layer: str, classes: int, neurons: int
) -> Float[Tensor, "class neuron"]:
    """B of a hidden layer, uniform on +-1/sqrt(neurons), float32: as the output's weights begin."""
    bound = neurons**-0.5
    drawn = stream(seed, f"feedback {layer}").uniform(-bound, bound, (classes, neurons))
    return torch.from_numpy(drawn.astype(np.float32))
