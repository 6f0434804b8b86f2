"""The laws of every code; tests/test_encoding.py has those of the rate code's random numbers."""

import math
from collections.abc import Callable
from fractions import Fraction
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fedspike.errors import InputError
from fedspike.parts.codes import (
    Address,
    BinaryCode,
    Burst,
    Code,
    Delta,
    Direct,
    Latency,
    Phase,
    Rate,
    raster,
)
from fedspike.parts.codes.pixels import levels

BINARY: list[BinaryCode] = [
    Rate(),
    Latency(),
    Latency(),
    Latency(scale="logarithmic"),
    Phase(),
    Phase(period=5),
    Burst(),
    Burst(most_spikes=3),
    Delta(),
]
CODES: list[Code] = [*BINARY, Direct()]
each_code = pytest.mark.parametrize("code", CODES, ids=repr)
each_binary_code = pytest.mark.parametrize("code", BINARY, ids=repr)

BYTES = torch.arange(256) / 255
intensities = st.floats(0, 1, width=32)
images = arrays(np.float32, (2, 3, 5), elements=intensities).map(torch.from_numpy)
HERE = Address(0, "encode", 1, (4, 7), (10, 20))


def train(code: Code, *pixels: float) -> torch.Tensor:
    """[pixel, time] of one sample."""
    x = torch.tensor(pixels, dtype=torch.float64).reshape(1, 1, -1)
    return code.spikes(x, Address(0, "encode", 1, (0,), (0,)))[:, 0, 0].T


@each_code
@given(images)
def test_zero_pixels_are_silent(code: Code, x: torch.Tensor) -> None:
    x[0, 1, 2:], x[1, 2, 0] = 0.0, 1.0
    spikes = code.spikes(x, HERE)
    assert spikes.shape == (code.time_steps, 2, 3, 5)
    assert spikes.dtype == torch.float32
    assert spikes[:, x == 0].abs().sum() == 0
    assert spikes[:, 1, 2, 0].sum() > 0
    assert not code.binary or set(spikes.flatten().tolist()) <= {0.0, 1.0}


@each_code
@given(images)
def test_neither_company_nor_type_changes_a_sample(code: Code, x: torch.Tensor) -> None:
    whole = code.spikes(x, HERE)
    alone = code.spikes(x[1:, 2:].double(), Address(0, "encode", 1, (7,), (22,)))
    assert alone.dtype == torch.float64
    assert torch.equal(alone[:, 0, 0].float(), whole[:, 1, 2])


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


@given(st.integers(2, 130), st.lists(st.integers(0, 65535), min_size=1, max_size=9))
def test_latency_is_one_spike_at_its_step(time_steps: int, q: list[int]) -> None:
    spikes = train(Latency(), *(level / 65535 for level in q))
    for level, own in zip(q, spikes, strict=True):
        exact = (time_steps - 1) * (1 - Fraction(level, 65535))
        expected = [round(exact)] if Fraction(level, 65535) >= Fraction(1, 100) else []
        assert own.nonzero().flatten().tolist() == expected


@given(st.sampled_from(["linear", "logarithmic"]), st.integers(2, 70), st.floats(0.001, 0.9))
def test_latency_spikes_once_and_the_brighter_never_later(
    scale: Literal["linear", "logarithmic"], time_steps: int, threshold: float
) -> None:
    x = np.linspace(0, 1, 2000)
    trains = Latency(scale=scale, threshold=threshold).trains(x)
    assert trains.sum(1).tolist() == (x >= threshold).tolist()
    times = trains.argmax(1)[x >= threshold]
    assert scale == "logarithmic" or times[-1] == 0
    assert (np.diff(times) <= 0).all()


def test_the_logarithm_puts_what_is_visible_into_the_first_step() -> None:
    """As the docstring says; 0.01 above the threshold f has fallen from 11.5 to 0.69."""
    steps = Latency(scale="logarithmic").trains(np.array([0.01, 0.0100001, 0.02, 0.022, 0.5]))
    assert steps.argmax(1).tolist() == [9, 9, 1, 0, 0]


