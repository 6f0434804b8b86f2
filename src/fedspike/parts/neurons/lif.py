"""The leaky integrate-and-fire neuron: the equation, its discretisation and its gradient, once.

    tau dU/dt = -U + R I      between spikes; at a spike U drops by theta (or to zero)

In steps of one time unit, with beta = exp(-1/tau) and the input resistance absorbed in the weights:

    R[t] = S[t-1]                               the reset follows the spike by one step
    U[t] = beta*U[t-1] + I[t] - theta*R[t]      reset "subtract"
    U[t] = beta*(1 - R[t])*U[t-1] + I[t]        reset "zero"
    U[t] = beta*U[t-1] + I[t]                   reset "none"
    S[t] = H(U[t] - theta),   H(x) = 1 if x > 0 else 0

H has no useful derivative, so the backward pass has a surrogate in its place (`surrogates.py`), and no
gradient flows through R:

    dS/dU = surrogate(U - theta)
    dU[t]/dU[t-1] = beta        ("zero": beta*(1 - R[t]))

This is snnTorch 1.0.0's `Leaky` (Eshraghian et al., "Training Spiking Neural Networks Using Lessons From
Deep Learning", Proc. IEEE 111, 2023). As there, a learned theta also has the gradient -R[t] of the
subtraction.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from fedspike.engine import gpu
from fedspike.errors import InputError
from fedspike.parts.neurons.constants import (
    NOTHING,
    Constant,
    Learnable,
    Learned,
    check_decay,
    check_threshold,
    initial,
    value,
)
from fedspike.parts.surrogates import Atan, Surrogate, fire

Reset = Literal["subtract", "zero", "none"]


@dataclass(frozen=True)
class LIF:
    """A layer's neurons: decay `beta` per time step, firing `threshold`, and the kind of `reset`.

    Decay and threshold are numbers, or `Learnable` and then parameters of the layer, "decay" and "threshold".
    """

    beta: Constant = 0.9
    threshold: Constant = 1.0
    reset: Reset = "subtract"
    surrogate: Surrogate = field(default_factory=Atan)

    def __post_init__(self) -> None:
        check_decay("beta", self.beta)
        check_threshold(self.threshold)
        if self.reset not in get_args(Reset):
            raise InputError(
                f'reset = "{self.reset}"',
                expected=f"one of {', '.join(get_args(Reset))}",
                fix='"subtract" is usual',
            )

    @property
    def compiled(self) -> bool:
        """Whether the compiled kernels have these neurons: all that are fixed, with the usual surrogate."""
        learnable = isinstance(self.beta, Learnable) or isinstance(self.threshold, Learnable)
        return not learnable and self.surrogate == Atan()

    def for_kernels(self) -> tuple[float, float, str]:
        """Decay, threshold and reset, as the compiled kernels take them; ValueError if not `compiled`."""
        beta, theta = self.beta, self.threshold
        if isinstance(beta, Learnable) or isinstance(theta, Learnable) or not self.compiled:
            raise ValueError(f"no compiled kernel has these neurons: {self}")
        return beta, theta, self.reset

    def initial(self, neurons: int, spiking: bool = True) -> dict[str, Tensor]:
        """The parameters that a layer gets for what is learned: [1] or [neuron] each."""
        threshold: dict[str, Constant] = {"threshold": self.threshold} if spiking else {}
        return initial({"decay": self.beta} | threshold, neurons)

    def constants(
        self, learned: Learned, currents: Float[Tensor, "time client batch neuron"]
    ) -> tuple[float | Tensor, float | Tensor]:
        """Beta and theta, numbers or [client, batch, neuron]."""
        beta = value(self.beta, "decay", learned, currents, largest=1.0)
        return beta, value(self.threshold, "threshold", learned, currents)

    def spikes(
        self, currents: Float[Tensor, "time client batch neuron"], learned: Learned = NOTHING
    ) -> Float[Tensor, "time client batch neuron"]:
        """Run the membranes through all time steps from rest (U = 0); spikes are 0.0 and 1.0.

        >>> LIF(beta=0.5).spikes(torch.full((5, 1, 1, 1), 0.9)).flatten().tolist()
        [0.0, 1.0, 0.0, 1.0, 0.0]
        """
        beta, theta = self.constants(learned, currents)
        if isinstance(beta, Tensor) or isinstance(theta, Tensor):
            return self._unrolled(currents, beta, theta)
        if currents.is_cuda and self._is_on_gpu(currents.dtype):
            return gpu.lif(currents, beta, theta, self.reset == "zero")
        return _Scan.apply(currents, beta, theta, self)  # type: ignore[no-any-return,no-untyped-call]

    def _is_on_gpu(self, dtype: torch.dtype) -> bool:
        """Whether the Triton kernel has these neurons; it always resets."""
        there = gpu.AVAILABLE and dtype == torch.float32
        return there and self.compiled and self.reset != "none"

    def membrane(
        self, currents: Float[Tensor, "time client batch neuron"], learned: Learned = NOTHING
    ) -> Float[Tensor, "time client batch neuron"]:
        """The membranes of neurons that only leak and add: they never fire, so they are never reset."""
        return leak(currents, value(self.beta, "decay", learned, currents, largest=1.0))

    def step(
        self,
        U: Float[Tensor, "client batch neuron"],
        R: Float[Tensor, "client batch neuron"],
        current: Float[Tensor, "client batch neuron"],
        beta: float | Tensor,
        theta: float | Tensor,
    ) -> Float[Tensor, "client batch neuron"]:
        """U[t] from U[t-1], R[t] and I[t], as written at the top."""
        if self.reset == "subtract":
            return beta * U + current - theta * R
        if self.reset == "zero":
            return beta * (1 - R) * U + current
        return beta * U + current

    def _unrolled(
        self, currents: Tensor, beta: float | Tensor, theta: float | Tensor
    ) -> Float[Tensor, "time client batch neuron"]:
        """Step by step under autograd, which finds the gradients of beta and theta too."""
        U = S = torch.zeros_like(currents[0])
        spikes = []
        for current in currents:
            U = self.step(U, S.detach(), current, beta, theta)
            S = fire(U - theta, self.surrogate)
            spikes.append(S)
        return torch.stack(spikes)


def integrate_and_fire(
    threshold: Constant = 1.0, reset: Reset = "subtract", surrogate: Surrogate | None = None
) -> LIF:
    """Neurons that do not leak (IF): beta = 1.

    >>> integrate_and_fire().spikes(torch.full((6, 1, 1, 1), 0.4)).flatten().tolist()
    [0.0, 0.0, 1.0, 0.0, 0.0, 1.0]
    """
    return LIF(1.0, threshold, reset, surrogate or Atan())


def leak(
    currents: Float[Tensor, "time client batch neuron"], decay: float | Tensor
) -> Float[Tensor, "time client batch neuron"]:
    """U[t] = decay*U[t-1] + I[t], from U = 0.

    >>> leak(torch.ones(4, 1, 1, 1), decay=0.5).flatten().tolist()
    [1.0, 1.5, 1.75, 1.875]
    """
    U = torch.zeros_like(currents[0])
    membranes = []
    for current in currents:
        U = decay * U + current
        membranes.append(U)
    return torch.stack(membranes)


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
