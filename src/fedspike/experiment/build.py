"""Names become objects: one literal table for each concept, and what a run is built of.

The keys of a table in `config.py` are the arguments of the object it stands for.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from fedspike.algorithms import Algorithm, fedadam, fedavg, fedprox, scaffold
from fedspike.data import Dataset, partition
from fedspike.errors import InputError
from fedspike.experiment import config
from fedspike.experiment.config import Configuration
from fedspike.experiment.document import Document
from fedspike.federation.devices import Fleet
from fedspike.learning import backpropagation as training
from fedspike.networks import (
    ANN,
    BNTT,
    QANN,
    SNN,
    Architecture,
    Conv,
    Convolutional,
    Dense,
    Network,
    Pool,
)
from fedspike.parts import codes as encoding
from fedspike.parts import losses, neurons
from fedspike.parts import read_outs as readouts

PARTITIONS: dict[str, Callable[..., partition.PartitionFunction]] = {
    "iid": partition.IID,
    "classes": partition.ClassesPerClient,
    "dirichlet": partition.Dirichlet,
    "shards": partition.Shards,
    "quantity": partition.QuantitySkew,
    "centralised": partition.Centralised,
}
OPTIMISERS: dict[str, Callable[..., training.Optimiser]] = {
    "adam": training.Adam,
    "sgd": training.SGD,
}
ALGORITHMS: dict[str, Callable[..., Algorithm]] = {
    "fedavg": fedavg,
    "fedprox": fedprox,
    "scaffold": scaffold,
    "fedadam": fedadam,
}
CODES: dict[str, Callable[..., encoding.Code]] = {
    "rate": encoding.RateCode,
    "latency": encoding.LatencyCode,
    "phase": encoding.PhaseCode,
    "burst": encoding.BurstCode,
    "delta": encoding.DeltaCode,
    "direct": encoding.DirectCode,
}
NEURONS: dict[str, Callable[..., neurons.Neuron]] = {
    "lif": lambda lif: lif,
    "current-based": neurons.CurrentBasedLIF,
    "adaptive": neurons.AdaptiveLIF,
}
NORMALISATIONS: dict[str, Callable[..., BNTT | None]] = {"none": lambda: None, "bntt": BNTT}
SURROGATES: dict[str, Callable[[], neurons.Surrogate]] = {
    "atan": neurons.Atan,
    "fast-sigmoid": neurons.FastSigmoid,
    "sigmoid": neurons.Sigmoid,
    "triangular": neurons.Triangular,
}
READ_OUTS: dict[str, Callable[[], readouts.ReadOut]] = {
    "count": readouts.SpikeCount,
    "membrane": readouts.MeanMembrane,
    "first-spike": readouts.FirstSpike,
}


def network(settings: Configuration, dataset: Dataset) -> Network:
    """The network between the data set's pixels and its classes."""
    architecture = _architecture(settings.architecture, dataset)
    if settings.qann is not None:
        return QANN(architecture, bits=int(settings.qann.bits), ceiling=settings.qann.ceiling)
    if settings.snn is None:
        return ANN(architecture)
    return SNN(
        architecture,
        neuron=_neuron(settings),
        code=code(settings),
        read_out=READ_OUTS[settings.snn.read_out](),
        normalisation=None
        if settings.normalisation is None
        else _from(NORMALISATIONS, settings.normalisation),
    )


def _architecture(settings: config.Architecture, dataset: Dataset) -> Architecture | Convolutional:
    """The layers. Raises InputError where convolutions do not fit the samples."""
    shape = dataset.x_train.shape[1:]
    if isinstance(settings, config.DenseLayers):
        return Architecture((math.prod(shape), *settings.hidden, dataset.classes))
    image = (1, *shape) if len(shape) == 2 else shape
    if len(image) != 3 or image[2] < image[0]:
        raise InputError(
            f"convolutions over samples of shape {shape}",
            expected="images [row, column] or, channels first, [channel, row, column]",
            fix='reshape the data, as with x.transpose(0, 3, 1, 2), or set architecture.kind = "dense"',
        )
    pool = Pool(settings.pool)
    features = [pool if stage == "pool" else Conv(int(stage)) for stage in settings.features]
    stages = (*features, *map(Dense, settings.hidden))
    return Convolutional((image[0], image[1], image[2]), stages, dataset.classes)


