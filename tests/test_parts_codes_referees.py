"""Our codes against other people's encoders, on the 256 grey values: snnTorch 1.0.0, SpikingJelly 2.0.0.

Where a definition differs by convention, the test maps one to the other and says so.
"""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from snntorch import spikegen
from spikingjelly.activation_based.encoding import LatencyEncoder, WeightedPhaseEncoder
from torch import Tensor, nn

from fedspike.parts.codes import Address, Code, Delta, Latency, Phase

BYTES = torch.arange(256) / 255
STEPS = [2, 5, 10, 25, 50, 64, 100]


def ours(code: Code, pixels: Tensor, time_steps: int) -> Tensor:
    """[time, pixel] of one sample, or of its frames [time, pixel]."""
    here = Address(0, "encode", 1, (0,), (0,))
    return code.spikes(pixels[None, None], here, time_steps)[:, 0, 0]


def stepped(encoder: nn.Module, pixels: Tensor, time_steps: int) -> Tensor:
    """SpikingJelly's encoders give one step at a call."""
    return torch.stack([encoder(pixels) for _ in range(time_steps)])


@pytest.mark.parametrize("time_steps", STEPS)
@pytest.mark.parametrize("threshold", [0.01, 0.3])
def test_linear_latency_is_snntorchs(time_steps: int, threshold: float) -> None:
    theirs = spikegen.latency(BYTES, time_steps, threshold, normalize=True, linear=True, clip=True)
    assert torch.equal(ours(Latency(threshold=threshold), BYTES, time_steps), theirs)


@pytest.mark.parametrize("time_steps", STEPS)
@pytest.mark.parametrize(("threshold", "tau"), [(0.01, 1.0), (0.3, 1.0), (0.01, 5.0)])
def test_logarithmic_latency_is_snntorchs(time_steps: int, threshold: float, tau: float) -> None:
    """With a black pixel in the batch, by which snnTorch normalises; its tau then does nothing.

    In float64, because 0.3 + 1e-7 - 0.3 is 9e-8 in float32.
    """
    theirs = spikegen.latency(BYTES.double(), time_steps, threshold, tau, normalize=True, clip=True)
    assert torch.equal(ours(Latency("logarithmic", threshold), BYTES, time_steps), theirs)


def test_logarithmic_latency_does_not_depend_on_company() -> None:
    """In a batch without black snnTorch takes the darkest that is there for the last step."""
    bright = BYTES[64:]
    code = Latency(scale="logarithmic")
    alone = spikegen.latency(bright, 10, normalize=True, clip=True)
    assert not torch.equal(ours(code, bright, 10), alone)
    with_black = spikegen.latency(torch.cat([BYTES[:1], bright]), 10, normalize=True, clip=True)
    assert torch.equal(ours(code, bright, 10), with_black[:, 1:])


@pytest.mark.parametrize("time_steps", STEPS)
def test_linear_latency_is_spikingjellys_but_for_the_dark(time_steps: int) -> None:
    """There a pixel below the threshold spikes like any other, the black ones at T-1."""
    theirs = stepped(LatencyEncoder(time_steps), BYTES, time_steps)
    assert theirs[-1, 0] == 1
    visible = (BYTES >= 0.01).float()
    assert torch.equal(ours(Latency(), BYTES, time_steps), theirs * visible)


@pytest.mark.parametrize("time_steps", [8, 16, 20])
def test_phase_is_spikingjellys(time_steps: int) -> None:
    """A byte v is v/255 here and v/256 there, in the interval [0, 1 - 2^-8] that it can show."""
    theirs = stepped(WeightedPhaseEncoder(8), torch.arange(256) / 256, time_steps)
    assert torch.equal(ours(Phase(), BYTES, time_steps), theirs)


@pytest.mark.parametrize("period", [1, 4, 10])
def test_phase_of_other_periods_is_spikingjellys(period: int) -> None:
    """Their number n / 2^K is our n / (2^K - 1), for each n of K digits."""
    n = torch.arange(2**period, dtype=torch.float64)
    theirs = stepped(WeightedPhaseEncoder(period), n / 2**period, period)
    here = ours(Phase(period=period), n / (2**period - 1), period)
    assert torch.equal(here.float(), theirs.float())


@given(arrays("uint8", (6, 40)), st.sampled_from([0.1, 0.25, 0.7]))
def test_delta_is_snntorchs(film: object, threshold: float) -> None:
    """At thresholds that are no byte; at those float32 takes some rises by just the threshold for less."""
    frames = torch.as_tensor(film) / 255
    spikes = ours(Delta(threshold), frames, len(frames))
    assert torch.equal(spikes, spikegen.delta(frames, threshold))


def test_delta_sees_a_rise_by_just_the_threshold() -> None:
    frames = torch.tensor([[32.0], [58.0]]) / 255
    assert spikegen.delta(frames, 26 / 255)[1] == 0
    assert ours(Delta(26 / 255), frames, 2)[1] == 1
