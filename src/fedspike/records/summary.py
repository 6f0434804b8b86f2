"""What a run says of itself: a line for each round, and the summary that the report is made of."""

import base64
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import msgspec
import numpy as np
import torch
from jaxtyping import Float32

from fedspike.data import Dataset
from fedspike.energy.bill import study_energy_mj
from fedspike.experiment import billing, comparing, config
from fedspike.experiment.config import Configuration
from fedspike.experiment.sweep import Run
from fedspike.federation.rounds import Round
from fedspike.networks import SizedNetwork
from fedspike.parts import codes
from fedspike.parts.optimisers import Optimiser
from fedspike.records import health
from fedspike.records.events import Record
from fedspike.records.sharpness import sharpness

SCHEMA = 1
PICTURES = ("hidden_weights", "raster")  # which only a run's own summary has


def record(round: Round) -> Record:
    """One line of `rounds.jsonl`. All but "seconds" is a function of configuration and data.

    A training loss that is not finite, for JSON has no name for it, becomes null.
    """
    return {
        "round": round.number,
        "accuracy": round.accuracy,
        "training_loss": round.training_loss if math.isfinite(round.training_loss) else None,
        "clients": list(round.clients),
        "samples": round.samples,
        "spikes": dict(round.spikes),
        "operations": dict(round.operations),
        "firing_rates": dict(round.firing_rates),
        "activity": {str(k): billing.plain(seen) for k, seen in round.activity.items()},
        "tested": billing.plain(round.tested),
        "uplink_bytes": round.uplink_bytes,
        "downlink_bytes": round.downlink_bytes,
        "seconds": dict(round.seconds),
        "rejected": [asdict(rejection) for rejection in round.rejections],
        "missing": list(round.missing),
        "skipped": round.skipped,
        **({"nodes": list(round.nodes)} if round.nodes else {}),
    }


def settings_toml(settings: Configuration) -> Record:
    """The resolved settings as TOML values: no empty ones, and no path of this machine."""
    plain = json.loads(msgspec.json.encode(settings))  # lists for tuples, as TOML reads them
    values = {key: value for key, value in plain.items() if value is not None}
    values["data"] = {"name": values["data"]["name"]}
    return values


def of_run(
    run: Run,
    records: Sequence[Record],
    dataset: Dataset,
    network: SizedNetwork,
    optimiser: Optimiser,
    model: Mapping[str, np.ndarray],
    *,
    class_counts: list[list[int]],
    model_sha256: str,
    data_sha256: str,
    measured: Sequence[Record] | None = None,
) -> Record:
    """The summary of a finished run, from its records, its data, its model, and what sensors measured."""
    settings, rounds = run.settings, len(records)
    accuracy = [line["accuracy"] for line in records]
    samples = sum(line["samples"] for line in records)
    operations, spikes = _sum(records, "operations"), _sum(records, "spikes")
    rates = _rates(records)
    images = _images(model[f"{network.architecture.names[0]}.weight"], dataset)
    done: Record = {
        "schema": SCHEMA,
        "name": run.name,
        "network": settings.network,
        "partition": msgspec.to_builtins(settings.partition),
        "classes_per_client": _classes_per_client(settings, dataset),
        "centralised": isinstance(settings.partition, config.Centralised),
        "seed": settings.seed,
        "rounds": rounds,
        "algorithm": str(settings.algorithm.__struct_config__.tag),
        "accuracy": accuracy,
        "final_accuracy": accuracy[-1],
        "final_accuracy_mean_last_10": math.fsum(accuracy[-10:]) / len(accuracy[-10:]),
        "training_loss": [line["training_loss"] for line in records],
        "parameters": sum(weights.size for weights in model.values()),
        "layers": list(network.architecture.layers),
        "network_operations": _operations(network, optimiser),
        **_spiking(settings),
        **_refused(records),
        "samples_per_round": _share(samples, rounds),
        "forward_operations_per_sample": sum(operations.values()) / samples,
        "operations": operations,
        "spikes_per_sample": {layer: count / samples for layer, count in spikes.items()},
        "firing_rates": rates,
        "ill_layers": health.ill(rates),
        "rate_limits": health.LIMITS if rates else {},
        "study_energy_mj_per_round": study_energy_mj(operations) / rounds,
        **_bytes(records),
        "seconds": math.fsum(s for line in records for s in line["seconds"].values()),
        "measured": measured,
        "class_counts": class_counts,
        "model_sha256": model_sha256,
        "settings_sha256": run.settings_sha256,
        "data_sha256": data_sha256,
        "config": settings_toml(settings),
        **_pictures(images),
        "raster": _raster(network, dataset, settings.seed),
    }
    return done | billing.fields(done, records, model, network.described, settings.target_accuracy)


def _operations(network: SizedNetwork, optimiser: Optimiser) -> Record:
    """What a device does for the network and its training."""
    plain: Record = msgspec.to_builtins(network.operations().trained_by(optimiser.operations()))
    return plain


