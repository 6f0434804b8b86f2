"""The measures of skew: their laws, and the same from SciPy."""

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy

from fedspike.records import skew as room
from fedspike.records.skew import skew

NUMBERS = st.sampled_from([0, 0, 1, 2, 7, 600, 60_000])
COUNTS = st.integers(1, 5).flatmap(
    lambda classes: st.lists(
        st.lists(NUMBERS, min_size=classes, max_size=classes), min_size=1, max_size=5
    ).map(np.array)
)


@given(COUNTS)
@settings(max_examples=40, deadline=None)
def test_skew_is_between_even_and_one_class_each(counts: np.ndarray) -> None:
    found = skew(counts.tolist())
    assert 0 <= found.label_entropy <= found.entropy_of_all + 1e-6  # entropy is concave
    assert 0 <= found.total_variation < 1
    assert found.smallest <= found.largest == counts.sum(1).max() or not counts.any()


@given(COUNTS)
@settings(max_examples=40, deadline=None)
def test_neither_order_nor_a_client_in_two_halves_changes_it(counts: np.ndarray) -> None:
    found, other = skew(counts.tolist()), 2 * counts[::-1, ::-1]
    halves = np.concatenate([other[:1] // 2, other[:1] // 2, other[1:]])
    same = skew(halves.tolist())
    for measure in ("label_entropy", "entropy_of_all", "total_variation"):
        assert getattr(found, measure) == pytest.approx(getattr(same, measure), abs=2e-6)


@given(COUNTS)
@settings(max_examples=40, deadline=None)
def test_it_is_what_others_say(counts: np.ndarray) -> None:
    """SciPy's entropy; the distance is the largest difference of the shares of any set of classes."""
    counts = counts + 1
    found, sizes, everybody = skew(counts.tolist()), counts.sum(1), counts.sum(0) / counts.sum()
    entropies, distances = [], []
    for own in counts:
        shares = own / own.sum()
        entropies.append(entropy(own, base=2))
        sets = [[k for k in range(len(own)) if bits >> k & 1] for bits in range(2 ** len(own))]
        distances.append(max(shares[those].sum() - everybody[those].sum() for those in sets))
    assert found.label_entropy == pytest.approx(np.average(entropies, weights=sizes), abs=1e-6)
    assert found.entropy_of_all == pytest.approx(entropy(everybody, base=2), abs=1e-6)
    assert found.total_variation == pytest.approx(np.average(distances, weights=sizes), abs=1e-6)


def test_ends() -> None:
    one_each = skew((7 * np.eye(10, dtype=int)).tolist())
    assert (one_each.label_entropy, one_each.total_variation) == (0, 0.9)
    assert skew([[3, 3], [0, 0]]).samples == "6"  # a seat that nobody took
    assert skew([[0, 0]]) == room.Skew(0.0, 0.0, 0.0, 0, 0)
    result = doctest.testmod(room)
    assert result.failed == 0 < result.attempted
