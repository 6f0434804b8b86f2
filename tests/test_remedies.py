"""A remedy is for any algorithm, and changes no more than it says."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from algorithms_example import CASES
from fedspike.algorithms import Algorithm
from fedspike.data import load_data
from fedspike.errors import InputError
from fedspike.federation.devices import Fleet, Given
from fedspike.federation.plan import Plan
from fedspike.federation.rounds import Round, rounds
from fedspike.federation.state import State
from fedspike.learning import Backpropagation
from fedspike.networks import ANN, SNN, FullyConnected
from fedspike.remedies import (
    QSGD,
    REMEDIES,
    Clipping,
    Compression,
    EFSign,
    FedRolex,
    FewerSteps,
    HeteroFL,
    Lossless,
    LowRank,
    MixedLearners,
    Remedy,
    SmallerParts,
    TopK,
)
from fedspike.remedies.clipping import clipped
from test_engine_equals_reference import compared

SAMPLE = load_data("fashion-mnist-sample")
# Each remedy at a setting at which it does nothing, and one at which it does something, if there are such.
EXAMPLES: dict[type[Remedy], tuple[Remedy | None, Remedy | None]] = {
    Clipping: (Clipping(norm=1e9), Clipping(norm=0.01)),
    HeteroFL: (HeteroFL(widths=(1.0,)), HeteroFL(widths=(0.5,))),
    FedRolex: (FedRolex(widths=(1.0,)), FedRolex(widths=(0.5,))),
    FewerSteps: (FewerSteps((3,)), FewerSteps((3, 2))),
    MixedLearners: (MixedLearners(("own",)), MixedLearners(("own", "ottt"))),
    SmallerParts: (SmallerParts(("all", 16)), SmallerParts((5,))),
    TopK: (TopK(share=1.0, bits=32), TopK(share=0.1)),
    QSGD: (None, QSGD(bits=4)),
    EFSign: (None, EFSign()),
    LowRank: (LowRank(rank=6), LowRank(rank=1)),
    Lossless: (Lossless(), None),
}
IN_TIME = (FewerSteps, MixedLearners)


def play(name: str, *remedies: Remedy, spiking: bool = False) -> list[Round]:
    return list(rounds(plan_of(name, *remedies, spiking=spiking)))


def plan_of(name: str, *remedies: Remedy, spiking: bool = False, **changes: Any) -> Plan:
    hidden = FullyConnected((6,))
    usual: dict[str, Any] = {
        "network": SNN(3, hidden) if spiking else ANN(hidden),
        "data": SAMPLE,
        "partition": Given(tuple(np.array_split(np.arange(90), 3))),
        "fleet": Fleet(clients=3),
        "learner": Backpropagation(None, CASES[name].optimiser(), batch_size=16),
        "algorithm": CASES[name].algorithm,
        "remedies": remedies,
        "rounds": 2,
    }
    return Plan(**usual | changes)


def refusal(algorithm: Algorithm, kind: type[Remedy]) -> str:
    """Why a remedy cannot be over an algorithm, or nothing."""
    if kind in (*IN_TIME, SmallerParts):
        return ""
    if kind is Clipping or issubclass(kind, Compression):
        return "" if "update" in algorithm.joining() else "send no update"
    if not all(rule.by_number for rule in algorithm.joining().values()):
        return "joins whole neurons"
    if kind is not FedRolex:
        return ""
    if algorithm.waits_for:
        return "waits for all"
    return "other neurons" if algorithm.models_remembered or algorithm.personal else ""


def test_every_remedy_is_in_the_contract() -> None:
    assert set(EXAMPLES) == set(REMEDIES)


# Of the kinds that are alike to an algorithm one is tried with all, and the others with a few. Clients that
# send nothing have nothing to compare.
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (name, kind)
        for kind in EXAMPLES
        for name in CASES
        if CASES[name].algorithm.joining()
        and (kind in (Clipping, HeteroFL, TopK) or name in ("fedavg", "scaffold", "fedper"))
    ],
)
def test_it_goes_with_every_algorithm(name: str, kind: type[Remedy]) -> None:
    idle, active = EXAMPLES[kind]
    if active and refusal(CASES[name].algorithm, kind):
        with pytest.raises(InputError, match=refusal(CASES[name].algorithm, kind)):
            play(name, active)
        return
    spiking = kind in IN_TIME
    plain = play(name, spiking=spiking)
    if idle:
        for a, b in zip(plain, play(name, idle, spiking=spiking), strict=True):
            after = b.state.tensors()
            assert all(torch.equal(t, after[key]) for key, t in a.state.tensors().items())
    if active:
        last = play(name, active, spiking=spiking)[-1]
        fewer = kind in (HeteroFL, FedRolex) or issubclass(kind, Compression)
        assert (last.uplink_bytes < plain[-1].uplink_bytes) is fewer
        assert fewer or last.uplink_bytes == plain[-1].uplink_bytes
        assert not torch.equal(
            last.state.model["hidden.weight"], plain[-1].state.model["hidden.weight"]
        )


@pytest.mark.parametrize("kind", EXAMPLES, ids=lambda kind: kind.__name__)
def test_it_resumes_bit_for_bit_and_is_the_plain_loop(kind: type[Remedy]) -> None:
    idle, active = EXAMPLES[kind]
    remedy = active or idle
    assert remedy
    name = "fedavg" if kind in (*IN_TIME, FedRolex) else "scaffold"
    plan = plan_of(name, remedy, spiking=kind in IN_TIME, fleet=Fleet(3, dropout=0.3), rounds=4)
    whole = list(rounds(plan))
    stored = State.from_tensors(2, whole[1].state.tensors())
    last = list(rounds(plan, state=stored))[-1].state.tensors()
    before = whole[-1].state.tensors()
    assert last.keys() == before.keys()
    assert all(torch.equal(last[name], tensor) for name, tensor in before.items())
    if kind is not MixedLearners:  # whose learners the plain loop does not have
        compared(plan)
        return
    with pytest.raises(InputError, match="learner ottt in the reference"):
        compared(plan)


@given(st.integers(0, 1000), st.floats(1e-3, 1e3))
def test_clipping_bounds_the_norm_and_keeps_the_direction(seed: int, norm: float) -> None:
    draw = torch.Generator().manual_seed(seed)
    update = {"w": torch.randn(3, 4, 2, generator=draw), "b": torch.randn(3, 5, generator=draw)}
    update["w"][2], update["b"][2] = 0.0, 0.0  # a client whose update is zero
    flat = torch.cat([tensor.flatten(1) for tensor in update.values()], 1)
    ours = torch.cat([tensor.flatten(1) for tensor in clipped(update, norm).values()], 1)
    length = flat.norm(dim=1)
    torch.testing.assert_close(ours.norm(dim=1), length.clamp(max=norm))
    torch.testing.assert_close(ours * length[:, None], flat * ours.norm(dim=1)[:, None])
    assert torch.equal(ours[length <= norm], flat[length <= norm])


def test_impossible_clipping() -> None:
    with pytest.raises(InputError, match=r"norm = 0"):
        Clipping(norm=0.0)
