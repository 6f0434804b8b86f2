"""A bad client cannot harm the model: every malformed reply is rejected, and it is as if it was never sent.

Replies are real ones, of a tiny network trained on the sample data.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import structs

from algorithms_example import CASES as ALGORITHMS
from fedspike.algorithms import Algorithm, FedAvg, Tree
from fedspike.algorithms.trees import copied
from fedspike.data import load_data
from fedspike.federation import rounds
from fedspike.federation.devices import Fleet, Given
from fedspike.federation.guard import Reason, Verdict, joined, judge
from fedspike.federation.order import Answers, Order, Reply
from fedspike.federation.places.flower.node import one_reply
from fedspike.federation.places.here import Here
from fedspike.federation.plan import Plan
from fedspike.federation.state import State
from fedspike.learning.backpropagation import Backpropagation
from fedspike.networks import ANN, SNN, FullyConnected, Network
from fedspike.parts.losses import CrossEntropy
from fedspike.parts.normalisations import BNTT
from fedspike.parts.optimisers import SGD
from fedspike.parts.read_outs import MeanMembrane
from fedspike.randomness import stream
from fedspike.rules import MOST_PARTS, Median

SAMPLE = load_data("fashion-mnist-sample")
SIZES = {0: 40, 1: 24, 2: 24, 3: 7}  # client -> declared samples
ROUND, VICTIM = 3, 2
SHARDS = tuple(np.split(np.arange(95), np.cumsum(list(SIZES.values()))[:-1]))


@dataclass(frozen=True)
class Case:
    """A round of an algorithm: what was asked, the honest replies, and how the server goes on."""

    order: Order
    answers: Answers
    server: Tree

    @property
    def algorithm(self) -> Algorithm:
        return self.order.site.algorithm

    @property
    def honest(self) -> dict[int, Reply]:
        return {reply.sender: reply for reply in self.answers.replies}

    def judged(self, replies: Sequence[Reply], **changes: Any) -> Verdict:
        return judge(self.order, replace(self.answers, replies=replies, **changes))

    def after(self, verdict: Verdict) -> Tree:
        """The server's next state."""
        if verdict.skipped:
            return self.server
        share = len(verdict.clients) / len(SIZES)
        return self.algorithm.next_state(self.server, joined(self.order, verdict.accepted), share)

    def without(self, *clients: int) -> Tree:
        """The next state of a round in which these clients dropped out."""
        return self.after(self.judged([r for k, r in self.honest.items() if k not in clients]))


def case(algorithm: Algorithm, network: Network | None = None) -> Case:
    plan = Plan(
        network=network or ANN(FullyConnected((4,))),
        data=SAMPLE,
        partition=Given(SHARDS),
        learner=Backpropagation(CrossEntropy(), SGD(0.1), batch_size=16),
        algorithm=algorithm,
    )
    site = plan.site()
    server = site.algorithm.start(site.network.init(stream(0, "init")))
    order = rounds.order_for(plan, site, State(ROUND - 1, server), ROUND)
    answers = Here(lambda order: order.clients).work(order)
    alone = [replace(reply, tree=copied(reply.tree)) for reply in answers.replies]
    return Case(order, replace(answers, replies=alone), server)


# One of those whose clients answer with groups of the same names, if with any.
CASES = {
    name: case(ALGORITHMS[name].algorithm)
    for groups, name in {
        tuple(one.algorithm.joining()): name for name, one in reversed(ALGORITHMS.items())
    }.items()
    if groups
}
CASES["median"] = case(FedAvg(rule=Median()))
NORMALISED = SNN(3, FullyConnected((4,)), normalisation=BNTT("pooled"), read_out=MeanMembrane())


def same(one: Tree, other: Tree) -> bool:
    """To the bit."""
    return one.keys() == other.keys() and all(
        one[group].keys() == other[group].keys()
        and all(torch.equal(one[group][name], other[group][name]) for name in one[group])
        for group in one
    )


def reasons(verdict: Verdict) -> list[str]:
    assert all(r.detail and r.reason in get_args(Reason) for r in verdict.rejections)
    return [rejection.reason for rejection in verdict.rejections]


def put(tree: Tree, group: str, name: str, value: Any) -> Any:
    """The tree with another tensor, or whatever it is, in one place."""
    return {**tree, group: {**tree[group], name: value}}


# ---- what can be wrong: each draws a malformed version of a good reply, and says what it is called ----

Malformed = tuple[Reason, Reply]


def places(draw: st.DrawFn, tree: Tree) -> tuple[str, str]:
    return draw(st.sampled_from([(group, name) for group in tree for name in tree[group]]))


