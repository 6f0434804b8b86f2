import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fedspike.randomness import stream, words

numbers = st.integers(0, 2**63 - 1)


def philox_4x64_10(counter: list[int], key: list[int]) -> list[int]:
    """The generator as its paper prints it (Salmon et al., SC 2011), in Python's own integers."""
    mask = 2**64 - 1
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        first, second = 0xD2E7470EE14C6C93 * c0, 0xCA5A826395121157 * c2
        c0, c1, c2, c3 = (
            (second >> 64) ^ c1 ^ k0,
            second & mask,
            (first >> 64) ^ c3 ^ k1,
            first & mask,
        )
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & mask, (k1 + 0xBB67AE8584CAA73B) & mask
    return [c0, c1, c2, c3]


@given(seed=numbers, round=numbers, client=numbers, sample=numbers)
def test_words_are_the_published_philox_at_the_documented_address(
    seed: int, round: int, client: int, sample: int
) -> None:
    digest = hashlib.sha256(f"fedspike|{seed}|encode".encode()).digest()
    key = [int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little")]
    expected = []
    for block in (1, 2):  # NumPy counts up before it draws, so the first block is number 1
        for word in philox_4x64_10([block, sample, client, round], key):
            expected.append(word)
    assert words(seed, "encode", round, client, sample, 7).tolist() == expected[:7]


@given(seed=numbers, round=numbers, client=numbers, longer=st.integers(1, 40))
def test_the_first_words_do_not_depend_on_how_many_are_asked_for(
    seed: int, round: int, client: int, longer: int
) -> None:
    few = words(seed, "encode", round, client, 0, 7)
    many = words(seed, "encode", round, client, 0, 7 + longer)
    assert np.array_equal(few, many[:7])


def test_every_part_of_an_address_matters() -> None:
    base = {"seed": 1, "purpose": "a", "round": 1, "client": 1, "sample": 1}
    other = {"seed": 2, "purpose": "b", "round": 2, "client": 2, "sample": 2}
    draws = {tuple(stream(**base).integers(0, 2**62, 4))}  # type: ignore[arg-type]
    for name, value in other.items():
        draws.add(tuple(stream(**{**base, name: value}).integers(0, 2**62, 4)))  # type: ignore[arg-type]
    assert len(draws) == 6


def test_words_are_uniform() -> None:
    """Chi-square over 256 bins of every byte: 99.99 % of uniform draws stay under 346."""
    drawn = words(0, "uniform", 0, 0, 0, 2**18).view(np.uint8).reshape(-1, 8)
    for byte in range(8):
        counts = np.bincount(drawn[:, byte], minlength=256)
        assert ((counts - 1024.0) ** 2 / 1024.0).sum() < 346