def of_experiment(
    name: str, command: str, environment: Record, dataset: Dataset, runs: Iterable[Record]
) -> Record:
    """The summary of an experiment: those of its runs, without their pictures, and who needs less."""
    known = [{k: v for k, v in run.items() if k not in PICTURES} for run in runs]
    return {
        "schema": SCHEMA,
        "name": name,
        "command": command,
        "environment": environment,
        "dataset": {
            "name": dataset.name,
            "source": dataset.source.replace(str(Path.home()), "~"),
            "sha256": dataset.sha256,
            "train_samples": len(dataset.y_train),
            "test_samples": len(dataset.y_test),
        },
        "runs": known,
        "comparisons": comparing.compared(known),
    }


def _spiking(settings: Configuration) -> Record:
    """What only a spiking network has."""
    return {
        "time_steps": settings.snn.time_steps if settings.snn else None,
        "code": msgspec.to_builtins(settings.code),
        "neuron": msgspec.to_builtins(settings.neuron),
        "normalisation": msgspec.to_builtins(settings.normalisation),
        "read_out": settings.snn.read_out if settings.snn else None,
    }


def _rates(records: Sequence[Record]) -> dict[str, list[float | None]]:
    """layer -> its firing rate in every round; None in a round in which nobody trained."""
    by_round = [line["firing_rates"] for line in records]
    layers: dict[str, float] = next((rates for rates in by_round if rates), {})
    return {layer: [rates.get(layer) for rates in by_round] for layer in layers}


def _refused(records: Sequence[Record]) -> Record:
    """What the guard had to say, over all rounds; lines of before there was one have nothing of it."""
    reasons = (refusal["reason"] for line in records for refusal in line.get("rejected", ()))
    return {
        "rejected": dict(Counter(reasons)),
        "missing": sum(len(line.get("missing", ())) for line in records),
        "skipped_rounds": sum(line.get("skipped", False) for line in records),
    }


def _classes_per_client(settings: Configuration, dataset: Dataset) -> int | None:
    if isinstance(settings.partition, config.Classes):
        return settings.partition.classes
    return dataset.classes if isinstance(settings.partition, config.IID) else None


def _bytes(records: Sequence[Record]) -> Record:
    """What a mean round sent."""
    return {
        f"{way}_per_round": _share(sum(line[way] for line in records), len(records))
        for way in ("uplink_bytes", "downlink_bytes")
    }


def _sum(records: Sequence[Record], key: str) -> dict[str, int]:
    """The counts of all rounds, exact integers."""
    return {name: sum(line[key][name] for line in records) for name in records[0][key]}


def _share(total: int, rounds: int) -> int | float:
    """A round's part of a total; an integer where it is one, as when all rounds are alike."""
    return total / rounds if total % rounds else total // rounds


def _images(
    weights: Float32[np.ndarray, "neuron ..."], dataset: Dataset
) -> Float32[np.ndarray, "neuron height width"] | None:
    """The first layer's weights as images; None if the data are none, or training diverged.

    Of a convolution neither: a kernel is no image.
    """
    if dataset.x_train.ndim != 3 or weights.ndim != 2 or not np.isfinite(weights).all():
        return None
    return weights.reshape(-1, *dataset.x_train.shape[1:])


def _pictures(images: Float32[np.ndarray, "neuron height width"] | None) -> Record:
    """What the first layer's weights look like, if they are images."""
    if images is None:
        return {"weights": {}, "hidden_weights": None}
    return {"weights": {"sharpness": sharpness(images)}, "hidden_weights": _int8(images)}


def _int8(images: Float32[np.ndarray, "neuron height width"]) -> Record:
    """Images in a byte a pixel: weight = scale * byte, right to half a scale."""
    scale = float(np.abs(images).max()) / 127 or 1.0  # all zero: any scale will do
    small = np.rint(images / scale).astype(np.int8)
    return {
        "shape": list(images.shape),
        "scale": scale,
        "int8_base64": _base64(small),
    }


def _raster(network: SizedNetwork, dataset: Dataset, seed: int) -> Record | None:
    """The first image's spikes, a bit for each time step and pixel; None if it is none, or has none.

    They are those of the first sample that client 0 is shown in round 1, were it this image.
    """
    image = dataset.x_train[0]
    if image.ndim != 2 or network.code is None or not network.code.binary:
        return None
    address = codes.Address(seed, "encode", round=1, clients=(0,), first_samples=(0,))
    spikes = np.zeros((network.time_steps, image.size), bool)
    for step, pixel in codes.raster(network.code, network.time_steps, torch.tensor(image), address):
        spikes[step, pixel] = True
    return {
        "shape": list(image.shape),
        "time_steps": network.time_steps,
        "image_base64": _base64(np.rint(255 * image).astype(np.uint8)),
        "spikes_base64": _base64(np.packbits(spikes)),
    }


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()
