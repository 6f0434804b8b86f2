"""What each server makes of its clients: against Flower's rules, against torch, and by hand."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import ArrayRecord, MetricRecord, RecordDict
from flwr.serverapp import strategy

from fedspike.algorithms import (
    Algorithm,
    Client,
    FedAdagrad,
    FedAvgM,
    FedExP,
    FedYogi,
    LocalModel,
    Tree,
)
from fedspike.networks import Parameters
from fedspike.rules import joined

SAMPLES = torch.tensor([30, 10, 20])
TAU = 2.0**-10
SHAPES = {"hidden.weight": (4, 3), "hidden.bias": (4,)}


def drawn(seed: int) -> Parameters:
    random = np.random.default_rng(seed)
    return {name: torch.from_numpy(random.normal(size=shape)) for name, shape in SHAPES.items()}


def stepped(algorithm: Algorithm, server: Tree, models: list[Parameters]) -> Tree:
    """The server's state after one round in which these models were trained, all in as many steps."""
    received = algorithm.order(server, 0)
    alone = {group: {n: t[None] for n, t in own.items()} for group, own in received.items()}
    replies = []
    for model in models:
        client = Client(
            alone,
            {
                g: {n: t[None] for n, t in own.items()}
                for g, own in algorithm.remember(received).items()
            },
        )
        trained = LocalModel(
            {n: t[None] for n, t in model.items()}, torch.ones(1, dtype=torch.int64), 0.1
        )
        replies.append(algorithm.answer(client, trained)[0])
    rules = algorithm.joining()
    together = {
        group: joined(
            rule,
            [{n: t[0] for n, t in reply[group].items()} for reply in replies],
            SAMPLES[: len(models)],
        )
        for group, rule in rules.items()
    }
    return algorithm.next_state(server, together, 1.0)


def message(model: Parameters, samples: int) -> Any:
    content = RecordDict(
        {
            "arrays": ArrayRecord(dict(model)),
            "metrics": MetricRecord({"num-examples": samples}),
        }
    )
    # A message of a run is made by the run alone; the rules read no more than this of it.
    return SimpleNamespace(content=content, has_error=lambda: False)


RULES: dict[str, tuple[Algorithm, Callable[[], strategy.Strategy]]] = {
    "fedavgm": (
        FedAvgM(beta=0.7, learning_rate=0.5),
        lambda: strategy.FedAvgM(server_learning_rate=0.5, server_momentum=0.7),
    ),
    "fedyogi": (
        FedYogi(learning_rate=0.1, tau=TAU),
        lambda: strategy.FedYogi(eta=0.1, beta_1=0.9, beta_2=0.99, tau=TAU),
    ),
    "fedadagrad": (
        FedAdagrad(learning_rate=0.1, tau=TAU),
        lambda: strategy.FedAdagrad(eta=0.1, tau=TAU),
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_one_round_is_flowers(name: str) -> None:
    """From the second moment that the paper begins with; Flower begins with zero."""
    algorithm, make = RULES[name]
    model, trained = drawn(0), [drawn(seed) for seed in (1, 2, 3)]
    ours = stepped(algorithm, algorithm.start(model), trained)["model"]
    theirs: Any = make()
    if name == "fedavgm":
        theirs.current_arrays = ArrayRecord(dict(model))
    else:
        theirs.current_arrays = {n: weight.numpy() for n, weight in model.items()}
        theirs.v_t = {n: np.full(shape, TAU**2) for n, shape in SHAPES.items()}
    replies = [message(one, int(n)) for one, n in zip(trained, SAMPLES, strict=True)]
    arrays, _ = theirs.aggregate_train(1, replies)
    assert arrays
    for key, array in arrays.items():
        np.testing.assert_allclose(ours[key].numpy(), array.numpy(), rtol=1e-6, atol=1e-9)


def test_momentum_on_the_server_is_torchs() -> None:
    algorithm = FedAvgM(beta=0.9, learning_rate=0.3)
    server = algorithm.start(drawn(0))
    weights = {name: weight.clone().requires_grad_() for name, weight in drawn(0).items()}
    torchs = torch.optim.SGD(weights.values(), lr=0.3, momentum=0.9)
    for round in range(3):
        trained = [drawn(3 * round + n + 1) for n in range(3)]
        for name, weight in weights.items():
            mean = sum(n * one[name] for n, one in zip(SAMPLES.tolist(), trained, strict=True)) / 60
            weight.grad = server["model"][name] - mean
        server = stepped(algorithm, server, trained)
        torchs.step()
        for name, weight in weights.items():
            torch.testing.assert_close(server["model"][name], weight.detach())


def test_extrapolation_by_hand() -> None:
    """Two clients that go 3 and -1: d = 1, so eta = ((9 + 1) / 2) / (2 (1 + epsilon))."""
    algorithm = FedExP(epsilon=0.5)
    model = {"a": torch.zeros(1, dtype=torch.float64)}
    ahead, back = ({"a": torch.tensor([x], dtype=torch.float64)} for x in (3.0, -1.0))
    received = {"model": {"a": model["a"][None]}}
    replies = []
    for one in (ahead, back):
        trained = LocalModel({"a": one["a"][None]}, torch.ones(1, dtype=torch.int64), 0.1)
        replies.append(algorithm.answer(Client(received, {}), trained)[0])
    equal = torch.tensor([1, 1])
    together = {
        group: joined(
            rule, [{n: t[0] for n, t in reply[group].items()} for reply in replies], equal
        )
        for group, rule in algorithm.joining().items()
    }
    after = algorithm.next_state(algorithm.start(model), together, 1.0)
    w = 5 / (2 * 1.5) * 1.0
    assert float(algorithm.order(after, 0)["model"]["a"]) == pytest.approx(w)
    assert float(after["model"]["a"]) == pytest.approx(w / 2)


def test_fedexps_lengths_hang_on_no_company_and_no_threads() -> None:
    """Torch's own sum over all numbers of a client alone is another one with two threads."""
    w = torch.randn(3, 100_001, generator=torch.Generator().manual_seed(0))
    received = {"model": {"a": torch.zeros(1, 100_001)}}

    def lengths(trained: torch.Tensor) -> list[float]:
        local = LocalModel({"a": trained}, torch.ones(len(trained), dtype=torch.int64), 0.1)
        reply, _ = FedExP().answer(Client(received, {}), local)
        return reply["square"]["length"][:, 0].tolist()

    threads, found = torch.get_num_threads(), []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            found += [lengths(w), [lengths(own[None])[0] for own in w]]
    finally:
        torch.set_num_threads(threads)
    assert all(own == found[0] for own in found)
