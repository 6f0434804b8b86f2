"""What a run says of itself, put together: a record for each round, and the summaries at the end."""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import accumulate
from typing import Any, Literal

import msgspec
import numpy as np
import torch
from jaxtyping import Float32, Int

from fedspike.data import Dataset
from fedspike.energy.account import account, work
from fedspike.energy.bill import study_energy_mj
from fedspike.energy.description import RunDescription
from fedspike.energy.neurobench import metrics
from fedspike.energy.pairing import compared
from fedspike.errors import InputError
from fedspike.federation.final_tests import FinalTests
from fedspike.federation.rounds import Round
from fedspike.files import home
from fedspike.networks import SizedNetwork
from fedspike.parts import codes
from fedspike.records import health, ledger, schema
from fedspike.records.schema import (
    Environment,
    ExperimentSummary,
    Fingerprint,
    HiddenWeights,
    Measured,
    NodeRound,
    Predictions,
    Raster,
    Rejected,
    RoundRecord,
    RunSummary,
)
from fedspike.records.sharpness import sharpness

MODEL = "model.safetensors"


def round_record(round: Round) -> RoundRecord:
    """The record of a round, which can be read again, priced and summed up.

    Raises InputError where it cannot: nothing of such a round may be stored, or its folder would be lost.
    """
    try:
        record = _as_it_is(round)
        line = msgspec.json.encode(record)
        if (read := msgspec.json.decode(line, type=RoundRecord)) != record:
            raise ValueError("what is read is not what was written")
        named = {name for own in read.activity.values() for name in own.events_in}
        if unknown := named - round.network.layers.keys():
            raise ValueError(f"a layer {min(unknown)} that the network does not have")
        ledger.nodes(round.network, [read])
        if read.activity:
            work(round.network, [read]).training()
    except (ValueError, KeyError, TypeError, ArithmeticError, InputError) as error:
        raise InputError(
            f"round {round.number} has a record that cannot be read again: {type(error).__name__}: {error}",
            expected="a record that can be read, priced and summed up",
            fix="start again: it goes on after the round before; and tell us, it is a defect of fedspike",
        ) from error
    return record


def _as_it_is(round: Round) -> RoundRecord:
    return RoundRecord(
        round=round.number,
        accuracy=round.accuracy,
        training_loss=round.training_loss if math.isfinite(round.training_loss) else None,
        clients=list(round.clients),
        samples=round.samples,
        spikes=dict(round.spikes),
        operations=dict(round.operations),
        firing_rates=dict(round.firing_rates),
        activity=dict(round.activity),
        tested=round.tested,
        uplink_bytes=round.uplink_bytes,
        unpacked_bytes=None if round.unpacked_bytes == round.uplink_bytes else round.unpacked_bytes,
        downlink_bytes=round.downlink_bytes,
        seconds=dict(round.seconds),
        rejected=[Rejected(**asdict(rejection)) for rejection in round.rejections],
        missing=list(round.missing),
        at_work=list(round.at_work),
        staleness=round.staleness,
        skipped=round.skipped,
        sizes=dict(round.sizes),
        spent=dict(round.spent),
        duration_s=round.duration_s,
        consensus_distance=round.consensus_distance,
        nodes=msgspec.convert(round.nodes, list[NodeRound]),
    )


