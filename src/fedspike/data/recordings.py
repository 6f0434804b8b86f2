"""Samples that are recordings of events: a train of spikes for each input, in steps of time, kept as bits.

Bit t % 64 of word t // 64 of an input says whether it had at least one event in step t; a recording of T
steps takes ceil(T / 64) words of 64 bits for each input. Networks that do not take spikes as they were
recorded see them counted.
"""

import numpy as np
from jaxtyping import Bool, Float32, Int64

from fedspike.errors import InputError

BITS = 64
Recordings = Int64[np.ndarray, "sample *input word"]


def words_of(time_steps: int) -> int:
    """How many words hold a train.

    >>> words_of(64), words_of(65)
    (1, 2)
    """
    return -(-time_steps // BITS)


def packed(spikes: Bool[np.ndarray, "sample time *input"]) -> Recordings:
    """Trains as bits.

    >>> packed(np.array([[[True, False], [True, True]]])).tolist()
    [[[3], [2]]]
    """
    bits = np.packbits(np.moveaxis(spikes, 1, -1), axis=-1, bitorder="little")
    padded = np.zeros((*bits.shape[:-1], 8 * words_of(spikes.shape[1])), np.uint8)
    padded[..., : bits.shape[-1]] = bits
    return padded.view("<i8").astype(np.int64, copy=False)


def unpacked(recordings: Recordings, time_steps: int) -> Bool[np.ndarray, "sample time *input"]:
    """The trains that are in the bits.

    >>> unpacked(np.array([[[3], [2]]]), 2).astype(int).tolist()
    [[[1, 0], [1, 1]]]
    """
    in_bytes = np.ascontiguousarray(recordings, "<i8").view(np.uint8)
    bits = np.unpackbits(in_bytes, axis=-1, bitorder="little", count=time_steps)
    spikes: np.ndarray = np.moveaxis(bits, -1, 1).view(bool)
    return spikes


def spikes(recordings: Recordings) -> Int64[np.ndarray, "sample *input"]:
    """How many steps of each train have a spike.

    >>> spikes(np.array([[[3, -1]]])).tolist()
    [[66]]
    """
    ones = np.bitwise_count(
        recordings.view(np.uint64)
    )  # of signed words it counts the absolute value's
    return np.asarray(ones.sum(-1, dtype=np.int64))


def shares(
    recordings: Recordings, time_steps: int, windows: int
) -> Float32[np.ndarray, "sample *counted"]:
    """Events counted in so many windows of time, as the share of a window's steps with a spike.

    Windows stand side by side: features [window and input], or channels [window and channel, row, column].

    >>> shares(np.array([[[0b0111], [0b1000]]]), time_steps=4, windows=2).tolist()
    [[1.0, 0.0, 0.5, 0.5]]
    """
    sample, *shape = recordings.shape[:-1]
    counted = np.empty((sample, windows, *shape), np.float32)
    for window in range(windows):
        first, last = (time_steps * w // windows for w in (window, window + 1))
        here = recordings & _steps(first, last, recordings.shape[-1])
        counted[:, window] = spikes(here) / (last - first)
    return counted.reshape(sample, windows * shape[0], *shape[1:])


def demand_recordings(what: str, recordings: np.ndarray, time_steps: int) -> None:
    """Raise InputError where these are no recordings of so many steps."""
    words = words_of(time_steps)
    fits = 3 <= recordings.ndim <= 5 and recordings.size and recordings.shape[-1] == words
    if recordings.dtype != np.int64 or not fits:
        raise InputError(
            f"{what} holds {recordings.dtype} of shape {recordings.shape}, with time_steps = {time_steps}",
            expected=f"trains as bits, int64 [sample, input, {words}]; [row, column] or [channel, row, "
            "column] in the place of input, too",
            fix="pack truth values [sample, time, input] with fedspike.data.recordings.packed",
        )
    if (recordings & ~_steps(0, time_steps, words)).any():
        raise InputError(
            f"{what} holds spikes behind time step {time_steps - 1}",
            expected=f"bits of {time_steps} steps, and 0 behind them",
            fix="say in how many steps the trains were packed",
        )


def _steps(first: int, last: int, words: int) -> Int64[np.ndarray, " word"]:
    """Bits of the steps from the first one to one before the last."""
    steps = np.arange(BITS * words)
    (word,) = packed(((first <= steps) & (steps < last))[None, :, None])[0]
    return np.asarray(word)
