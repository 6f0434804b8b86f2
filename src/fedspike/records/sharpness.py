"""How crisp the weight images of a layer are, as one number.

The founding study shows that skewed data blur the averaged weights (its Figs. 8 and 9); this gives
the blur a figure. Pixels that are dark in every image keep the noise that the weights began with,
so a measure that takes every contrast for detail would call an untrained network the sharpest.
"""

import numpy as np
from jaxtyping import Float

# One pixel: fine enough to keep the seams of a 28x28 garment, coarse enough to cancel most noise.
BLUR_PIXELS = 1.0
REACH = 3  # pixels, beyond which the Gaussian is below 0.5 %


def sharpness(images: Float[np.ndarray, "neuron height width"]) -> float:
    """The mean sharpness of a layer's weight images: 1 is white noise, 0 is blank.

        sharpness(w) = mean over pixels of (w * Gx)^2 + (w * Gy)^2, over the variance of w,
                       in units of what white noise scores

    with Gx, Gy the slopes of a Gaussian of one pixel. The first fraction is the focus measure
    "Gaussian derivative" divided by the image's variance, so the size of the weights does not
    count. Smoothing spares lines and edges and cancels noise, while the variance keeps both: noise
    in an image lowers the figure, and so does blur. The clothes of Fashion-MNIST score about 1.4.
    A constant image has nothing in it and scores 0.

    >>> fine, coarse = (np.tile(np.sin(np.arange(28.0) / width), (1, 28, 1)) for width in (1, 4))
    >>> sharpness(fine) > 3 * sharpness(coarse)
    True

    Source: Geusebroek, Cornelissen, Smeulders, Geerts, "Robust autofocusing in microscopy",
    Cytometry 39, 2000; compared with others, as GDER, in Pertuz, Puig, Garcia, "Analysis of focus
    measure operators for shape-from-focus", Pattern Recognition 46, 2013. Departures: the division
    by the variance, and white noise as the unit.
    """
    height, width = images.shape[1:]
    smooth_rows, slope_rows = _gaussian(height)
    smooth_columns, slope_columns = _gaussian(width)
    weights = images.astype(np.float64)
    horizontal = smooth_rows @ weights @ slope_columns.T
    vertical = slope_rows @ weights @ smooth_columns.T
    detail = (horizontal**2 + vertical**2).mean(axis=(1, 2))
    # Independent pixels of variance 1: each output's variance is the sum of its squared factors.
    white_noise = (
        (smooth_rows**2).sum() * (slope_columns**2).sum()
        + (slope_rows**2).sum() * (smooth_columns**2).sum()
    ) / (height * width)
    contrast = weights.var(axis=(1, 2))
    blank = contrast == 0
    scores = np.where(blank, 0.0, detail / np.where(blank, 1.0, contrast))
    return float(scores.mean() / white_noise)


def _gaussian(
    pixels: int,
) -> tuple[Float[np.ndarray, "output input"], Float[np.ndarray, "output input"]]:
    """A Gaussian and its slope along one axis, as matrices; the edge pixels go on outside."""
    offsets = np.arange(-REACH, REACH + 1)
    gaussian = np.exp(-(offsets**2) / (2 * BLUR_PIXELS**2))
    gaussian /= gaussian.sum()
    slope = offsets / BLUR_PIXELS**2 * gaussian
    continued = np.pad(np.eye(pixels), ((REACH, REACH), (0, 0)), mode="edge")
    shifted = np.stack([continued[REACH + k : REACH + k + pixels] for k in offsets])
    return np.tensordot(gaussian, shifted, axes=1), np.tensordot(slope, shifted, axes=1)
