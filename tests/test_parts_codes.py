"""The laws of every code; test_parts_codes_rate.py has the rate code's random numbers."""

import math
from fractions import Fraction
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import parts_example
from fedspike.errors import InputError
from fedspike.networks import SNN
from fedspike.parts.codes import (
    Address,
    Burst,
    Code,
    Contrast,
    Delta,
    Direct,
    Latency,
    Phase,
    ReceptiveField,
    Tabulated,
    raster,
)
from fedspike.parts.codes.pixels import levels

each_code = pytest.mark.parametrize(("code", "steps"), parts_example.CODES, ids=parts_example.name)

BYTES = torch.arange(256) / 255
LEVELS = np.arange(65536) / 65535
intensities = st.floats(0, 1, width=32)
images = arrays(np.float32, (2, 3, 5), elements=intensities).map(torch.from_numpy)
some_levels = st.lists(st.integers(0, 65535), min_size=1, max_size=9)
HERE = Address(0, "encode", 1, (4, 7), (10, 20))


def train(code: Tabulated, steps: int, q: list[int]) -> list[list[int]]:
    """The steps at which pixels of these levels spike."""
    return [own.nonzero()[0].tolist() for own in code.trains(np.array(q) / 65535, steps)]


@each_code
@given(images)
def test_zero_pixels_are_silent(code: Code, steps: int, x: torch.Tensor) -> None:
    x[0, 1, 2:], x[1, 2, 0] = 0.0, 1.0
    spikes = code.spikes(x, HERE, steps)
    assert spikes.shape == (steps, 2, 3, 5 * code.inputs_per_number)
    assert spikes.dtype == torch.float32
    if code.inputs_per_number == 1:  # to receptive fields dark is an intensity like any other
        assert spikes[:, x == 0].abs().sum() == 0
    assert spikes[:, 1, 2, ::5].sum() > 0
    assert not code.binary or set(spikes.flatten().tolist()) <= {0.0, 1.0}


@each_code
@given(images)
def test_neither_company_nor_type_changes_a_sample(code: Code, steps: int, x: torch.Tensor) -> None:
    whole = code.spikes(x, HERE, steps)
    alone = code.spikes(x[1:, 2:].double(), Address(0, "encode", 1, (7,), (22,)), steps)
    assert alone.dtype == torch.float64
    assert torch.equal(alone[:, 0, 0].float(), whole[:, 1, 2])


@each_code
@pytest.mark.parametrize("wrong", [-0.001, 1.001, math.nan, math.inf])
def test_what_is_no_intensity_is_refused(code: Code, steps: int, wrong: float) -> None:
    x = torch.full((2, 3, 5), 0.5)
    x[1, 2, 3] = wrong - code.signed * (wrong < 0)  # -0.001 is a signed pixel
    lowest = -1 if code.signed else 0
    with pytest.raises(InputError, match=f"intensities from {lowest} to 1"):
        code.spikes(x, HERE, steps)


@each_code
def test_a_raster_has_every_spike_in_order(code: Code, steps: int) -> None:
    image = torch.rand(4, 6)
    one = Address(0, "encode", 1, (7,), (20,))
    events = raster(code, steps, image, one)
    assert events == sorted(set(events))
    drawn = torch.zeros(steps, 24 * code.inputs_per_number)
    for step, pixel in events:
        drawn[step, pixel] = 1
    assert torch.equal(
        drawn, (code.spikes(image.reshape(1, 1, 24), one, steps)[:, 0, 0] > 0).float()
    )


@pytest.mark.parametrize(("code", "steps"), parts_example.TABULATED, ids=parts_example.name)
def test_a_pixels_spikes_are_the_train_of_its_level(code: Tabulated, steps: int) -> None:
    spikes = code.spikes(torch.from_numpy(LEVELS)[None, None], HERE, steps)[:, 0, 0].T
    x = (
        LEVELS
        if code.above == 0
        else (LEVELS - np.pad(LEVELS, (code.above, 0))[: -code.above]).clip(0)
    )
    assert torch.equal(spikes, torch.from_numpy(code.trains(x, steps)).double())


