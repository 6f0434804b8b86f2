"""The leaky integrate-and-fire neuron: the equation, its discretisation and its gradient, once.

    tau dU/dt = -U + R I      between spikes; at a spike U drops by theta (or to zero)

In steps of one time unit, with beta = exp(-1/tau) and the input resistance absorbed in the weights:

    R[t] = S[t-1]                               the reset follows the spike by one step
    U[t] = beta*U[t-1] + I[t] - theta*R[t]      reset "subtract"
    U[t] = beta*(1 - R[t])*U[t-1] + I[t]        reset "zero"
    S[t] = H(U[t] - theta),   H(x) = 1 if x > 0 else 0

H has no useful derivative, so the backward pass uses the arctangent surrogate in its place, and no
gradient flows through the reset:

    dS/dU = 1 / (1 + (pi (U - theta))^2)
    dU[t]/dU[t-1] = beta        ("zero": beta*(1 - R[t]))

This is snnTorch 1.0.0's `Leaky` with its default surrogate (Eshraghian et al., "Training Spiking Neural
Networks Using Lessons From Deep Learning", Proc. IEEE 111, 2023; surrogate: Fang et al., "Incorporating
Learnable Membrane Time Constant", ICCV 2021, with alpha = 2).
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from fedspike.errors import InputError
from fedspike.kernels import gpu, packed
from fedspike.kernels.packed import PackedSpikes


@dataclass(frozen=True)
class LIF:
    """A layer's neurons: decay `beta` per time step, firing `threshold`, and the kind of `reset`."""

    beta: float = 0.9
    threshold: float = 1.0
    reset: Literal["subtract", "zero"] = "subtract"

    def __post_init__(self) -> None:
        if not 0 <= self.beta <= 1:
            raise InputError(
                f"beta = {self.beta}", expected="a decay in [0, 1]", fix="0.9 is a usual value"
            )
        if not self.threshold > 0:
            raise InputError(
                f"threshold = {self.threshold}", expected="a threshold > 0", fix="1.0 is usual"
            )

    def packed(self, currents: Float[Tensor, "client batch time neuron"]) -> PackedSpikes:
        """The same neurons in compiled kernels: float32 on the CPU, spikes as bits."""
        return packed.lif(currents, self.beta, self.threshold, self.reset)

    def spikes(
        self, currents: Float[Tensor, "time client batch neuron"]
    ) -> Float[Tensor, "time client batch neuron"]:
        """Run the membranes through all time steps from rest (U = 0); spikes are 0.0 and 1.0.

        >>> LIF(beta=0.5).spikes(torch.full((5, 1, 1, 1), 0.9)).flatten().tolist()
        [0.0, 1.0, 0.0, 1.0, 0.0]
        """
        if currents.is_cuda and gpu.AVAILABLE and currents.dtype == torch.float32:
            return gpu.lif(currents, self.beta, self.threshold, self.reset == "zero")
        return _Scan.apply(currents, self)  # type: ignore[no-any-return,no-untyped-call]


def surrogate(distance: Tensor) -> Tensor:
    """The stand-in for H's derivative at distance U - theta: that of arctan(pi x)/pi + 1/2."""
    return distance.mul(math.pi).square_().add_(1).reciprocal_()


class _Scan(torch.autograd.Function):
    """The recurrence over time and its exact adjoint, without a graph node per time step."""

    @staticmethod
    def forward(ctx: Any, currents: Tensor, lif: LIF) -> Tensor:
        membrane, spikes = torch.empty_like(currents), torch.empty_like(currents)
        for t in range(len(currents)):
            if t == 0:
                membrane[t] = currents[t]
            elif lif.reset == "subtract":
                torch.mul(membrane[t - 1], lif.beta, out=membrane[t]).add_(currents[t])
                membrane[t].sub_(spikes[t - 1], alpha=lif.threshold)
            else:
                kept = membrane[t - 1] * (1 - spikes[t - 1])
                torch.mul(kept, lif.beta, out=membrane[t]).add_(currents[t])
            spikes[t] = membrane[t] > lif.threshold
        ctx.lif = lif
        ctx.save_for_backward(membrane, spikes)
        return spikes

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (into_spikes,) = gradients
        membrane, spikes = ctx.saved_tensors
        # Begin with each step's own share dL/dS[t] dS[t]/dU[t], then let the later steps flow back.
        gradient = surrogate(membrane - ctx.lif.threshold).mul_(into_spikes)
        for t in range(len(gradient) - 2, -1, -1):
            later = gradient[t + 1]
            if ctx.lif.reset == "zero":
                later = later * (1 - spikes[t])
            gradient[t].add_(later, alpha=ctx.lif.beta)
        return gradient, None