def code(settings: Configuration) -> encoding.Code:
    """The code that turns pixels into spikes. Raises InputError where it takes more time steps."""
    snn, kind = settings.snn or config.SNN(), settings.code or config.Rate()
    made: encoding.Code = _from(CODES, kind, time_steps=snn.time_steps)
    return made


def _neuron(settings: Configuration) -> neurons.Neuron:
    snn, kind = settings.snn or config.SNN(), settings.neuron or config.LIF()
    lif = neurons.LIF(
        beta=_constant(snn.beta, snn.learn_beta),
        threshold=_constant(snn.threshold, snn.learn_threshold),
        reset=snn.reset,
        surrogate=SURROGATES[snn.surrogate](),
    )
    made: neurons.Neuron = _from(NEURONS, kind, lif=lif)
    return made


def _constant(start: float, learned: config.Learned) -> float | neurons.Learnable:
    if learned == "no":
        return start
    return neurons.Learnable(start, per="layer" if learned == "per-layer" else "neuron")


def local_training(settings: Configuration) -> training.LocalTraining:
    """What every client does in a round."""
    return training.LocalTraining(
        loss=_loss(settings),
        optimiser=_from(OPTIMISERS, settings.optimiser),
        epochs=settings.training.epochs,
        batch_size=settings.training.batch_size,
    )


def algorithm(settings: Configuration) -> Algorithm:
    """The federated algorithm."""
    made: Algorithm = _from(ALGORITHMS, settings.algorithm)
    return made


def fleet(settings: Configuration, dataset: Dataset, source: Document) -> Fleet:
    """The clients with the samples that each holds.

    Raises InputError, naming the key in `source`, where the data set cannot be divided like that.
    """
    if isinstance(settings.partition, config.Devices):
        raise source.error(
            ("partition", "kind"),
            "partition.kind = devices: the data lie on the devices",
            expected="a partition of the data set, where devices are simulated",
            fix='set partition.kind = "iid", or train on them: fedspike fleet init --own-data',
        )
    divide = _from(PARTITIONS, settings.partition)
    clients = settings.fleet.clients
    try:
        made = fleet_of(settings, divide(dataset.y_train, clients=clients, seed=settings.seed))
    except InputError as error:
        fields = msgspec.structs.fields(settings.partition)
        key = ("partition", *(field.name for field in fields[:1]))
        if clients > len(dataset.y_train):
            key = ("fleet", "clients")
        raise source.error(key, error.passed, expected=error.expected, fix=error.fix) from error
    rounds = range(1, settings.rounds + 1)
    if not any(made.present(settings.seed, round) for round in rounds):
        raise source.error(
            ("fleet", "dropout"),
            f"fleet.dropout = {made.dropout}: all clients of all {len(rounds)} rounds drop out",
            expected="a client, at least, that trains in a round, at least",
            fix="lower fleet.dropout, or do more rounds",
        )
    return made


def fleet_of(settings: Configuration, shards: Sequence[np.ndarray]) -> Fleet:
    """The clients that hold these samples."""
    return Fleet(
        shards=tuple(shards),
        clients_per_round=number(settings.fleet.clients_per_round),
        samples_per_round=number(settings.fleet.samples_per_round),
        dropout=settings.fleet.dropout,
        quorum=settings.fleet.quorum,
    )


def _loss(settings: Configuration) -> losses.Loss:
    if settings.snn is None or not isinstance(settings.loss, config.SpikeCount):
        return losses.CrossEntropy()
    rates = msgspec.structs.asdict(settings.loss)
    return losses.SpikeCountMSE(time_steps=settings.snn.time_steps, **rates)


def _from(
    table: dict[str, Callable[..., Any]], settings: config.KindTable, **others: object
) -> Any:
    return table[str(settings.__struct_config__.tag)](**msgspec.structs.asdict(settings), **others)


def number(count: int | str) -> int | None:
    """A count, or None, which is how the library says "all"."""
    return count if isinstance(count, int) else None