@st.composite
def bad_numbers(draw: st.DrawFn, reply: Reply) -> Malformed:
    """One value, or all, in one tensor."""
    group, name = places(draw, reply.tree)
    tensor = reply.tree[group][name].clone()
    value = draw(st.sampled_from([float("nan"), float("inf"), float("-inf"), 2e19, -3e38]))
    at = slice(None) if draw(st.booleans()) else draw(st.integers(0, tensor.numel() - 1))
    tensor.view(-1)[at] = value
    reason: Reason = "too large" if np.isfinite(value) else "not finite"
    return reason, replace(reply, tree=put(reply.tree, group, name, tensor))


@st.composite
def bad_shapes(draw: st.DrawFn, reply: Reply) -> Malformed:
    """Also those that would broadcast, and those with as many numbers."""
    group, name = places(draw, reply.tree)
    tensor = reply.tree[group][name]
    others = [
        *(torch.ones(1), torch.tensor(0.5), tensor.unsqueeze(0), tensor.unsqueeze(-1), tensor[:1]),
        *(tensor[:-1], tensor[:0], torch.cat([tensor, tensor]), tensor.reshape(-1, 1)),
    ]
    other = draw(st.sampled_from([one for one in others if one.shape != tensor.shape]))
    return "wrong shape", replace(reply, tree=put(reply.tree, group, name, other))


@st.composite
def bad_types(draw: st.DrawFn, reply: Reply) -> Malformed:
    group, name = places(draw, reply.tree)
    tensor = reply.tree[group][name]
    types = [torch.float64, torch.float16, torch.bfloat16, torch.int32, torch.bool, torch.complex64]
    others = [tensor.to(dtype) for dtype in types]
    others += [tensor.numpy(), tensor.tolist(), None, "weights", 1.0]
    others += [tensor.to_sparse(), tensor.to("meta")]
    other = draw(st.sampled_from(range(len(others))).map(others.__getitem__))
    return "wrong type", replace(reply, tree=put(reply.tree, group, name, other))


@st.composite
def bad_names(draw: st.DrawFn, reply: Reply) -> Malformed:
    group, name = places(draw, reply.tree)
    tensors, strange = reply.tree[group], draw(st.text(max_size=80) | st.integers() | st.none())
    less = {n: t for n, t in tensors.items() if n != name}
    rest = {g: ts for g, ts in reply.tree.items() if g != group}
    trees = [
        {**reply.tree, group: less},
        {**reply.tree, group: {**less, strange: tensors[name]}},
        {**reply.tree, group: {**tensors, strange: tensors[name]}},
        {**reply.tree, group: {}},
        {**reply.tree, strange: tensors},
        {**rest, strange: tensors},
        {**reply.tree, group: None},
        {**reply.tree, group: list(tensors)},
        *(rest, {}, None, [], "tree", tensors),
    ]
    tree = draw(st.sampled_from(range(len(trees))).map(trees.__getitem__))
    return "wrong names", replace(reply, tree=tree)


@st.composite
def bad_weights(draw: st.DrawFn, reply: Reply) -> Malformed:
    [(client, declared)] = reply.samples.items()
    weights = (
        st.integers(max_value=0)
        | st.integers(min_value=declared + 1)
        | st.floats()
        | st.booleans()
        | st.none()
        | st.text(max_size=3)
        | st.sampled_from([-9, 10**12, 2**63, float(declared), [declared], str(declared)])
        | st.sampled_from([declared]).map(torch.tensor)
    )
    whole = st.sampled_from([None, {}, [], declared, [declared], {client}])
    samples = draw(weights.map(lambda weight: {client: weight}) | whole)
    return "wrong weight", replace(reply, samples=samples)


@st.composite
def bad_rounds(draw: st.DrawFn, reply: Reply) -> Malformed:
    others = st.integers().filter(lambda round: round != ROUND)
    strange = st.sampled_from([None, float(ROUND), str(ROUND), [ROUND], True])
    return "wrong round", replace(reply, round=draw(others | strange))


@st.composite
def bad_senders(draw: st.DrawFn, reply: Reply) -> Malformed:
    """Nobody who was asked, or one who speaks for somebody else, too."""
    stranger = draw(st.integers().filter(lambda sender: sender not in SIZES))
    other = (reply.sender + 1) % len(SIZES)
    others = [
        replace(reply, sender=stranger),
        replace(reply, samples={stranger: 1}),
        replace(reply, samples={**reply.samples, other: SIZES[other]}),
        replace(reply, samples={other: SIZES[other]}),
        replace(reply, samples={float(reply.sender): 7}),
        replace(reply, samples={str(reply.sender): 7}),
    ]
    return "not asked", draw(st.sampled_from(others))