def of_run(
    description: RunDescription,
    rounds: Sequence[RoundRecord],
    dataset: Dataset,
    network: SizedNetwork,
    model: Mapping[str, np.ndarray],
    tests: FinalTests,
    *,
    files: Mapping[str, Fingerprint],
    measured: Sequence[dict[str, Any]] | None = None,
) -> RunSummary:
    """The summary of a finished run, from its rounds, its data, its model and the tests of that.

    `measured` is what sensors read; `files` are those that the run's folder holds, its model among them.
    """
    whole, rounds = rounds, _without_clients(rounds)
    count, accuracy = len(rounds), [round.accuracy for round in rounds]
    samples, operations = sum(r.samples for r in rounds), _totals([r.operations for r in rounds])
    spikes = _totals([round.spikes for round in rounds])
    rates, images = _rates(rounds), _images(network, model, dataset)
    of_network, target = description.network_operations, description.config["target_accuracy"]
    tested = tests.of_classes(dataset.y_test, dataset.classes)
    unfit = health.unfit(accuracy[-1], tested.tolist(), rates)
    neurobench = metrics(model, network.described, of_network, rounds[-1].tested)
    return RunSummary(
        **msgspec.structs.asdict(account(description, whole, neurobench, target, unfit)),
        layers=list(network.architecture.layers),
        parameters=sum(weights.size for weights in model.values()),
        rounds=count,
        accuracy=accuracy,
        accuracy_of=tests.accuracy_of,
        sizes={size: [round.sizes[size] for round in rounds] for size in rounds[0].sizes},
        final_accuracy=accuracy[-1],
        final_accuracy_mean_last_10=statistics.fmean(accuracy[-10:]),
        disturbed=[schema.Disturbed(**one._asdict()) for one in tests.disturbed],
        training_loss=[round.training_loss for round in rounds],
        samples_per_round=_mean(samples, count),
        operations=operations,
        forward_operations_per_sample=sum(operations.values()) / samples,
        spikes_per_sample={layer: number / samples for layer, number in spikes.items()},
        study_energy_mj_per_round=study_energy_mj(operations) / count,
        firing_rates=rates,
        ill_layers=health.ill(rates),
        rate_limits=health.LIMITS if rates else {},
        rejected=dict(Counter(reply.reason for round in rounds for reply in round.rejected)),
        missing=sum(len(round.missing) for round in rounds),
        skipped_rounds=sum(round.skipped for round in rounds),
        uplink_bytes_per_round=_mean(sum(round.uplink_bytes for round in rounds), count),
        downlink_bytes_per_round=_mean(sum(round.downlink_bytes for round in rounds), count),
        **_times(rounds),
        nodes=ledger.nodes(of_network, whole),
        measured=None if measured is None else msgspec.convert(measured, list[Measured]),
        model_sha256=files[MODEL].sha256,
        weights={} if images is None else {"sharpness": sharpness(images)},
        hidden_weights=None if images is None else _int8(images),
        raster=_raster(network, dataset, description.seed),
        predictions=_predictions(dataset.y_test, tests.predicted),
        files=dict(files),
    )


def _without_clients(rounds: Iterable[RoundRecord]) -> list[RoundRecord]:
    """Without what each client did: of a long run that is read from the disk again for each use."""
    return [msgspec.structs.replace(r, activity={}, clients=[], spent={}) for r in rounds]


def of_experiment(
    name: str,
    command: str,
    environment: Environment,
    dataset: Dataset,
    runs: Iterable[RunSummary],
    created: str,
) -> ExperimentSummary:
    """The summary of an experiment: those of its runs without what is large, and their comparisons."""
    small = tuple(msgspec.structs.replace(run, **dict.fromkeys(schema.LARGE)) for run in runs)
    return ExperimentSummary(
        name=name,
        command=command,
        created=created,
        environment=environment,
        dataset=schema.Dataset(
            name=dataset.name,
            source=_to_read_anywhere(dataset.source),
            sha256=dict(dataset.sha256),
            train_samples=len(dataset.y_train),
            test_samples=len(dataset.y_test),
            class_names=list(dataset.class_names),
        ),
        runs=small,
        comparisons=compared(small),
    )


def _to_read_anywhere(source: str) -> str:
    """Without the name of this machine's user, and in letters that records can have."""
    return source.replace(f"{home()}/", "~/").encode(errors="backslashreplace").decode()


