"""Packed updates: what comes out is as the papers say, bytes are counted, and bad ones are refused."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedspike.algorithms import Algorithm, FedAvg, Scaffold, Tree
from fedspike.algorithms.trees import count_bytes
from fedspike.data import load_data
from fedspike.energy.account import work
from fedspike.errors import InputError
from fedspike.federation import rounds as loop
from fedspike.federation.cohort import train_cohort
from fedspike.federation.devices import Fleet, Given
from fedspike.federation.guard import judge
from fedspike.federation.order import Answers, Order, Reply
from fedspike.federation.packing import unpacked
from fedspike.federation.places.flower.node import one_reply
from fedspike.federation.plan import Plan
from fedspike.federation.rounds import Round, rounds
from fedspike.federation.state import State
from fedspike.learning import Backpropagation
from fedspike.networks import ANN, SNN, FullyConnected, Parameters
from fedspike.parts.codes import Latency
from fedspike.parts.optimisers import SGD, Adam
from fedspike.randomness import stream
from fedspike.records.writer import round_record
from fedspike.remedies import (
    QSGD,
    Clipping,
    Compression,
    EFSign,
    FedRolex,
    Lossless,
    LowRank,
    Remedy,
    TopK,
)
from fedspike.remedies.content import Content, of_whole
from running import devices
from test_engine_equals_reference import NETWORKS, compare

SAMPLE = load_data("fashion-mnist-sample")
KINDS: list[Compression] = [
    *(
        TopK(0.02, bits=32),
        TopK(0.3, bits=32),
        TopK(1.0, bits=32),
        QSGD(8),
        QSGD(4, bucket=7),
        TopK(0.3, bits=4),
    ),
    *(EFSign(), LowRank(1), LowRank(3), Lossless()),
]
EXACT = [TopK(1.0, bits=32), Lossless()]


def numbers(seed: int, dtype: torch.dtype = torch.float32) -> Parameters:
    """An update of a network with a convolution, with zeros, columns of zeros, ties and a -0.0."""
    draw = torch.Generator().manual_seed(seed)
    shapes = {"a.weight": (3, 2, 2, 2), "a.bias": (3,), "b.weight": (5, 12), "b.bias": (5,)}
    update = {n: torch.randn(shape, generator=draw, dtype=dtype) for n, shape in shapes.items()}
    update["b.weight"][:, torch.rand(12, generator=draw) < 0.7] = 0.0
    update["a.weight"][torch.rand(3, 2, 2, 2, generator=draw) < 0.5] = 0.0
    update["a.bias"] = torch.tensor([0.5, -0.5, -0.0], dtype=dtype)
    return update


def same(one: Parameters, other: Parameters) -> bool:
    """To the bit, signs of zeros among them, and in the same order."""
    return list(one) == list(other) and all(
        one[n].dtype == t.dtype
        and one[n].shape == t.shape
        and one[n].numpy().tobytes() == t.numpy().tobytes()
        for n, t in other.items()
    )


@pytest.mark.parametrize("kind", KINDS, ids=str)
@given(seed=st.integers(0, 10**6), double=st.booleans())
@settings(max_examples=8)
def test_what_is_unpacked_is_what_the_paper_says(
    kind: Compression, seed: int, double: bool
) -> None:
    """Each C(p) as its paper has it; the exact kinds give p itself, to the bit."""
    p = numbers(seed, torch.float64 if double else torch.float32)
    content = kind.packed(p, stream(seed, "test"))
    out = kind.unpacked(content, p)
    assert [(n, t.shape, t.dtype) for n, t in out.items()] == [
        (n, t.shape, t.dtype) for n, t in p.items()
    ]
    if kind in EXACT:
        assert same(out, p)
    if isinstance(kind, TopK):
        flat, sent = (torch.cat([t.flatten() for t in each.values()]) for each in (p, out))
        k = int(np.ceil(kind.share * len(flat)))
        kept = sent != 0
        assert int(kept.sum()) <= k
        rounding = 0.0 if kind.bits == 32 else float(flat.abs().max()) / 14 * 1.001
        assert float((sent[kept] - flat[kept]).abs().max()) <= rounding
        assert kind.bits == 4 or int(kept.sum()) == min(k, int((flat != 0).sum()))
        if kind.bits == 32:
            largest = float(flat.abs().sort().values[-k:].sum())
            assert float(sent.abs().sum()) == pytest.approx(largest)
    if isinstance(kind, EFSign):
        for n, t in out.items():
            torch.testing.assert_close(
                t, p[n].abs().mean() * torch.where(p[n] >= 0, 1.0, -1.0).to(t)
            )
    if isinstance(kind, LowRank):
        M, C = p["b.weight"], out["b.weight"]
        values = torch.linalg.svdvals(M)
        left = float(values[kind.rank :].square().sum().sqrt())  # Eckart and Young's least error
        assert float((M - C).norm()) == pytest.approx(left, abs=1e-5)
        assert same({"": out["b.bias"]}, {"": p["b.bias"]})


@given(st.lists(st.integers(0, 2**13 - 1)), st.integers(13, 20))
def test_whole_numbers_of_a_few_bits(whole: list[int], bits: int) -> None:
    content = of_whole(np.array(whole, np.int64), bits)
    assert len(content) == -(-len(whole) * bits // 8)
    assert Content(content).whole(len(whole), bits).tolist() == whole


@pytest.mark.parametrize("bits", [4, 8])
def test_the_quantiser_is_right_on_average(bits: Any) -> None:
    """Over 4,000 draws within 5 standard errors; nothing moves by more than a level, 0 and 1 not at all."""
    v, draws = torch.tensor([1.0, -0.37, 0.021, 0.0, -3e-4]), 4000
    p, kind = {"w": v.repeat(draws)}, QSGD(bits, bucket=5 * draws)
    every = kind.unpacked(kind.packed(p, stream(3, "test")), p)["w"].double().reshape(draws, 5)
    spacing = 1 / (2 ** (bits - 1) - 1)
    assert ((every.mean(0) - v).abs() <= 5 * spacing / 2 / draws**0.5).all()
    assert ((every - v).abs() <= spacing).all()
    assert every[:, 3].eq(0).all()
    assert every[:, 0].eq(1).all()
    assert len({*every[:, 1].tolist()}) == 2


@pytest.mark.parametrize(
    "kind", [TopK(0.1, bits=32), TopK(0.3, bits=4), EFSign(), LowRank(1)], ids=str
)
@given(seed=st.integers(0, 10**6))
@settings(max_examples=6)
def test_what_was_sent_and_what_is_kept_are_all_updates(kind: Compression, seed: int) -> None:
    """sum of C(p) + e = sum of u, in float64 to rounding; nothing is sent twice or lost."""
    algorithm, sent, total = kind.over(FedAvg()), [], []
    memory: Tree = algorithm.remember({"model": numbers(0, torch.float64)})
    for round in range(6):
        u = numbers(seed + round, torch.float64)
        reply, memory = algorithm.packed({"update": u}, memory, stream(0, "test", round))
        sent.append(algorithm.unpacked(reply, {"update": u})["update"])
        total.append(u)
    for n, e in memory["unsent"].items():
        kept = torch.stack([each[n] for each in sent]).sum(0) + e
        torch.testing.assert_close(kept, torch.stack([each[n] for each in total]).sum(0))
    assert any(bool(e.any()) for e in memory["unsent"].values())


def plan(*remedies: Remedy, algorithm: Algorithm | None = None, **changes: Any) -> Plan:
    usual: dict[str, Any] = {
        "network": ANN(FullyConnected((6,))),
        "learner": Backpropagation(None, SGD(0.1), batch_size=16),
        "partition": Given(tuple(np.array_split(np.arange(90), 3))),
        "fleet": Fleet(clients=3),
        "rounds": 2,
    }
    return Plan(data=SAMPLE, algorithm=algorithm or FedAvg(), remedies=remedies, **usual | changes)


def models_of(*plans: Plan) -> list[list[Round]]:
    return [list(rounds(each)) for each in plans]


SPARSE = {
    "latency": (SNN(3, FullyConnected((6,)), Latency()), Adam()),
    "ann": (ANN(FullyConnected((6,))), SGD(0.1)),
}


@pytest.mark.parametrize("name", SPARSE)
def test_the_lossless_upload_changes_no_bit_and_is_shorter(name: str) -> None:
    """A pixel that is black in all of a client's images is a column of zeros."""
    network, optimiser = SPARSE[name]
    learner = Backpropagation(None, optimiser, batch_size=16)
    plain, masked = models_of(
        *(plan(*r, network=network, learner=learner) for r in ((), (Lossless(),)))
    )
    for one, other in zip(plain, masked, strict=True):
        assert same(one.state.model, other.state.model)
        assert one.accuracy == other.accuracy
        assert other.uplink_bytes < one.uplink_bytes
    shards = np.array_split(SAMPLE.x_train[:90].reshape(90, -1), 3)
    black = sum(int((shard == 0).all(0).sum()) for shard in shards)
    assert masked[0].uplink_bytes <= plain[0].uplink_bytes - 4 * 6 * black + 3 * (4 + 98 + 1)


