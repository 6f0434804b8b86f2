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

from typing import Annotated, ClassVar

import torch
from msgspec import Meta
from torch import Tensor

from fedspike.layers.operations import Place, Table, joined
from fedspike.parts.neurons.constants import NOTHING, Learned, Learning, value
from fedspike.parts.neurons.leaky import STATE, Decay, Leaky
from fedspike.parts.neurons.neuron import Kept
from fedspike.parts.surrogates import fire
from fedspike.parts.tensors import Flow, Now


class AdaptiveLIF(Leaky, tag="adaptive", kw_only=True):
    """LIF neurons whose threshold rises with each spike and then sinks by rho in a step.

    The threshold is `adaptation` higher in a neuron that always fires. What is above the threshold at rest
    decays by `rho` per time step; learned, it is a parameter of the layer, "rho".
    """

    adaptation: Annotated[
        float,
        Meta(ge=0, description="how much higher the threshold of a neuron is that always fires"),
    ]
    rho: Annotated[Decay, Meta(description="share of the threshold's rise left after a step")]
    learn_rho: Annotated[Learning, Meta(description="rho is learned")] = "no"

    decays: ClassVar[tuple[str, ...]] = ("beta", "rho")

    def learning(self, spiking: bool) -> dict[str, tuple[float, Learning]]:
        """Rho, too, where neurons fire."""
        rise = {"rho": (self.rho, self.learn_rho)} if spiking else {}
        return rise | super().learning(spiking)

    @property
    def rises(self) -> tuple[float, float]:
        """Adaptation and rho."""
        return self.adaptation, self.rho

    def words(self, place: Place) -> int:
        """The potential and, where neurons fire, the threshold's rise."""
        return 1 + place.fires

    def operations(self, place: Place) -> Table:
        """Those of a LIF neuron and, where neurons fire, of the threshold's rise.

        It is kept in units of the threshold, so that it decays and is added, no more.
        """
        if not place.fires:
            return super().operations(place)
        rise = {
            "neuron": {
                "output and step": {"multiply": 1, "add": 1, **STATE},
                "event out": {"add": 1},
            },
            "surrogate": {"output and step": {"multiply": 2, "add": 2}},
        }
        return joined([(super().operations(place), 1), (rise, 1)])

    def spikes(self, currents: Flow, learned: Learned = NOTHING) -> Flow:
        """Run membranes and thresholds through all time steps from rest; spikes are 0.0 and 1.0.

        >>> tiring = AdaptiveLIF(adaptation=4.0, rho=0.8, beta=1.0)
        >>> tiring.spikes(torch.full((10, 1, 1, 1), 0.7)).flatten().tolist()
        [0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0]
        """
        beta, threshold = self.constants(learned, currents)
        rho = value(self.rho, "rho", learned, currents, largest=1.0)
        kept: Kept = {}
        spikes = []
        for current in currents:
            S, kept = self._at_step(kept, current, beta, threshold, rho)
            spikes.append(S)
        return torch.stack(spikes)

    def fires(self, kept: Kept, current: Now) -> tuple[Now, Kept]:
        """The equations at one step."""
        return self._at_step(kept, current, self.beta, self.threshold, self.rho)

    def _at_step(
        self,
        kept: Kept,
        current: Now,
        beta: float | Tensor,
        threshold: float | Tensor,
        rho: float | Tensor,
    ) -> tuple[Now, Kept]:
        U, S, b = (kept[name] if name in kept else torch.zeros_like(current) for name in "USb")
        U = self.step(U, S.detach(), current, beta, threshold + self.adaptation * b)
        b = rho * b + (1 - rho) * S
        S = fire(U - (threshold + self.adaptation * b), self.surrogate)
        return S, {"U": U, "S": S, "b": b}