@st.composite
def late(draw: st.DrawFn, reply: Reply) -> Malformed:
    seconds = st.floats(min_value=5, exclude_min=True) | st.just(float("nan"))
    return "too late", replace(reply, seconds=draw(seconds))


FAULTS: dict[str, Callable[[Reply], st.SearchStrategy[Malformed]]] = {
    "numbers": bad_numbers,
    "shapes": bad_shapes,
    "types": bad_types,
    "names": bad_names,
    "weights": bad_weights,
    "rounds": bad_rounds,
    "senders": bad_senders,
    "late": late,
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", CASES)
@given(data=st.data())
@settings(max_examples=16)  # of each fault and algorithm
def test_a_malformed_reply_is_as_none_at_all(name: str, fault: str, data: st.DataObject) -> None:
    one = CASES[name]
    reason, bad = data.draw(FAULTS[fault](one.honest[VICTIM]))
    replies = [bad if k == VICTIM else reply for k, reply in one.honest.items()]
    verdict = one.judged(data.draw(st.permutations(replies)), deadline_s=5.0)
    assert reasons(verdict) == [reason]
    assert verdict.rejections[0].sender == bad.sender
    assert verdict.clients == (0, 1, 3)
    assert verdict.missing == ((VICTIM,) if bad.sender != VICTIM else ())
    assert len(verdict.rejections[0].detail) < 200
    assert same(one.after(verdict), one.without(VICTIM))


@given(data=st.data())
def test_any_number_of_faults_at_once(data: st.DataObject) -> None:
    """Whoever is left makes the model, whatever the others sent, and however often."""
    one = CASES["scaffold"]
    bad = data.draw(st.sets(st.sampled_from(sorted(SIZES))))
    kinds = sorted(set(FAULTS) - {"late"})
    replies = [reply for k, reply in one.honest.items() if k not in bad]
    for k in sorted(bad):
        for kind in data.draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=3)):
            replies.append(data.draw(FAULTS[kind](one.honest[k]))[1])
    verdict = one.judged(data.draw(st.permutations(replies)))
    assert len(verdict.rejections) == len(replies) - len(SIZES) + len(bad)
    assert verdict.clients == tuple(k for k in SIZES if k not in bad)
    assert verdict.skipped == (len(bad) == len(SIZES))
    assert same(one.after(verdict), one.without(*bad))


@pytest.mark.parametrize("name", CASES)
@given(data=st.data())
@settings(max_examples=40)
def test_a_second_answer_changes_nothing(name: str, data: st.DataObject) -> None:
    """Nor does one of an earlier round that comes again."""
    one = CASES[name]
    again = replace(one.honest[VICTIM], tree=CASES[name].honest[0].tree)
    old = replace(again, round=ROUND - 1)
    first = data.draw(st.permutations([*one.honest.values(), old]))
    verdict = one.judged([*first, again])
    assert reasons(verdict) == ["wrong round", "duplicate"]
    assert same(one.after(verdict), one.without())


def test_after_a_broken_answer_a_good_one_counts() -> None:
    one = CASES["fedavg"]
    broken = replace(one.honest[VICTIM], tree={})
    verdict = one.judged([broken, *one.honest.values()])
    assert (reasons(verdict), verdict.missing) == (["wrong names"], ())
    assert same(one.after(verdict), one.without())


@pytest.mark.parametrize("name", CASES)
@given(order=st.permutations(sorted(SIZES)))
def test_in_whatever_order_they_come_the_bits_are_the_same(name: str, order: list[int]) -> None:
    one = CASES[name]
    verdict = one.judged([one.honest[k] for k in order])
    assert (verdict.rejections, verdict.missing, verdict.skipped) == ((), (), False)
    assert verdict.accepted == tuple(one.answers.replies)
    assert same(one.after(verdict), one.without())


LARGEST = 2.0**64 * (1 - 2.0**-24)  # the largest float32 whose square is one


@given(
    value=st.floats(-LARGEST, LARGEST, width=32) | st.sampled_from([LARGEST, -LARGEST]),
    other=st.floats(-LARGEST, LARGEST, width=32),
)
@example(value=LARGEST, other=LARGEST)
@example(value=LARGEST, other=-LARGEST)
@settings(max_examples=40)
@pytest.mark.parametrize("name", CASES)
def test_whatever_is_accepted_leaves_a_finite_server(name: str, value: float, other: float) -> None:
    """Ten rounds of the largest numbers that pass."""
    one = CASES[name]
    replies = [
        replace(reply, tree=constant(reply.tree, value if k % 2 else other))
        for k, reply in one.honest.items()
    ]
    server = one.server
    for _ in range(10):
        verdict = one.judged(replies)
        assert verdict.rejections == ()
        server = replace(one, server=server).after(verdict)
    assert all(t.isfinite().all() for tensors in server.values() for t in tensors.values())