@pytest.mark.parametrize("time_steps", [8, 16, 64, 130])
def test_phase_decodes_every_byte_exactly(time_steps: int) -> None:
    code = Phase()
    omega = torch.tensor(code.step_weights, dtype=torch.float64)
    spikes = train(code, *(byte / 255 for byte in range(256)))
    for start in range(0, time_steps - 7, 8):
        weighted = (spikes * omega)[:, start : start + 8].sum(1)
        assert (weighted * 256).tolist() == list(range(256))


@given(st.integers(1, 16), st.lists(st.integers(0, 65535), min_size=1, max_size=9))
def test_phase_is_the_nearest_number_of_so_many_digits(period: int, q: list[int]) -> None:
    code = Phase(period=period)
    spikes = train(code, *(level / 65535 for level in q))
    assert torch.equal(spikes[:, :period], spikes[:, period:])
    assert sum(code.step_weights) == 2 * (1 - 2.0**-period)
    for level, own in zip(q, spikes.tolist(), strict=True):
        digits = own[:period]
        v = sum(int(digit) << (period - 1 - place) for place, digit in enumerate(digits))
        top = 2**period - 1
        assert abs(Fraction(v, top) - Fraction(level, 65535)) <= Fraction(1, 2 * top)


@given(st.integers(1, 8), st.integers(1, 5), st.integers(0, 130), st.data())
def test_burst_has_its_spikes_at_its_interval(
    most: int, shortest: int, more: int, data: st.DataObject
) -> None:
    """Against fractions, in which 51 x 1/51 is 1. The last T are those of which float64 gets some wrong."""
    time_steps = data.draw(st.sampled_from([1 + (most - 1) * shortest + more, 53, 77, 87, 155]))
    code = Burst(most_spikes=most, shortest_interval=shortest)
    any_level = st.integers(0, 65535) | st.integers(0, 255).map(lambda byte: 257 * byte)
    q = data.draw(st.lists(any_level, min_size=1))
    spikes = train(code, *(level / 65535 for level in q))
    for level, own in zip(q, spikes, strict=True):
        x = Fraction(level, 65535)
        n = math.ceil(most * x)
        interval = math.ceil(time_steps - (time_steps - shortest) * x) if n > 1 else time_steps
        expected = [k * interval for k in range(n) if k * interval < time_steps]
        assert own.nonzero().flatten().tolist() == expected


