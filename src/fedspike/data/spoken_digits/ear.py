"""The inner ear that SHD was made with, from a wave to spikes of 700 channels.

The equations and their constants are those of lauscher 1.0.1, from whose objects they are taken: a Hann
window over the whole word, a basilar membrane, hair cells, bushy cells. Two things are computed otherwise.
All words are filled up with silence to one length, after the window, so that the membrane's response is
worked out once. And the fibres that meet at a bushy cell are counted instead of followed one by one: they are
alike, so how many of those that are not refractory fire is binomial: the same law in a tenth of the time.

Source: Cramer, Stradmann, Schemmel, Zenke, "The Heidelberg spiking data sets for the systematic evaluation of
spiking neural networks", IEEE Transactions on Neural Networks and Learning Systems 33, 2022.
"""

from typing import Any

import numpy as np
from jaxtyping import Complex128, Float32, Float64, UInt16

from fedspike.randomness import stream

RATE = 48_000  # of a wave in Hz, as SHD was recorded
CHANNELS = 700
EAR = "inner-ear"  # the purpose of its randomness
LEVEL = 0.3  # the root mean square of a word, as in lauscher
STEPS = RATE // 2  # of the membrane in LONGEST seconds: it halves the rate
LONGEST = 1.0  # seconds that a word may take
BAND_HZ = 12_000  # no voice has anything above: eSpeak NG ends at 11 kHz, a telephone at 4 kHz

Wave = Float64[np.ndarray, " sample"]
Times = Float32[np.ndarray, " spike"]
Units = UInt16[np.ndarray, " spike"]


class Ear:
    """Turns waves into spikes; to make one takes some seconds and 0.2 GB. It needs lauscher."""

    def __init__(self) -> None:
        from lauscher.transformations import BasilarMembrane, BushyCell, HairCell
        from numba import njit

        self._released, self._fired, self._spikes = map(njit, (released, fired, membrane_spikes))
        membrane = BasilarMembrane(channels=CHANNELS)
        omega = 2 * np.pi * np.linspace(1, RATE // 2, STEPS)[: int(BAND_HZ * LONGEST)]
        with np.errstate(all="ignore"):
            rows = [membrane._v(omega, place) for place in membrane.ch]
        self._response: Complex128[np.ndarray, "channel frequency"] = np.nan_to_num(np.array(rows))
        hair, bushy = HairCell(), BushyCell()
        self._hair = tuple(map(float, (hair.y, hair.g, hair.l, hair.r, hair.x)))
        self._hair += tuple(map(float, (hair.a, hair.b, hair.h, hair.m)))
        self._bushy = tuple(map(float, (bushy.tau_mem, bushy.tau_syn, bushy.tau_refrac)))
        self._fibres, self._weight = int(bushy.n_convergence), float(bushy.weight)

    def spikes(self, wave: Wave, address: str) -> tuple[Times, Units]:
        """When, in s and in order, and in which channel a word of at most LONGEST s at RATE makes spikes.

        The same wave and address of its randomness always give the same.
        """
        from lauscher.audiowaves import MonoAudioWave
        from lauscher.transformations import HanningWindow, RmsNormalizer
        from scipy.fft import irfft

        word = HanningWindow()(RmsNormalizer(LEVEL)(MonoAudioWave(wave.copy(), RATE))).samples
        steps = min(STEPS, len(word) // 2 + 1)
        spectrum = 0.5 * np.fft.fft(word, 2 * STEPS - 2)[: self._response.shape[1]]
        uniforms = stream(0, f"{EAR}|{address}").random((CHANNELS, steps))
        times, units = [], []
        for channel, response in enumerate(self._response):
            moved = irfft(response * spectrum, STEPS)[
                :steps
            ]  # the real part of what has no negative half
            chances = self._released(moved, RATE / 2, self._hair)
            refractory = self._bushy[2] * RATE / 2
            counts = self._fired(chances, self._fibres, refractory, uniforms[channel])
            at = self._spikes(counts, RATE / 2, self._bushy, self._weight)
            times.append(at)
            units.append(np.full(len(at), channel))
        t, unit = np.concatenate(times), np.concatenate(units)
        order = np.lexsort((unit, t))
        return (t[order] / (RATE / 2)).astype(np.float32), unit[order].astype(np.uint16)


def released(moved: Any, rate: float, constants: Any) -> Any:
    """The chance in each step that a fibre fires, of how fast the membrane moves: Meddis 1986, 1988."""
    y, g, l, r, x, a, b, h, m = constants  # noqa: E741 - the symbols of the source
    ymdt, xdt, ydt, rdt = y * m / rate, x / rate, y / rate, r / rate
    gdt, hdt, lplusrdt = g / rate, h / rate, (l + r) / rate
    kt = g * a / (a + b)
    hair_c = m * y * kt / (l * kt + y * (l + r))
    hair_q = hair_c * (l + r) / kt
    hair_w = hair_c * r / x
    chances = np.zeros(moved.size)
    for step in range(moved.size):
        kt = gdt * (moved[step] + a) / (moved[step] + a + b) if moved[step] + a > 0 else 0.0
        replenish = ymdt - ydt * hair_q if hair_q < m else 0.0
        eject, loss, reuptake, reprocess = (
            kt * hair_q,
            lplusrdt * hair_c,
            rdt * hair_c,
            xdt * hair_w,
        )
        hair_q = max(hair_q + replenish - eject + reprocess, 0.0)
        hair_c = max(hair_c + eject - loss, 0.0)
        hair_w = max(hair_w + reuptake - reprocess, 0.0)
        chances[step] = hair_c * hdt
    return chances


def fired(chances: Any, fibres: int, refractory: float, uniforms: Any) -> Any:
    """How many of the fibres fire in each step, none of them again within so many steps.

    Binomial, by inversion of a uniform number for each step.
    """
    length = int(np.ceil(refractory))
    ring = np.zeros(length, np.int64)
    counts = np.zeros(chances.size, np.int64)
    free = fibres
    for step in range(chances.size):
        free += ring[step % length]
        p, left, count = chances[step], uniforms[step], 0
        if p >= 1.0:
            count = free
        elif p > 0.0:
            share = (1.0 - p) ** free
            while left >= share and count < free:
                left -= share
                share *= (free - count) / (count + 1) * p / (1.0 - p)
                count += 1
        free -= count
        ring[step % length] = count
        counts[step] = count
    return counts


def membrane_spikes(counts: Any, rate: float, constants: Any, weight: float) -> Any:
    """The steps in which a bushy cell, a LIF neuron, spikes, of how many of its fibres fire."""
    tau_membrane, tau_synapse, refractory = constants
    fade, fall = np.exp(-1 / rate / tau_membrane), np.exp(-1 / rate / tau_synapse)
    spikes = np.zeros(counts.size, np.bool_)
    membrane, current, wait = 0.0, 0.0, 0.0
    for step in range(counts.size):
        if step > 0:
            if wait <= 0:
                if membrane < 1.0:
                    membrane *= fade
                else:
                    wait, membrane = refractory * rate, 0.0
                    spikes[step - 1] = True
            else:
                membrane = 0.0
            current *= fall
        current += counts[step]
        if wait <= 0:
            membrane += current * weight / rate
        membrane = min(membrane, 1.0)
        wait -= 1
    return np.flatnonzero(spikes)
