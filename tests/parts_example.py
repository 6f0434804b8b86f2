"""Examples of every kind, on which the laws of its family are tested; test_parts.py says if one is missing.

A new kind gets its row here, and all tests of its family are run on it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

import msgspec
import torch
from hypothesis import strategies as st
from torch import Tensor

from algorithms_example import CASES
from fedspike.algorithms import Algorithm
from fedspike.algorithms.graphs import (
    Complete,
    Edges,
    Graph,
    Matrix,
    RandomRegular,
    Ring,
    Torus,
    Tree,
)
from fedspike.data import (
    GTSRB,
    NPZ,
    CSVTable,
    FashionMNIST,
    FashionMNISTSample,
    ImageFolder,
    Signs,
    Source,
    TorchvisionSet,
)
from fedspike.data.events.cochlea import Cochlea
from fedspike.data.events.event_folder import EventFolder
from fedspike.data.events.tonic_sets import TonicSet
from fedspike.data.partition import (
    IID,
    Centralised,
    Classes,
    Dirichlet,
    EqualDirichlet,
    Natural,
    OnDevices,
    Partition,
    Quantity,
    Resampled,
    Roads,
    Shards,
    SharedClasses,
)
from fedspike.federation.availabilities import Always, Availability, ByClass, Daily, Trace
from fedspike.federation.clocks import ByOperations, Clock, Untimed
from fedspike.federation.selections import PowerOfChoice, Selection, Uniform, Weighted
from fedspike.learning import OTTT, STDP, Backpropagation, EProp, Learner
from fedspike.networks import (
    ANN,
    QANN,
    SNN,
    Architecture,
    Convolutional,
    FullyConnected,
    Network,
)
from fedspike.part import Part
from fedspike.parts.codes import (
    AsRecorded,
    Burst,
    Code,
    Contrast,
    Delta,
    Direct,
    Latency,
    Phase,
    Rate,
    ReceptiveField,
    Tabulated,
)
from fedspike.parts.losses import (
    CalibratedCrossEntropy,
    CrossEntropy,
    Loss,
    MaskedCrossEntropy,
    RestrictedCrossEntropy,
    SpikeCountMSE,
    VacantClasses,
)
from fedspike.parts.neurons import LIF, AdaptiveLIF, Competitive, CurrentBasedLIF, Neuron
from fedspike.parts.normalisations import BNTT, Normalisation, Unnormalised
from fedspike.parts.optimisers import SGD, Adam, Optimiser
from fedspike.parts.plasticity import PairRule, Plasticity
from fedspike.parts.read_outs import FirstSpike, MeanMembrane, MembraneSum, ReadOut, SpikeCount
from fedspike.parts.schedules import Constant, Cosine, Exponential, Schedule
from fedspike.parts.surrogates import Atan, FastSigmoid, Sigmoid, Surrogate, Triangular
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
from fedspike.rules import Maximum, Mean, Median, Rule, Strongest

CODES: list[tuple[Code, int]] = [  # and for how many time steps
    (Rate(), 9),
    (Rate(gain=0.3), 9),
    (Latency(), 2),
    (Latency(), 10),
    (Latency(scale="logarithmic"), 70),
    (Contrast(), 4),
    (Phase(), 16),
    (Phase(period=5), 5),
    (Burst(), 9),
    (Burst(most_spikes=3), 5),
    (Delta(), 6),
    (Direct(), 4),
    (ReceptiveField(), 4),
    (ReceptiveField(neurons=6, threshold=0.3), 9),
]
Reset = Literal["subtract", "zero", "none", "soft"]
RESETS: tuple[Reset, ...] = get_args(Reset)
TABULATED = [(code, steps) for code, steps in CODES if isinstance(code, Tabulated)]
NEURONS: list[Neuron] = [
    LIF(0.8, 0.7),
    LIF(0.8, 0.7, "zero"),
    LIF(0.8, 0.7, "soft"),
    LIF(0.8, 0.7, "none"),
    LIF(1.0, 0.7),
    LIF(0.8, 0.7, surrogate=FastSigmoid(3.0)),
    LIF(0.8, 0.7, surrogate=Sigmoid(3.0)),
    LIF(0.8, 0.7, surrogate=Triangular(0.4)),
    LIF(0.7, 0.6, learn_beta="per-layer"),
    LIF(0.8, 0.7, "zero", learn_threshold="per-neuron"),
    LIF(0.7, 0.7, learn_beta="per-neuron", learn_threshold="per-layer"),
    LIF(0.7, 0.7, "zero", Sigmoid(3.0), learn_beta="per-layer", learn_threshold="per-neuron"),
    LIF(0.7, 0.7, "none", learn_beta="per-neuron", learn_threshold="per-neuron"),
    CurrentBasedLIF(alpha=0.6, beta=0.8, threshold=0.7),
    CurrentBasedLIF(alpha=0.6, beta=0.8, threshold=0.7, reset="zero"),
    CurrentBasedLIF(
        alpha=0.7, beta=0.7, threshold=0.7, learn_alpha="per-neuron", learn_beta="per-layer"
    ),
    AdaptiveLIF(adaptation=0.5, rho=0.6, beta=0.8, threshold=0.7),
    AdaptiveLIF(
        adaptation=0.5, rho=0.6, beta=0.8, threshold=0.7, reset="zero", surrogate=Triangular(0.4)
    ),
    AdaptiveLIF(adaptation=0.5, rho=0.6, beta=0.8, threshold=0.7, reset="none"),
    AdaptiveLIF(
        adaptation=0.5,
        rho=0.7,
        beta=0.7,
        threshold=0.7,
        learn_rho="per-layer",
        learn_beta="per-neuron",
        learn_threshold="per-neuron",
    ),
    Competitive(beta=0.8, threshold=0.7),
]
SURROGATES: list[Surrogate] = [Atan(), FastSigmoid(), Sigmoid(), Triangular()]
READ_OUTS: list[ReadOut] = [SpikeCount(), MeanMembrane(), MembraneSum(), FirstSpike()]
LOSSES: list[Loss] = [
    *(SpikeCountMSE(), CrossEntropy(), MaskedCrossEntropy()),
    *(CalibratedCrossEntropy(), CalibratedCrossEntropy("margin", tau=0.5)),
    *(RestrictedCrossEntropy(), VacantClasses(), VacantClasses(1.0, 0.1)),
]
OPTIMISERS: list[Optimiser] = [
    *(Adam(), Adam(weight_decay=0.1)),
    *(SGD(), SGD(0.05, momentum=0.9), SGD(0.05, 0.9, nesterov=True, weight_decay=0.1)),
]
NORMALISATIONS: list[Normalisation] = [Unnormalised(), BNTT(), BNTT("local")]

SMOOTH: Mapping[type[Surrogate], Callable[[Any, Tensor], Tensor]] = {
    Atan: lambda atan, x: torch.atan(math.pi / 2 * atan.alpha * x) / math.pi + 0.5,
    FastSigmoid: lambda fast, x: x / (1 + fast.slope * x.abs()),
    Sigmoid: lambda sigmoid, x: torch.sigmoid(sigmoid.slope * x),
    Triangular: lambda triangle, x: _parabolas((triangle.slope * x).clamp(-1, 1)),
}
"""In place of the step function: what each surrogate is the derivative of, as its documentation has it."""


def _parabolas(z: Tensor) -> Tensor:
    return 0.5 + z - z * z.abs() / 2


shares = st.just(0.0) | st.floats(1e-9, 1)  # a number of a part is 0, or of a size that computes
EXAMPLES: Mapping[type[Part], Sequence[Part]] = {
    Source: [
        FashionMNIST(),
        FashionMNISTSample(),
        NPZ("data.npz"),
        Signs(),
        GTSRB(),
        *(CSVTable("data.csv", "kind"), ImageFolder("pictures")),
        *(Cochlea(path="train.h5"), EventFolder(path="gestures", sensor=(128, 128))),
        TonicSet(set="NMNIST", folder="sets"),
        *(TorchvisionSet("SVHN"), TorchvisionSet("EMNIST", "letters", download=True)),
    ],
    Partition: [
        *(IID(), Classes(3), Dirichlet(0.1), Shards(2), Quantity(0.5)),
        *(EqualDirichlet(0.1), Roads(), SharedClasses(), Centralised(), OnDevices()),
        *(Resampled(30), Resampled(30, 0.5), Natural()),
    ],
    Network: [ANN(), SNN(time_steps=10), QANN(time_steps=10), QANN(bits=3)],
    Architecture: [FullyConnected(), FullyConnected((20, 10)), Convolutional((4, "pool"), ())],
    Code: [*(code for code, _ in CODES), AsRecorded()],  # which takes no pixels
    Neuron: NEURONS,
    Surrogate: SURROGATES,
    ReadOut: READ_OUTS,
    Normalisation: NORMALISATIONS,
    Learner: [
        *(Backpropagation(), Backpropagation(CrossEntropy(), SGD(), epochs=2)),
        Backpropagation(optimiser_memory="kept", balanced=True, ascent=0.1),
        *(OTTT(), OTTT(error="step"), EProp(), EProp(feedback="random")),
        *(STDP(), STDP(output="supervised")),
    ],
    Loss: LOSSES,
    Optimiser: OPTIMISERS,
    Schedule: [Constant(), Exponential(0.5, every=2), Cosine(rounds=3)],
    Plasticity: [PairRule()],
    Algorithm: [case.algorithm for case in CASES.values()],
    Graph: [
        *(Ring(), Complete(), Torus(), Torus(rows=1), RandomRegular(), Tree(), Tree(children=1)),
        *(Edges(client=(0, 1), neighbour=(1, 2)), Matrix(rows=((0.5, 0.5), (0.5, 0.5)))),
    ],
    Rule: [Mean(), Mean("clients"), Median(), Maximum(), Strongest()],
    Remedy: [
        Clipping(norm=1.0),
        HeteroFL(),
        FedRolex(),
        FewerSteps((2, 1)),
        MixedLearners(),
        SmallerParts(),
        TopK(),
        QSGD(),
        EFSign(),
        LowRank(),
        Lossless(),
    ],
    Selection: [Uniform(), Weighted(), Weighted((2.0, 1.0)), PowerOfChoice(4)],
    Clock: [Untimed(), ByOperations(), ByOperations(straggling=0.5)],
    Availability: [Always(), ByClass(), Daily(), Trace(client=(0, 1), first=(1, 3), last=(9, 4))],
}
EVERY_PART = [part for examples in EXAMPLES.values() for part in examples]


def name(part: object) -> str:
    """The name of a test's case: the kind, and what is not its default."""
    if not isinstance(part, Part):
        return str(part)
    fields = (
        (field.name, getattr(part, field.name), field.default)
        for field in msgspec.structs.fields(type(part))
    )
    return " ".join(
        [part.kind, *(f"{key}={name(value)}" for key, value, usual in fields if value != usual)]
    )
