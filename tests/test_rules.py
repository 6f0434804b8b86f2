"""Laws of every rule that joins answers, and what each of them alone promises."""

import itertools
import random
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fedspike.errors import InputError
from fedspike.rules import RULES, Mean, Median, Pooled, Rule, joined
from fedspike.rules import Replies as Sent

BY: list[Literal["samples", "clients"]] = ["samples", "clients"]
ALL = [*(kind() for kind in RULES), Mean(by="clients"), Pooled()]
rules = pytest.mark.parametrize("rule", ALL, ids=str)
Replies = list[dict[str, Tensor]]


def draw(clients: int, seed: int) -> tuple[Replies, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    replies = [
        {
            "w.mean": torch.randn(3, 4, generator=generator),
            "w.variance": torch.rand(3, 4, generator=generator),
        }
        for _ in range(clients)
    ]
    return replies, torch.randint(1, 1000, (clients,), generator=generator)


cohorts = st.builds(draw, st.integers(1, 20), st.integers(0, 2**31))


@rules
@given(cohort=cohorts, seed=st.integers(0, 100))
def test_the_order_of_clients_does_not_matter(
    rule: Rule, cohort: tuple[Replies, Tensor], seed: int
) -> None:
    """To the bit."""
    replies, samples = cohort
    order = random.Random(seed).sample(range(len(replies)), len(replies))
    ours = joined(rule, [replies[k] for k in order], samples[order])
    theirs = joined(rule, replies, samples)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@given(cohort=cohorts, cuts=st.lists(st.integers(1, 19), max_size=4), by=st.sampled_from(BY))
def test_sums_of_some_clients_are_gone_on_with(
    cohort: tuple[Replies, Tensor], cuts: list[int], by: Literal["samples", "clients"]
) -> None:
    """To the bit, however clients are put together on nodes, and whatever their company."""
    replies, samples = cohort
    rule, n = Mean(by=by), len(replies)
    bounds = sorted({0, n, *(cut for cut in cuts if cut < n)})
    nodes = [range(a, b) for a, b in itertools.pairwise(bounds)]
    sent = [
        rule.summed(Sent([replies[k] for k in node], samples[node], torch.ones_like(samples[node])))
        for node in map(list, nodes)
    ]
    held = torch.stack([samples[list(node)].sum() for node in nodes])
    hosted = torch.tensor([len(node) for node in nodes])
    ours = joined(rule, sent, held, hosted, replies[0], sums=[True] * len(nodes))
    theirs = joined(rule, replies, samples)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_rule_that_has_no_sums_says_so() -> None:
    with pytest.raises(InputError, match="median: sums of some clients' answers"):
        Median().summed(Sent([{"w": torch.ones(1)}], torch.tensor([1]), torch.tensor([1])))


@rules
@given(cohort=cohorts)
def test_one_client_is_exact_and_equal_replies_are_a_fixed_point(
    rule: Rule, cohort: tuple[Replies, Tensor]
) -> None:
    replies, samples = cohort
    first = replies[0]
    for alike in (replies[:1], [first] * len(replies)):
        ours = joined(rule, alike, samples[: len(alike)])
        assert all(torch.equal(ours[name], first[name]) for name in first)


@rules
@given(cohort=cohorts)
def test_it_stays_within_the_clients(rule: Rule, cohort: tuple[Replies, Tensor]) -> None:
    """But for a pooled variance, which has that of the means in it."""
    replies, samples = cohort
    ours = joined(rule, replies, samples)["w.mean"]
    every = torch.stack([reply["w.mean"] for reply in replies])
    assert bool((ours <= every.amax(0) + 1e-6).all())
    assert bool((ours >= every.amin(0) - 1e-6).all())


@rules
def test_replies_of_different_forms_are_refused(rule: Rule) -> None:
    replies: Sequence[dict[str, Tensor]] = [{"w": torch.ones(2)}, {"w": torch.ones(1)}]
    with pytest.raises(InputError, match=r"\(1,\), \(2,\)"):
        joined(rule, replies, torch.tensor([1, 1]))


@given(cohort=cohorts)
def test_the_mean_is_the_weighted_sum_written_out(cohort: tuple[Replies, Tensor]) -> None:
    replies, samples = cohort
    for rule, weights in ((Mean(), samples), (Mean(by="clients"), torch.ones_like(samples))):
        total = sum(weights.tolist())
        expected = sum(
            n / total * reply["w.mean"].double()
            for n, reply in zip(weights.tolist(), replies, strict=True)
        )
        assert isinstance(expected, Tensor)
        ours = joined(rule, replies, samples)["w.mean"]
        torch.testing.assert_close(ours, expected.float())


@given(cohort=cohorts)
def test_the_median_is_numpys(cohort: tuple[Replies, Tensor]) -> None:
    replies, samples = cohort
    every = np.stack([reply["w.mean"].double().numpy() for reply in replies])
    ours = joined(Median(), replies, samples)["w.mean"]
    assert np.array_equal(ours.numpy(), np.median(every, axis=0).astype(np.float32))


@given(cohort=cohorts, value=st.sampled_from([1e19, -1e19]))
def test_fewer_than_half_cannot_move_the_median_beyond_the_others(
    cohort: tuple[Replies, Tensor], value: float
) -> None:
    honest, _ = cohort
    liars = [{"w.mean": torch.full((3, 4), value)}] * (len(honest) - 1)
    every = torch.stack([reply["w.mean"] for reply in honest])
    weights = torch.ones(len(honest) + len(liars), dtype=torch.int64)
    ours = joined(Median(), [{"w.mean": e} for e in every] + liars, weights)["w.mean"]
    assert bool(((every.amin(0) <= ours) & (ours <= every.amax(0))).all())