def test_a_form_of_each_kind_is_the_shortest() -> None:
    kind, draws = Lossless(), stream(0, "test")

    def length(weight: torch.Tensor) -> int:
        return len(kind.packed({"w": weight}, draws))

    whole, columns, one = torch.ones(8, 16), torch.zeros(8, 16), torch.zeros(8, 16)
    columns[:, 3], one[2, 5] = 1.0, 1.0
    assert length(whole) == 1 + 4 * 128
    assert length(columns) == 1 + 2 + 4 * 8
    assert length(one) == 1 + 16 + 4
    assert length(torch.zeros(9)) == 1 + 2
    assert length(torch.ones(2)) == 1 + 8


LENGTHS = {  # of the 6 x 784 + 6 + 10 x 6 + 10 = 4,780 numbers: 13 bits a position, 10 + 1 + 1 + 1 buckets
    TopK(0.01, bits=32): 48 * 4 + 48 * 13 / 8,
    TopK(0.5, bits=32): 2390 * 4 + 4780 / 8,
    TopK(0.1, bits=4): 478 / 2 + 4 + 4780 / 8,
    QSGD(8): 4780 + 13 * 4,
    QSGD(4): 2352 + 3 + 30 + 5 + 13 * 4,
    EFSign(): 588 + 1 + 8 + 2 + 4 * 4,
    LowRank(2): 4 * (2 * (6 + 784) + 6 + 2 * (10 + 6) + 10),
}


