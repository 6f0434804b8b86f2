"""What spiking neurons do: each of them at each time step, and when it fires. One table.

    a neuron and a step    forward                                  backward, phase `surrogate`
    every neuron           1 multiply (leak), 1 add (bias);         1 multiply, 1 add (the recurrence)
                           potential read and written, bias read
    that fires             1 compare                                the surrogate's slope
      a spike              an add if the reset subtracts, and       -
                           its output written
    arctangent             -                                        3 multiply, 1 add, 1 compare
    fast sigmoid           -                                        3 multiply, 1 add, 1 compare
    sigmoid                -                                        5 multiply, 2 add, 1 compare, 1 exp
    triangle               -                                        3 multiply, 1 add, 1 compare
    current-based          1 multiply, 1 add; the synapses'         1 multiply, 1 add
                           current read and written
    adaptive               1 multiply, 1 add, for a spike 1 add;    2 multiply, 2 add
                           the threshold's rise read and written
    phase code, layer 1    1 multiply, 1 add; what it received      1 multiply
                           read and written
    learned beta           if per neuron, it is read                1 MAC
    learned threshold      if per neuron, it is read                1 add, for a spike that subtracts it 1 add

Neurons whose membrane is read out do not fire: they have no threshold, learned or adaptive, and write their
output once a sample. The slopes are those of `neurons/surrogates.py` times the gradient that comes in, a
division being a multiply, and what selects, a sign or a reset, a compare. The rise of an adaptive threshold
is kept in units of the threshold, so that it decays and is added, no more. The phase code's weights are
powers of two: a device shifts the sum that a neuron received in the step before it joins the potential, and
as no source prices a shift it is counted as a multiply, which is dear. A reset to zero is in the potential's
write. Not counted: the clamping of what is learned.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Operations = dict[str, int]
"""How often each kind of operation was done, e.g. {"mac": 79400, "ac": 0}."""

Learned = Literal["no", "per-layer", "per-neuron"]

SLOPES: dict[str, Operations] = {
    "atan": {"multiply": 3, "add": 1, "compare": 1},
    "fast-sigmoid": {"multiply": 3, "add": 1, "compare": 1},
    "sigmoid": {"multiply": 5, "add": 2, "compare": 1, "exp": 1},
    "triangular": {"multiply": 3, "add": 1, "compare": 1},
}
ACCESS = {"read_potential": 1, "write_potential": 1}


@dataclass(frozen=True)
class Neurons:
    """The neurons of a spiking network: their kind, reset and surrogate, and which constants are learned.

    The names are those of an experiment's file.
    """

    kind: Literal["lif", "current-based", "adaptive"] = "lif"
    reset: Literal["subtract", "zero", "none"] = "subtract"
    surrogate: Literal["atan", "fast-sigmoid", "sigmoid", "triangular"] = "atan"
    learn_beta: Learned = "no"
    learn_threshold: Learned = "no"


@dataclass(frozen=True)
class Place:
    """Where in the network neurons are.

    They fire, or else their membrane is read out. At each step something may be `added` to a potential beside
    what spikes bring: a `bias`, which is read then, or a normalised current. What they receive may be
    `weighted`, differently at each step, as the phase code has it.
    """

    fires: bool = True
    added: bool = True
    bias: bool = True
    weighted: bool = False


LIF = Neurons()
"""The founding study's."""


def update(neurons: Neurons, place: Place) -> Operations:
    """Of a neuron at a time step, forward."""
    per_neuron = (neurons.learn_beta, neurons.learn_threshold if place.fires else "no")
    reads = place.bias + per_neuron.count("per-neuron")
    parts = [{"multiply": 1, "add": int(place.added), "read_bias": reads, **ACCESS}]
    parts += [{"compare": 1}] if place.fires else []
    parts += [{"multiply": 1, "add": 1, **ACCESS}] * (states(neurons, place) - 1)
    return total((part, 1) for part in parts)


def spike(neurons: Neurons, place: Place) -> Operations:
    """Of a neuron when it fires."""
    if not place.fires:
        return {}
    adds = (neurons.reset == "subtract") + (neurons.kind == "adaptive")
    return {"add": adds, "write_output": 1}


def slope(neurons: Neurons, place: Place) -> Operations:
    """Of a neuron at a time step, backward."""
    parts: list[Operations] = [{"multiply": 1, "add": 1}]
    parts += [{"mac": 1}] if neurons.learn_beta != "no" else []
    parts += [{"multiply": 1, "add": 1}] if neurons.kind == "current-based" else []
    parts += [{"multiply": 1}] if place.weighted else []
    if place.fires:
        parts.append(SLOPES[neurons.surrogate])
        parts += [{"multiply": 2, "add": 2}] if neurons.kind == "adaptive" else []
        parts += [{"add": 1}] if neurons.learn_threshold != "no" else []
    return total((part, 1) for part in parts)


def slope_of_spike(neurons: Neurons, place: Place) -> Operations:
    """Of a neuron that fired, backward."""
    learned = place.fires and neurons.learn_threshold != "no" and neurons.reset == "subtract"
    return {"add": 1} if learned else {}


def states(neurons: Neurons, place: Place) -> int:
    """Words that a neuron keeps from step to step, or while it gathers what it receives in one."""
    second = neurons.kind == "current-based" or (neurons.kind == "adaptive" and place.fires)
    return 1 + second + place.weighted


def constants(neurons: Neurons, place: Place, outputs: int) -> int:
    """Learned numbers of the neurons of a layer."""
    each = {"no": 0, "per-layer": 1, "per-neuron": outputs}
    return each[neurons.learn_beta] + (each[neurons.learn_threshold] if place.fires else 0)


def total(parts: Iterable[tuple[Operations, int]]) -> Operations:
    """The sum of operations, each done so many times.

    >>> total([({"add": 1}, 2), ({"add": 3, "exp": 1}, 1)])
    {'add': 5, 'exp': 1}
    """
    found: Operations = {}
    for operations, times in parts:
        for operation, number in operations.items():
            found[operation] = found.get(operation, 0) + number * times
    return found
