"""What a device does in its round beside a learner's gradients: which samples come, and how steps are made.

That it equals torch's optimisers and the plain loop is in test_engine_equals_reference.py; that it resumes
bit for bit, here and on nodes, in test_places.py.
"""

import pytest
import torch

from fedspike.algorithms import Scaffold
from fedspike.data import load_data
from fedspike.errors import InputError
from fedspike.federation.plan import Plan
from fedspike.federation.rounds import rounds
from fedspike.layers.operations import INFERENCE
from fedspike.learning import Backpropagation, Shown
from fedspike.learning.batches import balanced
from fedspike.learning.minibatches import uphill
from fedspike.networks import ANN, FullyConnected
from fedspike.parts.codes import Address
from fedspike.parts.losses import CrossEntropy, VacantClasses
from fedspike.parts.optimisers import SGD, Adam
from fedspike.parts.schedules import Exponential


def test_classes_come_equally_often() -> None:
    """Of 20 samples, in each of two epochs; a rare one comes again, and of many not all come."""
    labels = torch.tensor([0] * 16 + [1] * 3 + [2] * 1)
    own = torch.cat([torch.randperm(20), torch.randperm(20)])
    where = Address(0, "encode", 1, (4,), (0,))
    shown = Shown(torch.zeros(20, 1), labels, [own], where)
    (drawn,) = balanced(shown, epochs=2).positions
    for epoch in drawn.reshape(2, 20):
        assert sorted(labels[epoch].bincount().tolist()) == [6, 7, 7]
        times = epoch.bincount(minlength=20)
        assert times[:16].max() == 1
        assert times[16:19].max() - times[16:19].min() <= 1
    assert not torch.equal(drawn[:20], drawn[20:])
    assert torch.equal(balanced(shown, epochs=2).positions[0], drawn)


def test_an_ascent_is_as_long_as_it_says_and_goes_along_the_gradient() -> None:
    w = {"a": torch.zeros(2, 2), "b": torch.zeros(2, 1), "mean": torch.ones(2)}
    g = {"a": torch.tensor([[3.0, 0.0], [0.0, 0.0]]), "b": torch.tensor([[4.0], [0.0]])}
    up = uphill(w, g, 0.5)
    torch.testing.assert_close(up["a"], torch.tensor([[0.3, 0.0], [0.0, 0.0]]))
    torch.testing.assert_close(up["b"], torch.tensor([[0.4], [0.0]]))
    assert up["mean"] is w["mean"]


def test_momentum_is_no_plain_descent_and_nesterovs_needs_some() -> None:
    assert SGD(weight_decay=0.1).plain
    with pytest.raises(InputError, match="scaffold with the optimiser sgd"):
        Plan(
            network=ANN(),
            data=load_data("fashion-mnist-sample"),
            learner=Backpropagation(optimiser=SGD(momentum=0.5)),
            algorithm=Scaffold(),
        )
    with pytest.raises(InputError, match="looks ahead without momentum"):
        SGD(nesterov=True)


def test_what_is_kept_stays_on_the_device() -> None:
    """Nothing more is sent; it is kept for each client; without moments there is nothing to keep."""

    def last(optimiser: Adam | SGD, memory: str) -> tuple[int, set[str]]:
        plan = Plan(
            network=ANN(FullyConnected((3,))),
            data=load_data("fashion-mnist-sample"),
            learner=Backpropagation(None, optimiser, optimiser_memory=memory),  # type: ignore[arg-type]
            rounds=1,
        )
        (only,) = rounds(plan)
        groups = {name for own in only.state.clients.values() for name in own}
        return only.uplink_bytes, groups

    sent, nothing = last(Adam(), "forgotten")
    assert nothing == set()
    assert last(Adam(), "kept") == (sent, {"learner"})
    assert last(SGD(), "kept") == (sent, set())


def test_a_rate_never_vanishes() -> None:
    assert Adam(schedule=Exponential(0.1)).in_round(10**6).learning_rate > 0
    assert Adam().in_round(7) == Adam()


def test_what_is_done_besides_is_counted() -> None:
    """The received model's forward pass; an ascent's two products and sums of each parameter."""
    network = ANN(FullyConnected((3,))).over((4,), 2)
    plain, kept = (
        Backpropagation(loss).trains(network).layers["hidden"].trained
        for loss in (CrossEntropy(), VacantClasses())
    )
    for phase, rows in plain.items():
        times = 2 if phase in INFERENCE else 1
        assert kept[phase] == {
            per: {name: times * n for name, n in row.items()} for per, row in rows.items()
        }
    table = Backpropagation(optimiser=SGD(), ascent=0.1).operations()
    assert table == {"optimiser": {"parameter and batch": {"multiply": 3, "add": 3}}}