@pytest.mark.parametrize("kind", LENGTHS, ids=str)
def test_bytes_are_those_that_travel_and_feed_the_bill(kind: Compression) -> None:
    whole, packed = (next(rounds(plan(*remedies))) for remedies in ((), (kind,)))
    assert packed.uplink_bytes == 3 * int(np.ceil(LENGTHS[kind]))
    assert packed.unpacked_bytes == whole.uplink_bytes == 3 * 4 * 4780
    assert packed.downlink_bytes == whole.downlink_bytes
    record = round_record(packed)
    assert (record.uplink_bytes, record.unpacked_bytes) == (packed.uplink_bytes, 3 * 4 * 4780)
    assert round_record(whole).unpacked_bytes is None
    ours, theirs = (work(each.network, [round_record(each)]).training() for each in (packed, whole))
    assert ours["exchange"]["radio"]["uplink_bytes"] == packed.uplink_bytes
    assert ours["aggregation"] == theirs["aggregation"]  # the server adds up whole models


def test_the_other_groups_of_a_reply_travel_as_they_are() -> None:
    round = next(rounds(plan(EFSign(), algorithm=Scaffold())))
    assert round.uplink_bytes == 3 * (615 + 4 * 4780)
    assert set(round.state.clients[0]) == {"control", "unsent"}


def test_what_is_drawn_hangs_on_seed_round_and_client_alone() -> None:
    """A round alone from the state before it, and clients trained in another company, draw the same."""
    one, two = list(rounds(plan(QSGD(4))))
    again = next(rounds(plan(QSGD(4)), state=one.state))
    assert same(again.state.model, two.state.model)
    other = next(rounds(plan(QSGD(4), seed=1)))
    assert not same(other.state.model, one.state.model)
    order = order_of(plan(QSGD(4)))
    together = train_cohort(order.site, [0, 1, 2], order.received, {}, 1).replies
    for client in (0, 1, 2):
        alone = train_cohort(order.site, [client], order.received, {}, 1).replies[client]
        assert same(alone["update"], together[client]["update"])


