"""What all neurons here have in common: a membrane that leaks, a threshold, a reset and a surrogate."""

from typing import Annotated, ClassVar, Literal

import torch
from msgspec import Meta
from msgspec.structs import replace
from torch import Tensor

from fedspike.layers.operations import Place, Table
from fedspike.parts.neurons.constants import NOTHING, Learned, Learning, initial, value
from fedspike.parts.neurons.neuron import Kept, Neuron
from fedspike.parts.surrogates import Atan, Surrogate
from fedspike.parts.tensors import Flow, Now

Decay = Annotated[float, Meta(ge=0, le=1)]
STATE = {"read_potential": 1, "write_potential": 1}


class Leaky(Neuron):
    """Neurons with decay `beta` per time step, firing `threshold`, and a kind of `reset`.

    Beta and threshold are where they start if they are learned; then they are parameters of the layer, "beta"
    and "threshold".
    """

    beta: Annotated[
        Decay, Meta(description="share of a membrane left after a step; 1: no leak")
    ] = 0.9
    threshold: Annotated[float, Meta(gt=0, description="a membrane above it fires")] = 1.0
    reset: Annotated[
        Literal["subtract", "zero", "none", "soft"],
        Meta(
            description="after a spike the threshold is taken off, or all, or nothing; soft: before the leak"
        ),
    ] = "subtract"
    surrogate: Surrogate = Atan()
    learn_beta: Annotated[Learning, Meta(description="beta is learned like a weight")] = "no"
    learn_threshold: Annotated[Learning, Meta(description="the threshold is learned")] = "no"

    decays: ClassVar[tuple[str, ...]] = ("beta",)
    """The fields with the share that is left of something after a step."""

    def lengthened(self, factor: float) -> Neuron:
        """Every decay to this power, so that all fades in the same time as before."""
        if any(
            how != "no" for name, (_, how) in self.learning(True).items() if name in self.decays
        ):
            return super().lengthened(factor)
        return replace(self, **{name: getattr(self, name) ** factor for name in self.decays})

    def learning(self, spiking: bool) -> dict[str, tuple[float, Learning]]:
        """The constants that may be learned: where each starts, and whether it is."""
        decays = {"beta": (self.beta, self.learn_beta)}
        return decays | ({"threshold": (self.threshold, self.learn_threshold)} if spiking else {})

    def initial(self, neurons: int, spiking: bool = True) -> dict[str, Tensor]:
        """The parameters that a layer gets for what is learned: [1] or [neuron] each."""
        return initial(self.learning(spiking), neurons)

    def constants(self, learned: Learned, currents: Flow) -> tuple[float | Tensor, float | Tensor]:
        """Beta and theta, numbers or [client, batch, neuron]."""
        beta = value(self.beta, "beta", learned, currents, largest=1.0)
        return beta, value(self.threshold, "threshold", learned, currents)

    def membrane(self, currents: Flow, learned: Learned = NOTHING) -> Flow:
        """The membranes of neurons that only leak and add: they never fire, so they are never reset."""
        return leak(currents, value(self.beta, "beta", learned, currents, largest=1.0))

    def leaks(self, kept: Kept, current: Now) -> tuple[Now, Kept]:
        """U[t] = beta*U[t-1] + I[t]."""
        U = self.beta * kept["U"] + current if "U" in kept else current
        return U, {"U": U}

    def step(
        self, U: Now, R: Now, current: Now, beta: float | Tensor, theta: float | Tensor
    ) -> Now:
        """U[t] from U[t-1], R[t] and I[t], as written at the top."""
        if self.reset == "subtract":
            return beta * U + current - theta * R
        if self.reset == "soft":
            return beta * U + current - beta * theta * R
        if self.reset == "zero":
            return beta * (1 - R) * U + current
        return beta * U + current

    def operations(self, place: Place) -> Table:
        """Leak, bias and threshold at each step, the reset with a spike, and the gradient of the recurrence.

        Neurons whose membrane is read out do not fire: they have no threshold, learned or adaptive, and write
        their output once a sample. What selects, a sign or a reset, is a compare; a reset to zero is in the
        potential's write. A learned constant of each neuron is read; the gradient of a decay is a MAC, that
        of a threshold an addition, and one more for a spike that subtracts it. Not counted: the clamping of
        what is learned.
        """
        learning = {name: how for name, (_, how) in self.learning(place.fires).items()}
        per_neuron = list(learning.values()).count("per-neuron")
        update = {
            "multiply": 1,
            "add": int(place.added),
            "read_bias": place.bias + per_neuron,
            **STATE,
        }
        slope = {"multiply": 1, "add": 1}
        if decays := sum(how != "no" for name, how in learning.items() if name != "threshold"):
            slope["mac"] = decays
        if not place.fires:  # the membrane leaves the layer once a sample
            output = {"write_output": 1}
            return {
                "neuron": {"output and step": update, "output": output},
                "surrogate": {"output and step": slope},
            }
        subtracts = int(self.reset in ("subtract", "soft"))
        learned = int(learning["threshold"] != "no")
        return {
            "neuron": {
                "output and step": update | {"compare": 1},
                "event out": {"add": subtracts, "write_output": 1},
            },
            "surrogate": {
                "output and step": slope | {"add": 1 + learned},
                "event out": {"add": learned * subtracts},
            },
        }


def leak(currents: Flow, decay: float | Tensor) -> Flow:
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
