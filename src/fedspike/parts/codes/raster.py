"""Which pixels of one image spike when, for a figure."""

from jaxtyping import Float
from torch import Tensor

from fedspike.parts.codes.address import Address
from fedspike.parts.codes.code import Code


def raster(
    code: Code, time_steps: int, image: Float[Tensor, "*shape"], address: Address
) -> list[tuple[int, int]]:
    """The spikes of one image as (step, pixel), in order of time and then of place.

    A pixel is its index in the flattened image. `address` is that of the image, of one client and one sample.

    >>> import torch
    >>> from fedspike.parts.codes import Latency
    >>> address = Address(seed=0, purpose="encode", round=1, clients=(0,), first_samples=(0,))
    >>> raster(Latency(), 5, torch.tensor([[0.0, 1.0], [0.5, 0.9]]), address)
    [(0, 1), (0, 3), (2, 2)]
    """
    spikes = code.spikes(image.reshape(1, 1, -1), address, time_steps)[:, 0, 0]
    return [(step, pixel) for step, pixel in spikes.nonzero().tolist()]