def test_what_no_server_took_is_not_forgotten() -> None:
    """Where too few answer, no client remembers that it sent something."""
    fleet = Fleet(clients=3, dropout=0.5, quorum=1.0)
    every = list(rounds(plan(EFSign(), fleet=fleet, rounds=5)))
    short = [k for k in range(1, 5) if every[k].skipped and every[k].clients]
    assert short
    for k in short:
        assert every[k].state.remembered == every[k - 1].state.remembered


@pytest.mark.parametrize("kind", [TopK(0.1, bits=32), QSGD(8)], ids=str)
def test_the_engine_equals_the_plain_loop(kind: Compression) -> None:
    fleet = devices(tuple(np.array_split(np.arange(90), 3)), samples_per_round=20)
    engine = compare(NETWORKS["ann"], kind.over(FedAvg()), SGD(0.1), fleet)
    assert 7 * engine[-1].uplink_bytes < (engine[-1].unpacked_bytes or 0)


# ---- hostile and diverged clients ----


def order_of(one: Plan, number: int = 1) -> Order:
    site = one.site()
    server = site.algorithm.start(site.network.init(stream(0, "init")))
    return loop.order_for(one, site, State(number - 1, server), number)


ORDERS = {
    kind: order_of(plan(kind)) for kind in (TopK(0.01, bits=32), TopK(0.5, bits=32), *KINDS[3:])
}
HONEST = {
    kind: train_cohort(order.site, [0, 1, 2], order.received, {}, 1).replies
    for kind, order in ORDERS.items()
}


def bytes_of(kind: Compression, client: int = 0) -> bytes:
    return HONEST[kind][client]["update"]["bytes"].numpy().tobytes()


def row(content: bytes) -> Tree:
    return {"update": {"bytes": torch.tensor(list(content), dtype=torch.uint8)}}