def test_every_level_bursts_right_where_float64_would_round_up() -> None:
    """In float64 77 - 75 x has a level that is a hair above a whole number."""
    q = np.arange(65536)
    trains = Burst().trains(q / 65535)
    n, isi = -(-5 * q // 65535), 77 - 75 * q // 65535
    second = np.where((n > 1) & (isi < 77), isi, 0)
    assert np.array_equal(np.where(trains.sum(1) > 1, trains[:, 1:].argmax(1) + 1, 0), second)


@pytest.mark.parametrize("time_steps", [9, 10, 25, 50, 130])
def test_burst_counts_never_fall_and_half_bright_fits_two_of_three(time_steps: int) -> None:
    code = Burst()
    counts = code.trains(np.arange(65536) / 65535).sum(1)
    assert (np.diff(counts) >= 0).all()
    assert (counts[0], counts[1], counts[-1]) == (0, 1, 5)
    assert train(code, 0.5).sum() == 2


films = arrays(np.uint8, (2, 3, 5, 4)).map(lambda bytes: torch.from_numpy(bytes))


@given(films, st.integers(1, 255))
def test_delta_spikes_where_a_byte_rises_by_the_threshold(film: torch.Tensor, rise: int) -> None:
    code = Delta(threshold=rise / 255)
    spikes = code.spikes(film / 255, HERE)
    before = torch.zeros(2, 3, 4, dtype=torch.int64)
    for t in range(5):
        now = film[:, :, t].long()
        assert torch.equal(spikes[t], (now - before >= rise).float())
        before = now


@given(images, st.sampled_from([1, 2, 70]))
def test_delta_of_a_still_image_is_that_of_a_film_that_stays(x: torch.Tensor, steps: int) -> None:
    code = Delta()
    film = x.unsqueeze(2).expand(-1, -1, steps, -1)
    still, moving = code.spikes(x, HERE), code.spikes(film, HERE)
    assert torch.equal(still, moving)
    assert torch.equal(still[0], (levels(x) >= 6554).float())  # 65535 x 0.1 = 6553.5
    assert still[1:].sum() == 0


@given(images)
def test_direct_is_the_image_at_every_step(x: torch.Tensor) -> None:
    code = Direct()
    assert not code.binary
    assert torch.equal(code.spikes(x, HERE), torch.stack([x, x, x]))


def test_only_phase_weights_its_steps() -> None:
    assert Phase(period=3).step_weights == (0.5, 0.25, 0.125, 0.5)
    assert [code for code in CODES if code.step_weights and not isinstance(code, Phase)] == []


@each_binary_code
def test_a_raster_has_every_spike_in_order(code: BinaryCode) -> None:
    image = torch.rand(4, 6, generator=torch.Generator().manual_seed(1))
    one = Address(0, "encode", 1, (7,), (20,))
    events = raster(code, image, one)
    assert events == sorted(set(events))
    drawn = torch.zeros(code.time_steps, 24)
    for step, pixel in events:
        drawn[step, pixel] = 1
    assert torch.equal(drawn, code.spikes(image.reshape(1, 1, 24), one)[:, 0, 0])


@each_code
@pytest.mark.parametrize("wrong", [-0.001, 1.001, math.nan, math.inf])
def test_what_is_no_intensity_is_refused(code: Code, wrong: float) -> None:
    x = torch.full((2, 3, 5), 0.5)
    x[1, 2, 3] = wrong
    with pytest.raises(InputError, match="intensities from 0 to 1"):
        code.spikes(x, HERE)


def test_frames_that_are_not_intensities_or_not_as_many_as_steps() -> None:
    with pytest.raises(InputError, match="intensities from 0 to 1"):
        Delta().spikes(torch.full((2, 3, 2, 5), 2.0), HERE)
    with pytest.raises(InputError, match=r"2 frames, time_steps = 3"):
        Delta().spikes(torch.zeros(2, 3, 2, 5), HERE)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: Latency(), "in a single step all pixels would spike alike"),
        (lambda: Latency(threshold=0.0), "threshold = 0"),
        (lambda: Latency(threshold=1.0), "threshold = 1"),
        (lambda: Phase(), "the last 3 of a pixel's 8 binary digits would be lost"),
        (lambda: Phase(), "time_steps = 8, or fewer digits: period = 5"),
        (lambda: Phase(period=17), "period = 17"),
        (lambda: Phase(period=0), "period = 0"),
        (lambda: Burst(), "at least 9"),
        (lambda: Burst(), "most_spikes = 4"),
        (lambda: Burst(), "most_spikes = 1"),
        (lambda: Burst(most_spikes=0), "most_spikes = 0"),
        (lambda: Burst(shortest_interval=0), "shortest_interval = 0"),
        (lambda: Delta(), "time_steps = 0"),
        (lambda: Delta(threshold=0.0), "threshold = 0"),
        (lambda: Delta(threshold=1.5), "threshold = 1.5"),
        (lambda: Direct(), "time_steps = 0"),
    ],
)
def test_too_few_steps_and_other_wrong_settings(build: Callable[[], Code], says: str) -> None:
    with pytest.raises(InputError, match=says):
        build()


def test_an_unknown_scale() -> None:
    """Past the type check that the tests switch on, and a user has not."""
    settings: Any = SimpleNamespace(time_steps=9, scale="log", threshold=0.01)
    with pytest.raises(InputError, match="'linear' or 'logarithmic'"):
        Latency.__post_init__(settings)


def test_the_fixes_that_the_errors_name_work() -> None:
    for time_steps in range(1, 9):
        assert Phase(period=time_steps).time_steps == time_steps
        fitting = Burst(most_spikes=(time_steps - 1) // 2 + 1)
        assert train(fitting, 1.0).sum() == fitting.most_spikes
