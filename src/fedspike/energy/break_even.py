"""Where the SNN's bill of a layer meets the ANN's: how many spikes, and how many time steps, it may take.

For a fully connected layer that spikes enter, with I inputs and O outputs, and at prices E, the SNN is
cheaper if and only if

    phi*(E_AC + E_addr + E_w + E_Vr + E_Vw + E_s/O) + (T/I)*(E_leak + E_add + E_cmp + E_b + E_Vr + E_Vw)
      + (rho/I)*(E_reset + E_y)   <   (1 - gamma)*(E_MAC + E_w/B) + E_x/O + (E_act + E_b + E_y)/I

with phi spikes per synapse and inference, rho spikes out of a neuron and inference, gamma the fraction
of zero inputs that the ANN's hardware skips and B the samples for which it reads a weight once. It is
the comparison of the two bills without the encoder, divided by the I*O synapses: published conditions
(Davidson and Furber, "Comparison of Artificial and Spiking Neural Networks on Digital Hardware",
Frontiers in Neuroscience 15, 2021) leave out the terms in E_s, E_b, E_y and E_reset. A layer without bias
has no E_add and E_b. Other neurons than LIF have other terms in T and rho, those of their tables;
whose membrane is read out has none in E_cmp and rho, and E_y/I on the SNN's side. A convolution has no such
condition: at its edge an event meets fewer synapses. Nor has a layer that real values enter.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from fedspike.energy.bill import Footprint, level_of, price_of
from fedspike.energy.levels import HIGHEST_OF_INFERENCE, Level, includes
from fedspike.energy.profiles import Profile
from fedspike.errors import InputError
from fedspike.layers.operations import LayerOperations, Operations


@dataclass(frozen=True)
class Published:
    """A threshold from the literature, below which an SNN is said to be cheaper than its ANN."""

    low: float
    high: float
    unit: Literal["spikes per synapse and inference", "spikes per neuron and time step"]
    source: str
    note: str = ""


PUBLISHED = (
    Published(
        *(1.72, 1.72, "spikes per synapse and inference"),
        source="Davidson and Furber, 'Comparison of Artificial and Spiking Neural Networks on "
        "Digital Hardware', Frontiers in Neuroscience 15, 2021",
    ),
    Published(
        *(0.15, 1.38, "spikes per synapse and inference"),
        source="Dampfhoffer, Mesquida, Valentian, Anghel, 'Are SNNs Really More Energy-Efficient "
        "Than ANNs? An In-Depth Hardware-Aware Study', IEEE Transactions on Emerging Topics in "
        "Computational Intelligence, 2022",
    ),
    Published(
        *(0.057, 0.064, "spikes per neuron and time step"),
        source="Yan, Bai, Wong, 'Reconsidering the energy efficiency of spiking neural networks', "
        "arXiv:2409.08290, 2024",
        note="at 5 to 10 time steps",
    ),
)


@dataclass(frozen=True)
class Balance:
    """The condition above in pJ: phi*spike + T/I*step + rho/I*out < ann."""

    spike: Fraction
    step: Fraction
    out: Fraction
    ann: Fraction
    inputs: int

    def spikes(self, time_steps: int, spikes_out: float = 0.0) -> float:
        """phi, spikes per synapse and inference, below which the SNN is cheaper; under 0: never.

        `spikes_out` is rho.
        """
        fixed = Fraction(time_steps) * self.step + Fraction(spikes_out) * self.out
        left = self.ann - fixed / self.inputs
        return float(left / self.spike) if self.spike else math.copysign(math.inf, left)

    def time_steps(self, rate: float, rate_out: float = 0.0) -> float:
        """T below which the SNN is cheaper, if each input fires at `rate` spikes a time step.

        `rate_out` are the spikes that a neuron itself fires at a time step: phi = T*rate, rho = T*rate_out.
        """
        a_step = self.step + Fraction(rate_out) * self.out
        each = Fraction(rate) * self.spike + a_step / self.inputs
        return float(self.ann / each) if each else math.inf


def balance(
    dense: LayerOperations,
    spiking: LayerOperations,
    profile: Profile,
    level: Level,
    *,
    ann: Footprint | None = None,
    snn: Footprint | None = None,
    zeros_skipped: float = 0.0,
    weight_reuse: int = 1,
) -> Balance:
    """The condition for a layer of a conventional and of a spiking network, at nominal prices.

    Levels are study, compute or memory, the latter with the networks' memories `ann` and `snn`.
    `zeros_skipped` is gamma and `weight_reuse` is B.

    Raises InputError where an operation has no price, or no spikes enter a dense layer: nothing can be said
    then.
    """
    _demand_possible(dense, spiking, level)

    def cost(operations: Operations, phase: str, memory: Footprint | None) -> Fraction:
        parts = (
            k * _pj(profile, phase, name, level, memory) for name, k in operations.items() if k
        )
        return sum(parts, Fraction(0))

    def of(layer: LayerOperations, phase: str, per: str) -> Fraction:
        rows = layer.trained.get(phase, {})
        return cost(rows.get(per, {}), phase, ann if layer is dense else snn)

    product = dense.trained["forward"]["product"]
    reads = {name: k for name, k in product.items() if name == "read_weight"}
    products = {name: k for name, k in product.items() if name not in reads}
    price = cost(products, "forward", ann) + cost(reads, "forward", ann) / weight_reuse
    neuron = of(dense, "neuron", "output") - of(spiking, "neuron", "output")
    return Balance(
        spike=of(spiking, "forward", "synapse met")
        + of(spiking, "forward", "event in") / spiking.outputs,
        step=of(spiking, "neuron", "output and step"),
        out=of(spiking, "neuron", "event out"),
        ann=(1 - Fraction(zeros_skipped)) * price
        + of(dense, "forward", "input") / dense.outputs
        + neuron / dense.inputs,
        inputs=dense.inputs,
    )


def _demand_possible(dense: LayerOperations, spiking: LayerOperations, level: Level) -> None:
    """Raise InputError where nothing can be said of a spiking layer beside this dense one at a level."""
    if "product" not in dense.trained.get("forward", {}):
        raise InputError(
            "a break-even with a layer whose products nobody has counted",
            expected="a dense layer of a conventional network",
            fix="compare the two bills of the network instead",
        )
    if not spiking.is_dense or spiking.enters != "spikes":
        raise InputError(
            f"a break-even of a layer that {spiking.enters} enter, with {spiking.least_met} to "
            f"{spiking.most_met} synapses each",
            expected="a dense layer that spikes enter",
            fix="compare the two bills of the network instead",
        )
    if not includes(HIGHEST_OF_INFERENCE, level):
        raise InputError(
            f"a break-even at level {level}",
            expected="study, compute or memory: what an inference costs",
            fix='ask at level "memory"',
        )
    if "neuron" not in spiking.trained and includes(level, "compute"):
        raise InputError(
            f"a break-even at level {level} with neurons that nobody has counted",
            expected="operations() of the neuron",
            fix='ask at level "study"',
        )


def _pj(
    profile: Profile, phase: str, operation: str, level: Level, footprint: Footprint | None
) -> Fraction:
    """The nominal price of an operation; 0 where the level leaves it out or another price has it."""
    if not includes(level, level_of(phase, operation)):
        return Fraction(0)
    price = price_of(profile, phase, operation, footprint)
    if price is None:
        raise InputError(
            f"a break-even at level {level} under the profile {profile.name}",
            expected=f"a price of {phase}.{operation}, and for memory the networks' footprints",
            fix="ask at a lower level, or choose a profile that prices it",
        )
    return Fraction(0) if price == "included" else price.nominal