@pytest.mark.parametrize("kind", ORDERS, ids=str)
@given(data=st.data())
@settings(max_examples=12)
def test_whatever_bytes_come_the_server_stays_finite(
    kind: Compression, data: st.DataObject
) -> None:
    """Unpacking ends in numbers of the right form or in an InputError, and the guard sees to the numbers."""
    good, order = bytes_of(kind), ORDERS[kind]
    changed = bytearray(good)
    for at in data.draw(st.lists(st.integers(0, len(good) - 1), max_size=30)):
        changed[at] = data.draw(st.integers(0, 255))
    start = data.draw(st.sampled_from([b"", b"\xff" * 4, b"\x00\x00\x80\x7f", b"\xff\xff\x7f\x7f"]))
    changed[: len(start)] = start
    length = data.draw(st.sampled_from([None, 1, len(good) // 2, len(good) - 1]))
    more = data.draw(st.sampled_from([b"", b"\0"]))
    content = bytes(changed[:length]) + more
    try:
        tree = unpacked(order, [0], row(content))
    except InputError:
        return
    assert len(content) == len(good) or kind == Lossless()
    replies = [Reply(0, 1, {0: 30}, tree)]
    verdict = judge(order, Answers({0: (0,)}, replies, {}, {}, {}, 0, 0))
    if verdict.accepted:
        assert all(t.isfinite().all() for t in tree["update"].values())
    else:
        assert verdict.rejections[0].reason in ("not finite", "too large")


def test_positions_levels_and_masks_that_cannot_be() -> None:
    short, long = TopK(0.01, bits=32), TopK(0.5, bits=32)
    last = 48 * 13 // 8
    twice = of_whole(np.zeros(48, np.int64), 13) + bytes_of(short)[last:]
    beyond = of_whole(np.arange(4733, 4781), 13) + bytes_of(short)[last:]
    fewer = bytes(598) + bytes_of(long)[598:]
    level = bytes_of(QSGD(8))[:100] + b"\xff" + bytes_of(QSGD(8))[101:]
    for kind, content, words in [
        (short, twice, "do not rise"),
        (short, beyond, "none of 4780"),
        (long, fewer, "0 positions, not 2390"),
        (QSGD(8), level, "a level of 128, above 127"),
        (Lossless(), b"\x03" + bytes_of(Lossless())[1:], "a form 3"),
        (EFSign(), bytes_of(EFSign()) + b"\0", "1 bytes too many"),
        (EFSign(), bytes_of(EFSign())[:-1], "1 bytes too few"),
    ]:
        with pytest.raises(InputError, match=words):
            unpacked(ORDERS[kind], [0], row(content))


@pytest.mark.parametrize(
    "group",
    [
        {},
        {"bytes": torch.zeros(5)},
        {"bytes": torch.zeros(5, 1, dtype=torch.uint8)},
        {"bytes": torch.zeros(5, dtype=torch.uint8), "more": torch.zeros(1)},
        {"hidden.weight": torch.zeros(6, 784)},
    ],
)
def test_what_is_no_row_of_bytes(group: Parameters) -> None:
    with pytest.raises(InputError, match="one row of bytes"):
        unpacked(ORDERS[EFSign()], [0], {"update": group})


def test_a_node_with_many_clients_sends_each_ones_bytes() -> None:
    """And the guard says what is missing, as of any reply."""
    order, replies, samples = ORDERS[EFSign()], HONEST[EFSign()], {0: 30, 2: 30}
    sent = one_reply(order.site.algorithm, {k: replies[k] for k in samples}, samples)
    assert set(sent) == {"0/update", "2/update"}
    assert count_bytes(sent) == 2 * 615
    tree = unpacked(order, samples, sent)
    assert all(
        same(tree[f"{k}/update"], unpacked(order, [k], replies[k])["update"]) for k in samples
    )
    answers = Answers({9: (0, 2)}, [Reply(9, 1, samples, tree)], {}, {}, {}, 0, 0)
    assert judge(order, answers).clients == (0, 2)
    del sent["2/update"]
    less = replace(answers.replies[0], tree=unpacked(order, samples, sent))
    (rejection,) = judge(order, replace(answers, replies=[less])).rejections
    assert rejection.reason == "wrong names"


@pytest.mark.parametrize("kind", [TopK(), QSGD(), EFSign(), LowRank(), Lossless()], ids=str)
def test_a_diverged_client_is_refused_as_such_and_keeps_its_memory(kind: Compression) -> None:
    algorithm = kind.over(FedAvg())
    u = numbers(1)
    memory: Tree = algorithm.remember({"model": u})
    bad = u | {"a.bias": u["a.bias"] / 0}
    reply, after = algorithm.packed({"update": bad}, memory, stream(0, "test"))
    assert after is memory
    assert reply["update"]["bytes"].numel() == 0
    assert all(t.isnan().all() for t in algorithm.unpacked(reply, {"update": u})["update"].values())
    order = ORDERS[EFSign()]
    replies = [Reply(0, 1, {0: 30}, unpacked(order, [0], row(b"")))]
    (rejection,) = judge(order, Answers({0: (0,)}, replies, {}, {}, {}, 0, 0)).rejections
    assert rejection.reason == "not finite"


# ---- bad input ----


def test_settings_that_cannot_be() -> None:
    with pytest.raises(InputError, match=r"share = 1\.5"):
        TopK(share=1.5)
    with pytest.raises(InputError, match=r"share = 0"):
        TopK(share=0.0)
    with pytest.raises(InputError, match=r"bits = 5"):
        QSGD(bits=5)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"rank = 0"):
        LowRank(0)
    with pytest.raises(InputError, match=r"rank = 7 for a network whose weights have at most 6"):
        plan(LowRank(7)).site()
    with pytest.raises(InputError, match="packed already"):
        plan(TopK(), Clipping(), EFSign()).remedied()


@pytest.mark.parametrize("kind", [TopK(), EFSign(), LowRank(1)], ids=str)
def test_what_is_kept_is_not_sent_for_other_neurons(kind: Compression) -> None:
    rolling = FedRolex((1.0, 0.5))
    for both in ((rolling, kind), (kind, rolling)):
        with pytest.raises(InputError, match="other neurons in each round"):
            plan(*both)
    plan(rolling, QSGD())
    plan(FedRolex((1.0,)), kind)