def _times(rounds: Sequence[RoundRecord]) -> dict[str, Any]:
    """The seconds of this machine, and the simulated ones in the rounds' order; None where there are none."""
    durations = [round.duration_s for round in rounds if round.duration_s is not None]
    # Added one after the other, as in the report's curves; `sum` rounds otherwise since Python 3.12.
    return {
        "seconds": math.fsum(spent for round in rounds for spent in round.seconds.values()),
        "simulated_s": [*accumulate(durations)][-1] if durations else None,
        "round_seconds": ledger.round_seconds(rounds),
    }


def _rates(rounds: Sequence[RoundRecord]) -> dict[str, list[float | None]]:
    """layer -> its firing rate in every round; None in a round in which nobody trained."""
    layers: dict[str, float] = next((r.firing_rates for r in rounds if r.firing_rates), {})
    return {layer: [round.firing_rates.get(layer) for round in rounds] for layer in layers}


def _totals(rounds: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """The counts of all rounds, exact integers."""
    return {name: sum(counts[name] for counts in rounds) for name in rounds[0]}


def _mean(total: int, rounds: int) -> int | float:
    """A round's part of a total; an integer where it is one, as when all rounds are alike."""
    return total / rounds if total % rounds else total // rounds


def _images(
    network: SizedNetwork, model: Mapping[str, np.ndarray], dataset: Dataset
) -> Float32[np.ndarray, "neuron height width"] | None:
    """The first layer's weights as images; None if the data are none, or training diverged.

    Of a convolution neither: a kernel is no image.
    """
    weights = model[f"{network.architecture.names[0]}.weight"]
    if len(dataset.shape) != 2 or weights.ndim != 2 or not np.isfinite(weights).all():
        return None
    if weights.shape[1] != math.prod(dataset.shape):  # of a code with several inputs for each pixel
        return None
    return weights.reshape(-1, *dataset.shape)


def _int8(images: Float32[np.ndarray, "neuron height width"]) -> HiddenWeights:
    """Images in a byte a pixel: weight = scale * byte, right to half a scale."""
    scale = float(np.abs(images).max()) / 127 or 1.0  # all zero: any scale will do
    small = np.rint(images / scale).astype(np.int8)
    return HiddenWeights(shape=list(images.shape), scale=scale, int8_base64=small.tobytes())


def _predictions(
    labels: Int[np.ndarray, " sample"], predicted: Int[np.ndarray, " sample"]
) -> Predictions:
    """In as few bytes as the highest class takes; of the samples that were tested."""
    labels, predicted = labels[predicted >= 0], predicted[predicted >= 0]
    highest = max(labels.max(), predicted.max())
    size: Literal[1, 2, 4] = 1 if highest < 2**8 else 2 if highest < 2**16 else 4
    return Predictions(
        bytes_each=size,
        labels_base64=labels.astype(f"<u{size}").tobytes(),
        predicted_base64=predicted.astype(f"<u{size}").tobytes(),
    )


def _raster(network: SizedNetwork, dataset: Dataset, seed: int) -> Raster | None:
    """The first image's spikes, a bit for each time step and pixel; None if it is none, or has none.

    They are those of the first sample that client 0 is shown in round 1, were it this image.
    """
    image = dataset.x_train[0]
    if (
        len(dataset.shape) != 2
        or dataset.time_steps
        or network.code is None
        or not network.code.binary
    ):
        return None
    if network.code.inputs_per_number != 1:
        return None
    address = codes.Address(seed, "encode", round=1, clients=(0,), first_samples=(0,))
    spikes = np.zeros((network.time_steps, image.size), bool)
    for step, pixel in codes.raster(network.code, network.time_steps, torch.tensor(image), address):
        spikes[step, pixel] = True
    return Raster(
        shape=(image.shape[0], image.shape[1]),
        time_steps=network.time_steps,
        image_base64=np.rint(255 * image).astype(np.uint8).tobytes(),
        spikes_base64=np.packbits(spikes).tobytes(),
    )
