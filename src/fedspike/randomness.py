"""Where all randomness is born, addressed by (seed, purpose, round, client) instead of carried.

Philox (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011) turns a
128-bit key and a 256-bit counter into random bits without any state, so every number has an
address and can be drawn again by anybody, in any order:

    key     = first 128 bits of SHA-256("fedspike" | seed | purpose)
    counter = (block, sample, client, round), 64 bits each; the block counts up from 1

Two different addresses never share a block, as long as one address draws fewer than 2^64 of them.
"""

import hashlib
from functools import cache

import numpy as np
from jaxtyping import UInt64


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