def test_bytes_are_levels_and_halves_go_up() -> None:
    assert levels(BYTES).tolist() == [257 * byte for byte in range(256)]
    between = [(q + half) / 65535 for q in (0, 1, 40_000) for half in (0.499, 0.501)]
    assert levels(torch.tensor(between).double()).tolist() == [0, 1, 1, 2, 40_000, 40_001]
    assert levels(torch.tensor([0.5, 1 - 2**-24])).tolist() == [32768, 65535]


@given(st.integers(0, 65534))
def test_a_level_is_exact_where_float32_would_round_up(q: int) -> None:
    """The float32 numbers next to where two levels meet, which are those that float32 gets wrong."""
    meet = np.float32((q + 0.5) / 65535)
    x = np.array([np.nextafter(meet, np.float32(0)), meet, np.nextafter(meet, np.float32(1))])
    exact = [int(Fraction(float(pixel)) * 65535 + Fraction(1, 2)) for pixel in x]
    assert levels(torch.from_numpy(x)).tolist() == exact


@given(st.integers(2, 130), some_levels)
def test_latency_is_one_spike_at_its_step(steps: int, q: list[int]) -> None:
    for level, spikes in zip(q, train(Latency(), steps, q), strict=True):
        exact = (steps - 1) * (1 - Fraction(level, 65535))
        assert spikes == ([round(exact)] if Fraction(level, 65535) >= Fraction(1, 100) else [])


@given(st.sampled_from(["linear", "logarithmic"]), st.integers(2, 70), st.floats(0.001, 0.9))
def test_latency_spikes_once_and_the_brighter_never_later(
    scale: Literal["linear", "logarithmic"], steps: int, threshold: float
) -> None:
    x = np.linspace(0, 1, 2000)
    trains = Latency(scale, threshold).trains(x, steps)
    assert trains.sum(1).tolist() == (x >= threshold).tolist()
    times = trains.argmax(1)[x >= threshold]
    assert scale == "logarithmic" or times[-1] == 0
    assert (np.diff(times) <= 0).all()


def test_the_logarithm_puts_what_is_visible_into_the_first_step() -> None:
    """As the docstring says; 0.01 above the threshold f has fallen from 11.5 to 0.69."""
    trains = Latency("logarithmic").trains(np.array([0.01, 0.0100001, 0.02, 0.022, 0.5]), 10)
    assert trains.argmax(1).tolist() == [9, 9, 1, 0, 0]


def test_contrast_over_a_distance_that_no_image_has_is_refused() -> None:
    """All pixels would rise above nothing, and that is the latency code."""
    SNN(5, code=Contrast(distance=63)).over((8, 8), 10)
    with pytest.raises(InputError, match="distance = 64 with samples of 64 pixels") as caught:
        SNN(5, code=Contrast(distance=64)).over((8, 8), 10)
    assert caught.value.keys == ("distance",)


@given(st.integers(2, 130), some_levels, st.integers(1, 5))
def test_contrast_is_one_spike_at_the_time_of_the_rise(steps: int, q: list[int], n: int) -> None:
    x = torch.tensor(q).double() / 65535
    spikes = Contrast(distance=n).spikes(x[None, None], HERE, steps)[:, 0, 0].T
    for level, before, own in zip(q, [0] * n + q, spikes, strict=False):
        d = Fraction(max(0, level - before), 65535)
        there = [round((steps - 1) * (1 - d))] if d >= Fraction(1, 20) else []
        assert own.nonzero().flatten().tolist() == there


@pytest.mark.parametrize("steps", [8, 16, 64, 130])
def test_phase_decodes_every_byte_exactly(steps: int) -> None:
    omega = np.array(Phase().step_weights(steps))
    trains = Phase().trains(np.arange(256) / 255, steps)
    for start in range(0, steps - 7, 8):
        weighted = (trains * omega)[:, start : start + 8].sum(1)
        assert (weighted * 256).tolist() == list(range(256))


