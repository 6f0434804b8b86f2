"""The operators of which there are Triton kernels, for a GPU; see `networks.operators.Operators`."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fedspike.engine import kernel_parts, triton_kernels
from fedspike.networks.operators import PLAIN
from fedspike.parts.codes import Address, Code, Rate
from fedspike.parts.neurons import Learned as Constants
from fedspike.parts.neurons import Neuron
from fedspike.randomness import key

ALPHA = 2.0  # steepness of the arctangent that the kernel has


class Triton:
    """The rate code, and neurons that reset."""

    def encoded(
        self,
        code: Code,
        x: Float[Tensor, "client batch *time pixel"],
        address: Address,
        time_steps: int,
    ) -> Float[Tensor, "time client batch pixel"]:
        """Of the rate code; that pixels are intensities is not asked, or a GPU would wait for the answer."""
        if type(code) is not Rate:
            return PLAIN.encoded(code, x, address, time_steps)
        philox = key(address.seed, address.purpose)
        where = (address.round, address.clients, address.first_samples)
        return triton_kernels.rate(x, philox, *where, time_steps)

    def fired(
        self,
        neuron: Neuron,
        currents: Float[Tensor, "time client batch neuron"],
        constants: Constants,
        present: Bool[Tensor, "client batch"],
    ) -> tuple[Float[Tensor, "time client batch neuron"], None]:
        """Neurons of fixed constants, in float32; the kernel always resets."""
        fixed = kernel_parts.constants(neuron)
        usual = fixed is not None and fixed.reset != "none" and fixed.alpha == ALPHA
        if fixed is None or not usual or currents.dtype != torch.float32:
            return PLAIN.fired(neuron, currents, constants, present)
        zero = fixed.reset == "zero"
        return triton_kernels.lif(currents, fixed.beta, fixed.threshold, zero), None

    def averaged(
        self, images: Float[Tensor, "image row column"], size: int
    ) -> Float[Tensor, "image _row _column"]:
        """There is no kernel."""
        return PLAIN.averaged(images, size)

    def time_axis(self, neuron: Neuron) -> int:
        """As in plain torch."""
        return PLAIN.time_axis(neuron)