def constant(tree: Tree, value: float) -> Tree:
    return {g: {n: torch.full_like(t, value) for n, t in ts.items()} for g, ts in tree.items()}


@pytest.mark.parametrize("name", CASES)
def test_what_breaks_flowers_strategies_does_not_break_ours(name: str) -> None:
    """There FedAvg became nan, (1,) broadcast, weights of -9 and 1e12 counted, FedAdam made float64."""
    one = CASES[name]
    good = one.honest[VICTIM]
    group = next(iter(good.tree))
    weight = good.tree[group]["hidden.weight"]
    for bad, reason in [
        (replace(good, tree=constant(good.tree, float("nan"))), "not finite"),
        (
            replace(good, tree=put(good.tree, group, "hidden.weight", torch.ones(1))),
            "wrong shape",
        ),
        (replace(good, samples={VICTIM: -9}), "wrong weight"),
        (replace(good, samples={VICTIM: 10**12}), "wrong weight"),
        (replace(good, samples={VICTIM: 1e12}), "wrong weight"),
        (
            replace(good, tree=put(good.tree, group, "hidden.weight", weight.double())),
            "wrong type",
        ),
    ]:
        verdict = one.judged([bad if k == VICTIM else r for k, r in one.honest.items()])
        assert reasons(verdict) == [reason]
        after = one.after(verdict)
        assert same(after, one.without(VICTIM))
        assert {t.dtype for ts in after.values() for t in ts.values()} == {torch.float32}


def test_pooled_statistics_are_judged_too() -> None:
    one = case(FedAvg(), NORMALISED)
    form = one.order.forms[VICTIM]
    assert set(form) == {"update", "statistics"}
    name = next(iter(form["statistics"]))
    good = one.honest[VICTIM]
    bad = replace(
        good, tree=put(good.tree, "statistics", name, good.tree["statistics"][name] + torch.inf)
    )
    verdict = one.judged([bad if k == VICTIM else r for k, r in one.honest.items()])
    assert reasons(verdict) == ["not finite"]
    assert same(one.after(verdict), one.without(VICTIM))


# ---- nodes that host many clients ----


HOSTED = {100: (0, 1), 200: (2, 3)}


def hosting(one: Case) -> tuple[Reply, Reply]:
    """Node 100 hosts clients 0 and 1, node 200 the other two; each answers for both."""
    replies = []
    for node, clients in HOSTED.items():
        trees = {k: one.honest[k].tree for k in clients}
        samples = {k: SIZES[k] for k in clients}
        replies.append(Reply(node, ROUND, samples, one_reply(one.algorithm, trees, samples)))
    return replies[0], replies[1]


@pytest.mark.parametrize("name", CASES)
def test_two_nodes_are_the_four_clients_that_they_host(name: str) -> None:
    """To the bit: what a rule cannot join in parts travels apart."""
    one = CASES[name]
    first, second = hosting(one)
    verdict = one.judged([second, first], hosts=HOSTED)
    assert (verdict.clients, verdict.rejections) == ((0, 1, 2, 3), ())
    assert same(one.after(verdict), one.without())


def test_a_mean_does_not_pass_for_what_a_median_needs() -> None:
    one, mean = CASES["median"], hosting(CASES["fedavg"])
    assert reasons(one.judged(mean, hosts=HOSTED)) == ["wrong names"] * 2
    apart = hosting(one)[0]
    less = {key: tensors for key, tensors in apart.tree.items() if not key.startswith("1/")}
    assert reasons(one.judged([replace(apart, tree=less)], hosts=HOSTED)) == ["wrong names"]
    wide = {key: {n: t.double() for n, t in ts.items()} for key, ts in apart.tree.items()}
    assert reasons(one.judged([replace(apart, tree=wide)], hosts=HOSTED)) == ["wrong type"]


