"""Where all randomness is born, addressed by (seed, purpose, round, client) instead of carried.

Philox (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011) turns a
128-bit key and a 256-bit counter into random bits without any state, so every number has an
address and can be drawn again by anybody, in any order:

    key     = first 128 bits of SHA-256("fedspike" | seed | purpose)
    counter = (block, sample, client, round), 64 bits each; the block counts up from 1

Two different addresses never share a block, as long as one address draws fewer than 2^64 of them.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
from jaxtyping import Float64, Int64, UInt64

Words = UInt64[np.ndarray, " word"]
# Of Philox4x64-10: what counters are multiplied by, what keys are raised by, and how often.
MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
BUMPS = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
ROUNDS = 10
TOGETHER = 2**13  # clients whose words stay in the cache


def stream(
    seed: int, purpose: str, round: int = 0, client: int = 0, sample: int = 0
) -> np.random.Generator:
    """A generator that always starts at the same place for the same address.

    >>> a, b = stream(7, "cohort", round=3), stream(7, "cohort", round=3)
    >>> bool(a.integers(1000) == b.integers(1000))
    True
    """
    return np.random.Generator(_philox(seed, purpose, round, client, sample))


def words(
    seed: int, purpose: str, round: int, client: int, sample: int, count: int, block: int = 0
) -> UInt64[np.ndarray, " count"]:
    """`count` words of 64 random bits at an address, the raw material of random spikes.

    They are the first, or those behind so many blocks of 4.

    >>> drawn = [words(7, "encode", 1, 0, 0, count, block) for count, block in ((12, 0), (4, 2))]
    >>> bool((drawn[0][8:] == drawn[1]).all())
    True
    """
    raw = _philox(seed, purpose, round, client, sample, block).random_raw(count)
    return np.asarray(raw, dtype=np.uint64)


@contextmanager
def torch_at(generator: np.random.Generator) -> Iterator[None]:
    """While it is entered torch's own generator stands at this one's address; then where it was before.

    >>> import torch
    >>> drawn = []
    >>> for _ in range(2):
    ...     with torch_at(stream(7, "init")):
    ...         drawn.append(torch.rand(3))
    >>> torch.equal(*drawn)
    True
    """
    import torch  # who draws with torch has imported it

    before = torch.get_rng_state()
    torch.default_generator.manual_seed(int(generator.integers(2**63)))
    try:
        yield
    finally:
        torch.set_rng_state(before)


def uniforms(
    seed: int, purpose: str, round: int, clients: Int64[np.ndarray, " client"]
) -> Float64[np.ndarray, " client"]:
    """The first number from 0 to 1 that each client's `stream` gives, all at once: Philox4x64-10 written out.

    >>> bool(uniforms(7, "day", 2, np.array([5]))[0] == stream(7, "day", round=2, client=5).random())
    True
    """
    numbers = np.empty(len(clients))
    for first in range(0, len(clients), TOGETHER):
        some = clients[first : first + TOGETHER].astype(np.uint64)
        zero = np.zeros_like(some)
        counter = [zero + np.uint64(1), zero, some, zero + np.uint64(round)]
        bump, keys = np.array(BUMPS, np.uint64), np.array(key(seed, purpose), np.uint64)
        for _ in range(ROUNDS):
            (high, low), (other_high, other_low) = map(_product, MULTIPLIERS, counter[::2])
            counter = [
                *(other_high ^ counter[1] ^ keys[0], other_low),
                *(high ^ counter[3] ^ keys[1], low),
            ]
            keys = keys + bump
        numbers[first : first + TOGETHER] = (counter[0] >> np.uint64(11)) * 2.0**-53
    return numbers


def _product(a: int, b: Words) -> tuple[Words, Words]:
    """The upper and the lower 64 bits of a product of 128."""
    half, mask = np.uint64(32), np.uint64(2**32 - 1)
    a_high, a_low, b_high, b_low = np.uint64(a >> 32), np.uint64(a & 2**32 - 1), b >> half, b & mask
    low_high, high_low = a_low * b_high, a_high * b_low
    middle = (a_low * b_low >> half) + (low_high & mask) + (high_low & mask)
    upper = a_high * b_high + (low_high >> half) + (high_low >> half) + (middle >> half)
    return upper, np.uint64(a) * b


def _philox(
    seed: int, purpose: str, round: int, client: int, sample: int, block: int = 0
) -> np.random.Philox:
    return np.random.Philox(
        key=np.array(key(seed, purpose), "<u8"), counter=[block, sample, client, round]
    )


@cache
def key(seed: int, purpose: str) -> tuple[int, int]:
    """The two 64-bit words of Philox's key, for whoever draws the same numbers elsewhere."""
    digest = hashlib.sha256(f"fedspike|{seed}|{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little")
