"""The leaky integrate-and-fire neuron: the equation, its discretisation and its gradient, once.

    tau dU/dt = -U + R I      between spikes; at a spike U drops by theta (or to zero)

In steps of one time unit, with beta = exp(-1/tau) and the input resistance absorbed in the weights:

    R[t] = S[t-1]                               the reset follows the spike by one step
    U[t] = beta*U[t-1] + I[t] - theta*R[t]      reset "subtract"
    U[t] = beta*(U[t-1] - theta*R[t]) + I[t]    reset "soft": before the leak, as SpikingJelly's LIFNode does
    U[t] = beta*(1 - R[t])*U[t-1] + I[t]        reset "zero"
    U[t] = beta*U[t-1] + I[t]                   reset "none"
    S[t] = H(U[t] - theta),   H(x) = 1 if x > 0 else 0

H has no useful derivative, so the backward pass has a surrogate in its place (`parts/surrogates`), and no
gradient flows through R:

    dS/dU = surrogate(U - theta)
    dU[t]/dU[t-1] = beta        ("zero": beta*(1 - R[t]))

This is snnTorch 1.0.0's `Leaky` (Eshraghian et al., "Training Spiking Neural Networks Using Lessons From
Deep Learning", Proc. IEEE 111, 2023). As there, a learned theta also has the gradient -R[t] of the
subtraction.
"""

from typing import Any

import torch
from torch import Tensor

from fedspike.parts.neurons.constants import NOTHING, Learned
from fedspike.parts.neurons.leaky import Leaky
from fedspike.parts.neurons.neuron import Kept
from fedspike.parts.surrogates import fire
from fedspike.parts.tensors import Flow, Now


class LIF(Leaky, tag="lif"):
    """Leaky integrate-and-fire neurons.

    R[t] = S[t-1],  U[t] = beta*U[t-1] + I[t] - threshold*R[t],  S[t] = 1 where U[t] > threshold
    """

    def spikes(self, currents: Flow, learned: Learned = NOTHING) -> Flow:
        """Run the membranes through all time steps from rest (U = 0); spikes are 0.0 and 1.0.

        >>> LIF(beta=0.5).spikes(torch.full((5, 1, 1, 1), 0.9)).flatten().tolist()
        [0.0, 1.0, 0.0, 1.0, 0.0]
        """
        beta, theta = self.constants(learned, currents)
        # The adjoint of `_Scan` is that of the step that ships; a kind of your own may have another.
        own_step = type(self).step is not Leaky.step
        if own_step or isinstance(beta, Tensor) or isinstance(theta, Tensor):
            return self._unrolled(currents, beta, theta)
        return _Scan.apply(currents, beta, theta, self)  # type: ignore[no-any-return,no-untyped-call]

    def fires(self, kept: Kept, current: Now) -> tuple[Now, Kept]:
        """The equation at one step."""
        return self._at_step(kept, current, self.beta, self.threshold)

    def _at_step(
        self, kept: Kept, current: Now, beta: float | Tensor, theta: float | Tensor
    ) -> tuple[Now, Kept]:
        U, S = (kept[name] if name in kept else torch.zeros_like(current) for name in "US")
        U = self.step(U, S.detach(), current, beta, theta)
        S = fire(U - theta, self.surrogate)
        return S, {"U": U, "S": S}

    def _unrolled(self, currents: Tensor, beta: float | Tensor, theta: float | Tensor) -> Flow:
        """Step by step under autograd, which finds the gradients of beta and theta too."""
        kept: Kept = {}
        spikes = []
        for current in currents:
            S, kept = self._at_step(kept, current, beta, theta)
            spikes.append(S)
        return torch.stack(spikes)


class _Scan(torch.autograd.Function):
    """The recurrence over time and its exact adjoint, without a graph node per time step."""

    @staticmethod
    def forward(ctx: Any, currents: Tensor, beta: float, theta: float, lif: LIF) -> Tensor:
        membrane, spikes = torch.empty_like(currents), torch.empty_like(currents)
        U = S = torch.zeros_like(currents[0])
        for t, current in enumerate(currents):
            U = membrane[t] = lif.step(U, S, current, beta, theta)
            spikes[t] = membrane[t] > theta
            S = spikes[t]
        ctx.beta, ctx.theta, ctx.lif = beta, theta, lif
        ctx.save_for_backward(membrane, spikes)
        return spikes

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (into_spikes,) = gradients
        membrane, spikes = ctx.saved_tensors
        # Begin with each step's own share dL/dS[t] dS[t]/dU[t], then let the later steps flow back.
        gradient = ctx.lif.surrogate.derivative(membrane - ctx.theta).mul_(into_spikes)
        for t in range(len(gradient) - 2, -1, -1):
            later = gradient[t + 1]
            if ctx.lif.reset == "zero":
                later = later * (1 - spikes[t])
            gradient[t].add_(later, alpha=ctx.beta)
        return gradient, None, None, None
