"""The adaptive LIF neuron (ALIF): each spike raises the neuron's threshold, which then sinks back slowly.

    b[t] = rho*b[t-1] + (1 - rho)*S[t-1]                a trace of its own spikes
    theta[t] = threshold + adaptation*b[t]
    U[t] = beta*U[t-1] + I[t] - theta[t-1]*R[t]         reset "subtract": the threshold that was crossed
    S[t] = H(U[t] - theta[t])

The other resets are as in `lif.py`. The gradient flows through b, whose long memory is the point of it, and
as ever not through R.

Source: Bellec et al., "Long short-term memory and learning-to-learn in networks of spiking neurons", NeurIPS
2018, whose B, b0, beta and rho are theta, threshold, adaptation and rho here. Departures: as everywhere here,
neither currents are scaled by 1 - beta nor the surrogate by 1/theta; and the authors' published code
(IGITUGraz/LSNN-official) subtracts theta[t], which that very spike has raised.
"""

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from fedspike.errors import InputError
from fedspike.parts.neurons.constants import NOTHING, Constant, Learned, check_decay, initial, value
from fedspike.parts.neurons.lif import LIF
from fedspike.parts.surrogates import fire


@dataclass(frozen=True)
class AdaptiveLIF:
    """LIF neurons whose threshold is `adaptation` higher in a neuron that always fires.

    What is above the threshold at rest decays by `rho` per time step, a number, or `Learnable` and then a
    parameter of the layer, "threshold_decay".
    """

    adaptation: float
    rho: Constant
    lif: LIF = field(default_factory=LIF)

    def __post_init__(self) -> None:
        check_decay("rho", self.rho)
        if not 0 <= self.adaptation < math.inf:
            raise InputError(
                f"adaptation = {self.adaptation}",
                expected="a finite number >= 0",
                fix="the source's threshold rises by about a quarter per spike: "
                "adaptation*(1 - rho) = threshold/4",
            )

    @property
    def compiled(self) -> bool:
        """The compiled kernels do not have them."""
        return False

    def for_kernels(self) -> tuple[float, float, str]:
        """Raise ValueError: see `compiled`."""
        raise ValueError(f"no compiled kernel has these neurons: {self}")

    def initial(self, neurons: int, spiking: bool = True) -> dict[str, Tensor]:
        """The parameters that a layer gets for what is learned: [1] or [neuron] each."""
        threshold = initial({"threshold_decay": self.rho}, neurons) if spiking else {}
        return threshold | self.lif.initial(neurons, spiking)

    def spikes(
        self, currents: Float[Tensor, "time client batch neuron"], learned: Learned = NOTHING
    ) -> Float[Tensor, "time client batch neuron"]:
        """Run membranes and thresholds through all time steps from rest; spikes are 0.0 and 1.0.

        >>> tiring = AdaptiveLIF(adaptation=4.0, rho=0.8, lif=LIF(beta=1.0))
        >>> tiring.spikes(torch.full((10, 1, 1, 1), 0.7)).flatten().tolist()
        [0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0]
        """
        beta, threshold = self.lif.constants(learned, currents)
        rho = value(self.rho, "threshold_decay", learned, currents, largest=1.0)
        U = S = b = torch.zeros_like(currents[0])
        theta = threshold
        spikes = []
        for current in currents:
            U = self.lif.step(U, S.detach(), current, beta, theta)
            b = rho * b + (1 - rho) * S
            theta = threshold + self.adaptation * b
            S = fire(U - theta, self.lif.surrogate)
            spikes.append(S)
        return torch.stack(spikes)

    def membrane(
        self, currents: Float[Tensor, "time client batch neuron"], learned: Learned = NOTHING
    ) -> Float[Tensor, "time client batch neuron"]:
        """The membranes of neurons that only leak and add: they never fire, so they have no threshold."""
        return self.lif.membrane(currents, learned)
