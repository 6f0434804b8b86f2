"""Every algorithm as the contract tests take it; a new one is one entry in CASES."""

from dataclasses import dataclass, replace
from typing import Any

import msgspec
import tomli_w

from fedspike.algorithms import (
    ALGORITHMS,
    MIFA,
    MOON,
    Algorithm,
    Ditto,
    FedAdagrad,
    FedAdam,
    FedAsync,
    FedAvg,
    FedAvgM,
    FedBN,
    FedBuff,
    FedDyn,
    FedExP,
    FedNova,
    FedPer,
    FedProx,
    FedRep,
    FedYogi,
    Gossip,
    LocalOnly,
    NeuronMatching,
    NeuronUnion,
    RelaySum,
    Scaffold,
)
from fedspike.algorithms.graphs import Complete
from fedspike.parts.optimisers import SGD, Adam
from fedspike.rules import Mean

HEAD = 8 * 10 + 10  # numbers of the last layer of the network with which bytes are counted


@dataclass(frozen=True)
class Case:
    """An algorithm at a setting at which it is not FedAvg, and one at which it is, for one client or for any,
    if there is one.

    `up` and `down` say how many models' worth of numbers travel each way, `numbers` how many more go up.
    Where clients stay near the model that they received, or all make as many steps, an algorithm may do as
    FedAvg does; then it does not `differ`. `learns` is what it passes where the rest passes 30 %.
    """

    algorithm: Algorithm
    neutral: Algorithm | None
    one_client: bool = False
    up: int = 1
    numbers: int = 0
    down: int = 1
    differs: bool = True
    any_network: bool = True
    learns: float = 0.3

    @property
    def patient(self) -> "Case":
        """The case at a setting at which the server waits for all; late answers have tests of their own."""
        if self.algorithm.waits_for is None:
            return self
        assert self.neutral
        return replace(self, algorithm=self.neutral)

    def optimiser(self, otherwise: SGD | Adam | None = None) -> SGD | Adam:
        """One with which it goes together."""
        return SGD(0.1) if self.algorithm.needs_sgd else otherwise or Adam()

    def toml(self) -> str:
        """The algorithm and its optimiser in an experiment's file."""
        algorithm: dict[str, Any] = msgspec.to_builtins(self.algorithm)
        algorithm.pop("rule", None)
        optimiser = {"kind": "sgd", "learning_rate": 0.05}
        return tomli_w.dumps(
            {"algorithm": algorithm}
            | ({"optimiser": optimiser} if self.algorithm.needs_sgd else {})
        )


CASES = {
    "fedavg": Case(FedAvg(), FedAvg()),
    "fedbuff": Case(FedBuff(buffer=2), FedBuff(rule=Mean())),
    "fedasync": Case(
        FedAsync(), FedAsync(mixing=1.0, staleness_exponent=0.0, answers=10, rule=Mean()), numbers=1
    ),
    "moon": Case(MOON(), MOON(mu=0.0)),
    "fedprox": Case(FedProx(mu=0.5), FedProx(mu=0.0)),
    "neuron-matching": Case(
        NeuronMatching(), NeuronMatching(), one_client=True, differs=False, any_network=False
    ),
    # It is made for neurons that compete: those of one client learn by gradients to answer together.
    "neuron-union": Case(
        NeuronUnion(), NeuronUnion(alike=1.0), one_client=True, learns=0.05, any_network=False
    ),
    "scaffold": Case(Scaffold(), Scaffold(), one_client=True, up=2, down=2),
    "fedavgm": Case(FedAvgM(), FedAvgM(beta=0.0)),
    "fednova": Case(FedNova(), FedNova(), one_client=True, numbers=1, differs=False),
    "mifa": Case(MIFA(), MIFA(), one_client=True),
    "fedexp": Case(FedExP(), FedExP(average=False), one_client=True, numbers=1),
    "feddyn": Case(FedDyn(alpha=0.1), None),
    "fedyogi": Case(FedYogi(), FedYogi(learning_rate=2.0**-9, beta1=0.0, beta2=1.0, tau=2.0**-10)),
    "fedadagrad": Case(
        FedAdagrad(learning_rate=0.03), FedAdagrad(learning_rate=2.0**21, tau=2.0**20)
    ),
    "fedper": Case(FedPer(), None, numbers=-HEAD),
    "fedrep": Case(FedRep(), None, numbers=-HEAD),
    "fedbn": Case(FedBN(), FedBN(), differs=False),
    "ditto": Case(Ditto(), Ditto(), differs=False),
    # Each client's own model on all classes, from few neighbours of whom one is away in each round.
    "gossip": Case(Gossip(), Gossip(graph=Complete(), mixings=2), one_client=True, learns=0.2),
    "relay-sum": Case(RelaySum(), RelaySum(), one_client=True, learns=0.15),
    "local-only": Case(LocalOnly(), None, up=0),
    "fedadam": Case(FedAdam(), FedAdam(learning_rate=2.0**-9, beta1=0.0, beta2=1.0, tau=2.0**-10)),
}

# Those whose clients train in a way of their own; those of the others train as FedAvg's do.
TRAINED = {
    name: case
    for name, case in CASES.items()
    if name == "fedavg"
    or case.algorithm.corrects
    or case.algorithm.models_compared
    or type(case.algorithm).begin is not Algorithm.begin
}

# Those that take networks of more than one hidden layer, of convolutions, and with a normalisation.
ANYWHERE = {name: case for name, case in CASES.items() if case.any_network}


def missing() -> set[str]:
    """The algorithms that have no case."""
    return {str(kind.__struct_config__.tag) for kind in ALGORITHMS} ^ CASES.keys()