@pytest.mark.parametrize("value", [float("nan"), 2e19])
def test_the_numbers_of_a_sum_are_held_to_the_clients_type(value: float) -> None:
    one = CASES["fedavg"]
    first, second = hosting(one)
    value *= sum(first.samples.values())
    verdict = one.judged([replace(first, tree=constant(first.tree, value)), second], hosts=HOSTED)
    assert reasons(verdict) == ["not finite" if np.isnan(value) else "too large"]
    narrow = {g: {n: t.float() for n, t in ts.items()} for g, ts in first.tree.items()}
    assert reasons(one.judged([replace(first, tree=narrow)], hosts=HOSTED)) == ["wrong type"]


@pytest.mark.parametrize("times", [0, 1, MOST_PARTS, MOST_PARTS + 1])
def test_a_sum_comes_in_a_few_parts(times: int) -> None:
    """Whatever parts: the model is that of their sum. All together may be no larger than the clients."""
    one = CASES["fedavg"]
    first, second = hosting(one)
    held = sum(first.samples.values())

    def parts_of(size: float) -> Tree:
        return {
            g: {n: torch.full((times, *t.shape[1:]), size, dtype=t.dtype) for n, t in ts.items()}
            for g, ts in first.tree.items()
        }

    answers = [replace(first, tree=parts_of(0.5)), second]
    verdict = one.judged(answers, hosts=HOSTED)
    if not 1 <= times <= MOST_PARTS:
        assert reasons(verdict) == ["wrong shape"]
        return
    whole = {
        g: {n: t.sum(0, keepdim=True) for n, t in ts.items()} for g, ts in parts_of(0.5).items()
    }
    expected = one.judged([replace(first, tree=whole), second], hosts=HOSTED)
    assert same(one.after(verdict), one.after(expected))
    together = one.judged([replace(first, tree=parts_of(1.8e19 * held)), second], hosts=HOSTED)
    assert reasons(together) == (["too large"] if times > 1 else [])


def test_a_node_answers_for_its_own_clients_and_within_their_sizes() -> None:
    one = CASES["fedavg"]
    first, second = hosting(one)
    alone = one.judged([second], hosts=HOSTED)
    for samples, reason in [
        ({0: 40, 1: 25}, "wrong weight"),
        ({0: 64}, "wrong weight"),  # the sum is right
        ({0: 65, 1: -1}, "wrong weight"),
        ({0: 40, 1: 24, 2: 24}, "not asked"),
        ({2: 24}, "not asked"),
    ]:
        verdict = one.judged([replace(first, samples=samples), second], hosts=HOSTED)
        assert reasons(verdict) == [reason]
        assert (verdict.clients, verdict.missing) == ((2, 3), ())
        assert same(one.after(verdict), one.after(alone))
    assert alone.missing == (0, 1)


def test_a_node_may_leave_out_a_client() -> None:
    one = CASES["fedavg"]
    _, second = hosting(one)
    alone = Reply(100, ROUND, {0: 40}, one.honest[0].tree)
    verdict = one.judged([alone, second], hosts=HOSTED)
    assert (verdict.clients, verdict.missing) == ((0, 2, 3), (1,))
    assert same(one.after(verdict), one.without(1))


# ---- quorum and deadline ----


def with_quorum(quorum: int) -> Case:
    one = CASES["fedavg"]
    fleet = Fleet(quorum=quorum / 100)
    return replace(one, order=replace(one.order, plan=structs.replace(one.order.plan, fleet=fleet)))


@example(quorum=7, asked=100, accepted=7)  # 0.07 * 100 > 7
@given(quorum=st.integers(0, 100), asked=st.integers(1, 30), accepted=st.integers(0, 30))
def test_a_round_is_skipped_below_the_quorum(quorum: int, asked: int, accepted: int) -> None:
    """In integers: skipped if 100 * accepted < percent * asked, or nobody is accepted."""
    accepted = min(accepted, asked)
    one = with_quorum(quorum)
    form: Tree = {"update": {"w": torch.zeros(1)}}
    order = replace(
        one.order, samples=dict.fromkeys(range(asked), 5), forms=dict.fromkeys(range(asked), form)
    )
    replies = [Reply(k, ROUND, {k: 5}, form) for k in range(accepted)]
    hosts = {k: (k,) for k in range(asked)}
    verdict = judge(order, replace(one.answers, replies=replies, hosts=hosts))
    assert verdict.skipped == (accepted == 0 or 100 * accepted < quorum * asked)
    assert len(verdict.missing) == asked - accepted


def test_when_nobody_is_accepted_the_server_stays_as_it_was() -> None:
    one = CASES["scaffold"]
    for replies in (
        [],
        [replace(r, tree=constant(r.tree, torch.nan)) for r in one.honest.values()],
    ):
        verdict = one.judged(replies)
        assert verdict.skipped
        assert one.after(verdict) is one.server
