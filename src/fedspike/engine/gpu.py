"""The operators of which there are Triton kernels, for a GPU: the rate code, and neurons that reset."""

import torch

from fedspike.engine import kernel_parts, triton_kernels
from fedspike.networks.operators import PLAIN, Fired, Operators
from fedspike.parts.codes import Address, Code, Rate
from fedspike.parts.neurons import Learned, Neuron
from fedspike.parts.tensors import Flow, Frames, Present, Trains
from fedspike.randomness import key

ALPHA = 2.0  # steepness of the arctangent that the kernel has


def _encoded(code: Code, x: Frames, address: Address, time_steps: int) -> Trains:
    """Of the rate code; that pixels are intensities is not asked, or a GPU would wait for the answer."""
    if type(code) is not Rate:
        return PLAIN.encoded(code, x, address, time_steps)
    philox = key(address.seed, address.purpose)
    where = (address.round, address.clients, address.first_samples)
    return triton_kernels.rate(code.gain * x, philox, *where, time_steps)


def _fired(neuron: Neuron, currents: Flow, constants: Learned, present: Present) -> Fired:
    """Of neurons with fixed constants, in float32; the kernel always resets."""
    fixed = kernel_parts.usual(neuron)
    usual = fixed is not None and fixed.reset != "none" and fixed.steepness == ALPHA
    usual = usual and fixed is not None and fixed.drop is None
    if fixed is None or not usual or currents.dtype != torch.float32:
        return PLAIN.fired(neuron, currents, constants, present)
    zero = fixed.reset == "zero"
    return triton_kernels.lif(currents, fixed.beta, fixed.threshold, zero), None


TRITON = Operators(encoded=_encoded, fired=_fired)
