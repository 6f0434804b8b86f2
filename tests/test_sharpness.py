"""The sharpness of weight images: its laws, and a case with a closed form."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import report_example as example
from fedspike.records.sharpness import sharpness


def noise(count: int, height: int = 28, width: int = 28) -> np.ndarray:
    return np.random.default_rng(1).uniform(-1, 1, (count, height, width))


def blurred(images: np.ndarray) -> np.ndarray:
    """Each pixel the mean of itself and its eight neighbours."""
    margin = np.pad(images, ((0, 0), (1, 1), (1, 1)), mode="edge")
    height, width = images.shape[1:]
    shifts = [margin[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return np.asarray(np.mean(shifts, axis=0))


@given(scale=st.floats(1e-6, 1e6), sign=st.sampled_from([-1, 1]), offset=st.floats(-1, 1))
def test_the_size_of_the_weights_does_not_count(scale: float, sign: int, offset: float) -> None:
    images = example.garments(5)
    changed = sign * scale * (images + offset)
    assert sharpness(changed) == pytest.approx(sharpness(images), rel=1e-6)


def test_blur_lowers_it_step_by_step() -> None:
    images = [example.garments(30)]
    for _ in range(4):
        images.append(blurred(images[-1]))
    scores = [sharpness(image) for image in images]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] < 0.7 * scores[0]


@pytest.mark.parametrize("size", [(28, 28), (8, 12), (3, 3)])
def test_white_noise_is_the_unit(size: tuple[int, int]) -> None:
    # The variance of so few pixels is underestimated by 1 in height x width; hence the correction.
    pixels = size[0] * size[1]
    assert sharpness(noise(4000, *size)) * (pixels - 1) / pixels == pytest.approx(1, abs=0.05)


def test_clean_clothes_are_sharper_than_noisy_ones_and_those_than_noise() -> None:
    clothes = example.garments(30)
    scores = [sharpness(clothes + level * noise(30)) for level in (0, 0.3, 1)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 1.2 > scores[-1] > sharpness(noise(30))


@pytest.mark.parametrize("wavelength", [6, 10, 20])
def test_a_wave_has_its_closed_form(wavelength: int) -> None:
    # A Gaussian slope of 1 pixel passes k^2 exp(-k^2) of a wave's variance, and of white noise the
    # integral of that over all k in the plane, 1 / (4 pi).
    k = 2 * math.pi / wavelength
    wave = np.tile(np.cos(k * np.arange(40.0 * wavelength)), (1, 200, 1))
    assert sharpness(wave) == pytest.approx(4 * math.pi * k**2 * math.exp(-(k**2)), rel=0.03)


def test_a_blank_image_has_no_sharpness_and_halves_the_mean() -> None:
    one = example.garments(1)
    assert sharpness(np.zeros((2, 28, 28))) == 0
    assert sharpness(np.concatenate([one, one * 0 + 3])) == pytest.approx(sharpness(one) / 2)
