"""Names become objects: one literal table for each concept, and what a run is built of.

The keys of a table in `config.py` are the arguments of the object it stands for.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from fedspike.algorithms import ALGORITHMS
from fedspike.data import Dataset, partition
from fedspike.errors import InputError
from fedspike.experiment import config
from fedspike.experiment.config import Configuration
from fedspike.experiment.document import Document
from fedspike.federation.devices import Devices, Fleet, Held
from fedspike.federation.plan import Plan
from fedspike.learning import backpropagation as training
from fedspike.networks import ANN, ARCHITECTURES, QANN, SNN, Network, SizedNetwork
from fedspike.parts import codes as encoding
from fedspike.parts import losses, neurons, normalisations, optimisers, surrogates
from fedspike.parts import read_outs as readouts

PARTITIONS = {str(kind.__struct_config__.tag): kind for kind in partition.PARTITIONS}
OPTIMISERS = {str(kind.__struct_config__.tag): kind for kind in optimisers.OPTIMISERS}
ALGORITHM = {str(kind.__struct_config__.tag): kind for kind in ALGORITHMS}
ARCHITECTURE = {str(kind.__struct_config__.tag): kind for kind in ARCHITECTURES}
CODES = {str(kind.__struct_config__.tag): kind for kind in encoding.CODES}
NEURONS = {str(kind.__struct_config__.tag): kind for kind in neurons.NEURONS}
NORMALISATIONS = {str(kind.__struct_config__.tag): kind for kind in normalisations.NORMALISATIONS}
SURROGATES = {str(kind.__struct_config__.tag): kind for kind in surrogates.SURROGATES}
READ_OUTS = {str(kind.__struct_config__.tag): kind for kind in readouts.READ_OUTS}


def network(settings: Configuration, dataset: Dataset) -> SizedNetwork:
    """The network between the data set's pixels and its classes."""
    return description(settings).over(dataset.x_train.shape[1:], dataset.classes)


def description(settings: Configuration) -> Network:
    """The network without its sizes. Raises InputError where a code takes more time steps."""
    layout = msgspec.structs.asdict(settings.architecture)
    architecture = ARCHITECTURE[str(settings.architecture.__struct_config__.tag)](**layout)
    if settings.qann is not None:
        return QANN(architecture, bits=int(settings.qann.bits), ceiling=settings.qann.ceiling)
    if settings.snn is None:
        return ANN(architecture)
    snn = settings.snn
    return SNN(
        snn.time_steps,
        architecture,
        code=_from(CODES, settings.code or config.Rate()),
        neuron=_neuron(settings),
        read_out=READ_OUTS[snn.read_out](),
        normalisation=_from(NORMALISATIONS, settings.normalisation or config.Unnormalised()),
    )


def _neuron(settings: Configuration) -> neurons.Neuron:
    snn, kind = settings.snn or config.SNN(), settings.neuron or config.LIF()
    made: neurons.Neuron = _from(
        NEURONS,
        kind,
        beta=snn.beta,
        threshold=snn.threshold,
        reset=snn.reset,
        surrogate=SURROGATES[snn.surrogate](),
        learn_beta=snn.learn_beta,
        learn_threshold=snn.learn_threshold,
    )
    return made


def local_training(settings: Configuration) -> training.LocalTraining:
    """What every client does in a round."""
    return training.LocalTraining(
        loss=_loss(settings),
        optimiser=_from(OPTIMISERS, settings.optimiser),
        epochs=settings.training.epochs,
        batch_size=settings.training.batch_size,
    )


def plan(settings: Configuration, dataset: Dataset, held: Held | None = None) -> Plan:
    """What a run does, on devices that are simulated or on real ones and what they have `held`."""
    fleet = msgspec.structs.asdict(settings.fleet)
    return Plan(
        network=description(settings),
        data=dataset,
        partition=held or _from(PARTITIONS, settings.partition),
        fleet=Fleet(**fleet),
        learner=local_training(settings),
        algorithm=_from(ALGORITHM, settings.algorithm),
        rounds=settings.rounds,
        seed=settings.seed,
        target_accuracy=settings.target_accuracy,
        name=settings.name,
    )


def devices(settings: Configuration, dataset: Dataset, source: Document) -> Devices:
    """The simulated clients with the samples that each holds.

    Raises InputError, naming the key in `source`, where the data set cannot be divided like that.
    """
    try:
        made = plan(settings, dataset).devices()
    except InputError as error:
        fields = msgspec.structs.fields(settings.partition)
        key = ("partition", fields[0].name if fields else "kind")
        if settings.fleet.clients > len(dataset.y_train):
            key = ("fleet", "clients")
        raise source.error(key, error.passed, expected=error.expected, fix=error.fix) from error
    rounds = range(1, settings.rounds + 1)
    if not any(made.present(settings.seed, round) for round in rounds):
        raise source.error(
            ("fleet", "dropout"),
            f"fleet.dropout = {made.fleet.dropout}: all clients of all {len(rounds)} rounds drop out",
            expected="a client, at least, that trains in a round, at least",
            fix="lower fleet.dropout, or do more rounds",
        )
    return made


def _loss(settings: Configuration) -> losses.Loss:
    if settings.snn is None or not isinstance(settings.loss, config.SpikeCount):
        return losses.CrossEntropy()
    rates = msgspec.structs.asdict(settings.loss)
    return losses.SpikeCountMSE(**rates)


def _from(
    table: Mapping[str, Callable[..., Any]], settings: config.KindTable, **others: object
) -> Any:
    return table[str(settings.__struct_config__.tag)](**msgspec.structs.asdict(settings), **others)
