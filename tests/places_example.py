"""Plans with every kind of learner, algorithm, rule and remedy, small enough to be trained everywhere."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch

from algorithms_example import CASES
from fedspike.algorithms import (
    Algorithm,
    Client,
    FedAvg,
    FedBuff,
    FedProx,
    LocalModel,
    NeuronMatching,
    NeuronUnion,
    Scaffold,
    Tree,
    added,
    difference,
)
from fedspike.data import load_data
from fedspike.data.partition import Classes, Quantity
from fedspike.federation.availabilities import ByClass
from fedspike.federation.devices import Fleet
from fedspike.federation.plan import Plan
from fedspike.federation.selections import PowerOfChoice
from fedspike.learning import OTTT, STDP, Backpropagation, EProp
from fedspike.networks import ANN, SNN, FullyConnected, Parameters
from fedspike.parts.codes import Latency
from fedspike.parts.losses import VacantClasses
from fedspike.parts.neurons import Competitive
from fedspike.parts.optimisers import SGD, Adam
from fedspike.parts.read_outs import MeanMembrane
from fedspike.parts.schedules import Exponential
from fedspike.remedies import (
    QSGD,
    Clipping,
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
from fedspike.rules import Maximum, Median, Replies, Rule, Strongest

SAMPLE = load_data("fashion-mnist-sample")
SMALL = dataclasses.replace(  # where all samples are trained on
    SAMPLE,
    **{f"{array}_train": getattr(SAMPLE, f"{array}_train")[:400] for array in "xy"},
    **{f"{array}_test": getattr(SAMPLE, f"{array}_test")[:100] for array in "xy"},
)


class Overlapping(Rule, tag="test-overlapping"):
    """The mean of each row over the clients that sent it."""

    def join(self, replies: Replies) -> Parameters:
        widest = max(replies.trees, key=lambda reply: len(reply["hidden.bias"]))
        total = {name: torch.zeros_like(t, dtype=torch.float64) for name, t in widest.items()}
        count = {name: torch.zeros(len(t), dtype=torch.float64) for name, t in widest.items()}
        for reply in replies.trees:
            for name, tensor in reply.items():
                total[name][: len(tensor)] += tensor
                count[name][: len(tensor)] += 1
        return {n: t / count[n].reshape(-1, *[1] * (t.dim() - 1)) for n, t in total.items()}


class Halves(Algorithm, tag="test-halves"):
    """Odd clients receive, and answer with, half of the hidden neurons; the others of theirs are 0.

    A simple form of HeteroFL (Diao, Ding, Tarokh, ICLR 2021).
    """

    rule: Rule = Overlapping()

    def order(self, server: Tree, client: int) -> Tree:
        model = server["model"]
        rows = len(model["hidden.bias"]) // (1 + client % 2)
        hidden = {n: w[:rows] for n, w in model.items() if n.startswith("hidden")}
        return {"model": model | hidden}

    def joining(self) -> Mapping[str, Rule]:
        return {"update": self.rule}

    def next_state(self, server: Tree, joined: Tree, participation: float) -> Tree:
        del participation
        return {"model": added(server["model"], joined["update"])}

    def begin(self, client: Client) -> Parameters:
        width = client.received["model"]["output.weight"].shape[2]
        return {
            name: torch.cat([w, w.new_zeros(len(w), width - w.shape[1], *w.shape[2:])], 1)
            if name.startswith("hidden")
            else w
            for name, w in client.received["model"].items()
        }

    def answer(self, client: Client, trained: LocalModel) -> tuple[Tree, Tree]:
        received = client.received["model"]
        sent = {n: trained.parameters[n][:, : w.shape[1]] for n, w in received.items()}
        return {"update": difference(sent, received)}, client.memory


ALGORITHMS: dict[str, Algorithm] = {
    **{name: case.algorithm for name, case in CASES.items()},
    "median": FedAvg(rule=Median()),
    "halves": Halves(),
}


CLIPPING = Clipping(norm=2.0)


def plan_of(algorithm: Algorithm, *remedies: Remedy, **changes: Any) -> Plan:
    usual: dict[str, Any] = {
        "data": SAMPLE,
        "network": ANN(FullyConnected((6,))),
        "learner": Backpropagation(None, SGD(0.1), batch_size=16),
        "fleet": Fleet(clients=5, clients_per_round=4, samples_per_round=30),
        "rounds": 3,
    }
    return Plan(algorithm=algorithm, remedies=remedies, **usual | changes)


def local_plan(algorithm: Algorithm, **learner: Any) -> Plan:
    """Of neurons that compete and learn by a local rule, on clients with unlike numbers of samples."""
    return plan_of(
        algorithm,
        network=SNN(
            5, FullyConnected((12,)), neuron=Competitive(threshold=4.0), read_out=MeanMembrane()
        ),
        learner=STDP(**learner),
        data=SMALL,
        partition=Quantity(2.0),
        fleet=Fleet(clients=5, clients_per_round=4),
    )


def memory(*kilobytes: float) -> Fleet:
    """Of devices of which some take no part."""
    return Fleet(clients=5, samples_per_round=30, memory_kb=kilobytes, unfit="absent")


PLANS: dict[str, Plan] = {
    **{
        name: plan_of(algorithm, *[CLIPPING] * ("update" in algorithm.joining()))
        for name, algorithm in ALGORITHMS.items()
    },
    "chosen-by-loss": plan_of(
        FedAvg(),
        partition=Classes(3),
        fleet=Fleet(
            clients=5,
            clients_per_round=2,
            samples_per_round=30,
            selection=PowerOfChoice(3),
            availability=ByClass(0.5),
        ),
    ),
    "stdp": local_plan(FedAvg(rule=Strongest()), output="share", epochs=2),
    "stdp-supervised": local_plan(FedAvg(rule=Maximum()), output="supervised", output_epochs=2),
    "stdp-union": local_plan(NeuronUnion()),
    "stdp-matching": local_plan(NeuronMatching(), allotted=True),
    "ottt": plan_of(
        Scaffold(), network=SNN(2, FullyConnected((6, 5))), learner=OTTT(optimiser=SGD(0.1))
    ),
    "e-prop": plan_of(
        FedProx(mu=0.5), network=SNN(2, FullyConnected((6, 5))), learner=EProp(feedback="random")
    ),
    "local-training": plan_of(
        FedProx(mu=0.5),
        network=SNN(2, FullyConnected((6,)), read_out=MeanMembrane()),
        learner=Backpropagation(
            *(VacantClasses(), Adam(schedule=Exponential(0.5))),
            batch_size=16,
            optimiser_memory="kept",
            balanced=True,
            ascent=0.1,
        ),
        partition=Classes(5),
    ),
    "heterofl": plan_of(
        *(FedAvg(), HeteroFL(), CLIPPING),
        network=ANN(FullyConnected((16,))),
        fleet=memory(600, 450, 1),
    ),
    "fedrolex": plan_of(FedAvg(rule=Median()), FedRolex(widths=(1.0, 0.5, 0.25)), CLIPPING),
    "top-k": plan_of(FedAvg(), TopK(0.1), CLIPPING),
    "qsgd": plan_of(FedBuff(buffer=3), QSGD(bits=4)),
    "ef-sign": plan_of(Scaffold(), EFSign()),
    "low-rank": plan_of(FedAvg(), HeteroFL((1.0, 0.5)), LowRank(1)),
    "lossless": plan_of(
        FedAvg(rule=Median()), Lossless(), network=SNN(2, FullyConnected((6,)), Latency())
    ),
    "ways-to-fit": plan_of(
        FedAvg(),
        FewerSteps((8, 4)),
        HeteroFL((1.0, 1.0, 0.5)),
        MixedLearners(("own", "ottt", "e-prop")),
        SmallerParts(("all", "all", "all", 5)),
        network=SNN(8, FullyConnected((8,)), read_out=MeanMembrane()),
    ),
}
