"""What a code may be given: intensities from 0 to 1, which the codes without randomness read as levels.

    q = floor(65535 x + 1/2),    x = q / 65535

so 65,536 of them. A byte v loses nothing: v / 255 = 257 v / 65535.
"""

from jaxtyping import Float, Int64
from torch import Tensor

from fedspike.errors import InputError

HIGHEST = 65535


def demand_intensities(pixels: Float[Tensor, "*shape"], darkest: int = 0) -> None:
    """Refuse pixels that are not intensities from 0, or signed ones from -1, to 1; a caller's own may be."""
    if bool(((pixels >= darkest) & (pixels <= 1)).all()):  # also false for NaN
        return
    span = f"{float(pixels.min()):g} to {float(pixels.max()):g}"
    raise InputError(
        f"pixels from {span}",
        expected=f"intensities from {darkest} to 1, none of them NaN",
        fix="bytes / 255, or (pixels - pixels.min()) / (pixels.max() - pixels.min())",
    )


def levels(pixels: Float[Tensor, "*shape"]) -> Int64[Tensor, "*shape"]:
    """The levels q. In float64, because 65535 x would be rounded in float32.

    >>> import torch
    >>> levels(torch.tensor([0.0, 1 / 255, 0.5, 1.0])).tolist()
    [0, 257, 32768, 65535]
    """
    demand_intensities(pixels)
    return pixels.double().mul(HIGHEST).add(0.5).long()