@given(st.integers(1, 16), some_levels)
def test_phase_is_the_nearest_number_of_so_many_digits(period: int, q: list[int]) -> None:
    code, top = Phase(period), 2**period - 1
    assert sum(code.step_weights(2 * period)) == 2 * (1 - 2.0**-period)
    for level, spikes in zip(q, train(code, 2 * period, q), strict=True):
        places = [step for step in spikes if step < period]
        assert spikes == places + [place + period for place in places]
        v = sum(1 << (period - 1 - place) for place in places)
        assert abs(Fraction(v, top) - Fraction(level, 65535)) <= Fraction(1, 2 * top)


@given(st.integers(1, 8), st.integers(1, 5), st.integers(0, 130), st.data())
def test_burst_has_its_spikes_at_its_interval(
    most: int, shortest: int, more: int, data: st.DataObject
) -> None:
    """Against fractions, in which 51 x 1/51 is 1. The last T are those of which float64 gets some wrong."""
    steps = data.draw(st.sampled_from([1 + (most - 1) * shortest + more, 53, 77, 87, 155]))
    any_level = st.integers(0, 65535) | st.integers(0, 255).map(lambda byte: 257 * byte)
    q = data.draw(st.lists(any_level, min_size=1))
    for level, spikes in zip(q, train(Burst(most, shortest), steps, q), strict=True):
        x = Fraction(level, 65535)
        n = math.ceil(most * x)
        interval = math.ceil(steps - (steps - shortest) * x) if n > 1 else steps
        assert spikes == [k * interval for k in range(n) if k * interval < steps]


