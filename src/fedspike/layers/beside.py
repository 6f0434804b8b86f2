"""What modules of one's own have beside layers with weights and pools, so that it is counted by itself.

Their sizes are of one sample and time step.
"""

from dataclasses import dataclass, replace

from fedspike.layers.operations import Operations, Table, each_output


@dataclass(frozen=True)
class Values:
    """As many come out as go in."""

    values: int

    @property
    def inputs(self) -> int:
        """Values before it."""
        return self.values

    @property
    def outputs(self) -> int:
        """Values after it."""
        return self.values


@dataclass(frozen=True)
class Norm(Values):
    """A normalisation of `values` numbers: by statistics of `groups` of them, or by fixed ones.

    Scale and shift, if there are any, are learned `parameters`; `statistics` are fixed numbers.
    """

    groups: int = 0
    parameters: int = 0
    statistics: int = 0

    def operations(self, *, spiking: bool) -> Table:
        """Fixed statistics and the scale are one product and one sum; others are made of the values first.

        mean = sum(x) / n, variance = sum((x - mean)^2) / n,
        y = scale * (x - mean) / sqrt(variance + eps) + shift
        """
        per = each_output(spiking=spiking)
        learned = int(self.parameters > 0)
        if not self.groups:
            return {
                "normalise": {per: {"multiply": 1, "add": 1, "read_weight": 1, "read_bias": 1}},
                "backward_weights": {per: {"mac": learned, "add": learned}},
                "backward_inputs": {per: {"multiply": 1}},
            }
        value: Operations = {"multiply": 2 + learned, "add": 3 + learned}
        return {
            "normalise": {per: value | {"read_weight": learned, "read_bias": learned}},
            "backward_weights": {per: {"mac": learned, "add": learned}},
            "backward_inputs": {per: {"multiply": 2 + learned, "add": 2}},
        }


@dataclass(frozen=True)
class Groups(Values):
    """The means and variances of a `Norm` that makes them of its values: so many of each."""

    parameters = 0

    def operations(self, *, spiking: bool) -> Table:
        """Two quotients, an epsilon, a root and its inverse; three products on the way back."""
        per = each_output(spiking=spiking)
        return {
            "normalise": {per: {"multiply": 3, "add": 1, "sqrt": 1}},
            "backward_inputs": {per: {"multiply": 3}},
        }


@dataclass(frozen=True)
class Sum(Values):
    """Two branches that meet: as many additions as there are values."""

    parameters = 0

    def operations(self, *, spiking: bool) -> Table:
        """An addition; the gradient goes to both branches as it is, and is added where they part."""
        per = each_output(spiking=spiking)
        return {"pool": {per: {"add": 1}}, "backward_inputs": {per: {"add": 1}}}


@dataclass(frozen=True)
class Neurons(Values):
    """So many neurons that a module names itself. The events that "enter" are the spikes that they fire."""

    parameters: int = 0


Beside = Norm | Groups | Sum | Neurons
"""No layers with weights, and no pools."""


def together(one: Beside, other: Beside) -> Beside:
    """The same at two steps."""
    both = replace(one, values=one.values + other.values)
    if isinstance(both, Norm) and isinstance(other, Norm):
        return replace(both, groups=both.groups + other.groups)
    return both


def of_each(one: Beside, shown: int, constants: int = 0) -> Beside:
    """What was seen `shown` times, once; neurons with their learned constants.

    >>> of_each(Norm(values=80, groups=8), shown=4)
    Norm(values=20, groups=2, parameters=0, statistics=0)
    """
    each = replace(one, values=one.values // shown)
    if isinstance(each, Neurons):
        return replace(each, parameters=constants)
    return replace(each, groups=each.groups // shown) if isinstance(each, Norm) else each