def test_every_level_bursts_right_where_float64_would_round_up() -> None:
    """In float64 77 - 75 x has a level that is a hair above a whole number."""
    q = np.arange(65536)
    trains = Burst().trains(LEVELS, 77)
    n, isi = -(-5 * q // 65535), 77 - 75 * q // 65535
    second = np.where((n > 1) & (isi < 77), isi, 0)
    assert np.array_equal(np.where(trains.sum(1) > 1, trains[:, 1:].argmax(1) + 1, 0), second)


@pytest.mark.parametrize("steps", [9, 10, 25, 50, 130])
def test_burst_counts_never_fall_and_half_bright_fits_two_of_three(steps: int) -> None:
    counts = Burst().trains(LEVELS, steps).sum(1)
    assert (np.diff(counts) >= 0).all()
    assert (counts[0], counts[1], counts[-1]) == (0, 1, 5)
    assert counts[[32767, 32768]].tolist() == [2, 2]


films = arrays(np.uint8, (2, 3, 5, 4)).map(torch.from_numpy)


@given(films, st.integers(1, 255))
def test_delta_spikes_where_a_byte_rises_by_the_threshold(film: torch.Tensor, rise: int) -> None:
    spikes = Delta(threshold=rise / 255).spikes(film / 255, HERE, 5)
    before = torch.zeros(2, 3, 4, dtype=torch.int64)
    for t in range(5):
        now = film[:, :, t].long()
        assert torch.equal(spikes[t], (now - before >= rise).float())
        before = now


@given(images, st.sampled_from([1, 2, 70]))
def test_delta_of_a_still_image_is_that_of_a_film_that_stays(x: torch.Tensor, steps: int) -> None:
    film = x.unsqueeze(2).expand(-1, -1, steps, -1)
    still, moving = (Delta().spikes(images, HERE, steps) for images in (x, film))
    assert torch.equal(still, moving)
    assert torch.equal(still[0], (levels(x) >= 6554).float())  # 65535 x 0.1 = 6553.5
    assert still[1:].sum() == 0


def test_frames_that_are_not_intensities_or_not_as_many_as_steps() -> None:
    with pytest.raises(InputError, match="intensities from 0 to 1"):
        Delta().spikes(torch.full((2, 3, 2, 5), 2.0), HERE, 2)
    with pytest.raises(InputError, match=r"2 frames, time_steps = 3"):
        Delta().spikes(torch.zeros(2, 3, 2, 5), HERE, 3)


@given(images)
def test_direct_is_the_image_at_every_step(x: torch.Tensor) -> None:
    assert not Direct.binary
    assert torch.equal(Direct().spikes(x, HERE, 3), torch.stack([x, x, x]))


def test_receptive_fields_are_the_sources() -> None:
    """Bohte et al.: centres (2i-3)/2 / (M-2), width 1 / (1.5 (M-2)), no spike in the last tenth."""
    code, steps = ReceptiveField(neurons=5), 11
    x = np.linspace(0, 1, 501)
    trains = code.trains(x, steps)
    for i in range(1, 6):
        mu, sigma = (2 * i - 3) / 2 / 3, 1 / (1.5 * 3)
        for number, train in zip(x.tolist(), trains[i - 1], strict=True):
            a = math.exp(-((number - mu) ** 2) / (2 * sigma**2))
            assert train.nonzero()[0].tolist() == ([round(10 * (1 - a))] if a >= 0.1 else [])
    first = np.where(trains.any(2), trains.argmax(2), steps).min(0)
    assert (first <= 4).all()  # some neuron likes each intensity

    fields = ReceptiveField(neurons=3).spikes(torch.tensor([[[0.0, 0.5, 1.0]]]), HERE, 5)[:, 0, 0]
    # Neuron by neuron, the pixels in order: the middle one likes 0.5 best.
    assert fields[:, 3:6].argmax(0).tolist()[1] == 0
    assert fields.shape == (5, 9)


@pytest.mark.parametrize("shape", [(6,), (4, 8), (3, 4, 8)])
def test_what_a_code_lets_in_follows_from_the_samples(shape: tuple[int, ...]) -> None:
    code = ReceptiveField(neurons=4)
    inputs = math.prod(code.entering(shape))
    assert inputs == 4 * math.prod(shape)
    assert Latency().entering(shape) == shape
    network = SNN(4, code=code).over(shape, classes=3)
    assert network.architecture.layers[0] == inputs
    assert network.takes(math.prod(shape))
    assert not network.takes(inputs)


def test_only_phase_weights_its_steps() -> None:
    assert Phase(period=3).step_weights(4) == (0.5, 0.25, 0.125, 0.5)
    weighting = {type(code) for code, steps in parts_example.CODES if code.step_weights(steps)}
    assert weighting == {Phase}


@pytest.mark.parametrize(
    ("code", "steps", "message"),
    [
        (Latency(), 1, "in a single step all pixels would spike alike"),
        (Phase(period=8), 5, "the last 3 of a pixel's 8 binary digits would be lost"),
        (Phase(period=8), 5, "time_steps = 8, or fewer digits: period = 5"),
        (Burst(most_spikes=5), 8, "at least 9"),
        (Burst(most_spikes=5), 8, "most_spikes = 4"),
        (Burst(most_spikes=5), 1, "most_spikes = 1"),
    ],
)
def test_too_few_time_steps(code: Tabulated, steps: int, message: str) -> None:
    for use in (code.fitted, lambda steps: code.trains(LEVELS[:1], steps)):
        with pytest.raises(InputError, match=message):
            use(steps)


@each_code
def test_a_fitted_code_spikes_alike(code: Code, steps: int) -> None:
    x = torch.rand(2, 3, 5)
    assert torch.equal(code.fitted(steps).spikes(x, HERE, steps), code.spikes(x, HERE, steps))


def test_the_fixes_that_the_errors_name_work_and_auto_is_what_fits() -> None:
    for steps in range(1, 12):
        period, most = min(steps, 8), min((steps - 1) // 2 + 1, 5)
        assert Phase().fitted(steps) == Phase(period).fitted(steps) == Phase(period)
        assert Burst().fitted(steps) == Burst(most).fitted(steps) == Burst(most)
        assert Burst().trains(np.ones(1), steps).sum() == most
