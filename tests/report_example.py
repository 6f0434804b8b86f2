"""An experiment directory as `fedspike run` leaves it, with made-up numbers, for the report's tests."""

import base64
import hashlib
import itertools
import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from fedspike.energy.account import Work, bill_by, bills
from fedspike.energy.pairing import compared
from fedspike.energy.profiles import shipped
from fedspike.energy.recorded import recorded
from fedspike.layers.activity import Activity
from fedspike.layers.operations import NetworkOperations
from fedspike.networks import ANN, SNN
from fedspike.parts.optimisers import Adam
from fedspike.parts.read_outs import MeanMembrane, ReadOut, SpikeCount
from fedspike.records import joined
from fedspike.records.schema import LARGE, VERSION, RunSummary
from fedspike.report.analysis.results import Results
from running import resealed

ROUNDS = 100
FINAL_PERCENT = {
    "qann": {10: 86.5, 7: 85.6, 5: 84.1, 4: 83.0, 3: 81.0},
    "ann": {10: 86.8, 7: 86.1, 5: 84.7, 4: 83.4, 3: 81.4},
    "snn": {10: 86.6, 7: 85.2, 5: 82.7, 4: 80.3, 3: 76.1},
}
OPERATIONS = {"ann": 79_400.0, "qann": 79_400.0, "snn": 1_146_000.0}
PRICE_PJ = {"ann": 3.1, "qann": 3.1, "snn": 0.1}
ENVIRONMENT = {
    **{"python": "3.11.2", "fedspike": "0.1.0", "torch": "2.13.0", "numpy": "2.4.6"},
    **{"engine": "plain torch", "git_commit": None, "platform": "Linux x86_64"},
    **{"cpu": "a processor", "cores": 2, "threads": 2},
}
NETWORK_TABLES = ("snn", "code", "neuron", "loss", "qann")
SAMPLES_PER_ROUND = 20_000
NOTHING = {"samples": 1, "steps": 0, "events_in": {"hidden": 0, "output": 0}}


def run(
    network: str = "ann",
    classes: int | None = 10,
    seed: int = 0,
    *,
    rounds: int = ROUNDS,
    algorithm: str = "fedavg",
    partition: dict[str, Any] | None = None,
    final_percent: float | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """A finished run's own summary."""
    partition = partition or {"kind": "classes", "classes": classes}
    kind, centralised = partition["kind"], partition["kind"] == "centralised"
    final = final_percent or FINAL_PERCENT[network].get(classes or 10, 80.0) + 0.2 * seed
    energy = OPERATIONS[network] * SAMPLES_PER_ROUND * PRICE_PJ[network] * 1e-9
    images = weights(
        40 if network == "ann" else 25, seed, noise=0.2 + 0.06 * (10 - (classes or 10))
    )
    scale = float(np.abs(images).max()) / 127
    config: dict[str, Any] = {"name": "study", "network": network, "seed": seed, "rounds": rounds}
    config |= {"data": {"name": "fashion-mnist"}, "partition": partition}
    config |= {"architecture": {"hidden": [100]}, "algorithm": {"kind": algorithm}}
    config |= {"fleet": {"clients": 10, "clients_per_round": "all", "samples_per_round": 2000}}
    config |= {"optimiser": {"kind": "adam", "learning_rate": 0.001}}
    if network == "snn":
        config |= {"snn": {"time_steps": 50, "beta": 0.9, "read_out": "count"}}
        config |= {"code": {"kind": "rate"}, "neuron": {"kind": "lif"}}
        config |= {"loss": {"kind": "spike-count", "correct_rate": 0.8}}
    if network == "qann":
        config |= {"snn": {"time_steps": 50}, "qann": {"bits": 6}}
    exchanged = 0 if centralised else 10 * 79_510 * 4
    return {
        "schema": VERSION,
        "name": f"{network}-{kind}{classes or ''}-{algorithm}-seed{seed}",
        "network": network,
        "partition": partition,
        "classes_per_client": classes if kind in ("classes", "iid") else None,
        "centralised": centralised,
        "seed": seed,
        "rounds": rounds,
        "algorithm": algorithm,
        "accuracy": curve(final / 100, rounds, seed, skew=10 - (classes or 10)),
        "final_accuracy": final / 100,
        "final_accuracy_mean_last_10": final / 100 - 0.002,
        "disturbed": [],
        "training_loss": [0.5] * rounds,
        "parameters": 79_510,
        "layers": [784, 100, 10],
        "network_operations": operations(50 if network == "snn" else None),
        "network_tables": [table for table in NETWORK_TABLES if table in config],
        "samples_per_round": SAMPLES_PER_ROUND,
        "forward_operations_per_sample": OPERATIONS[network],
        "operations": {"mac": 1, "ac": 0},
        "spikes_per_sample": {},
        "study_energy_mj_per_round": energy,
        "uplink_bytes_per_round": exchanged,
        "downlink_bytes_per_round": exchanged,
        "seconds": 81.5,
        "class_counts": counts(classes, centralised),
        "clients": len(counts(classes, centralised)),
        "settings_sha256": hashlib.sha256(json.dumps(config).encode()).hexdigest(),
        "data_sha256": "da",
        "model_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "config": config,
        "firing_rates": {},
        "ill_layers": {},
        "rate_limits": {},
        "rejected": {},
        "missing": 0,
        "skipped_rounds": 0,
        "round_seconds": {},
        "nodes": [],
        "measured": None,
        "unfit": [],
        "activity": NOTHING,
        "tested": NOTHING,
        "counts": {},
        "target_accuracy": TARGET,
        "rounds_to_target": None,
        "bill": {},
        "bill_skip_zeros": {},
        "bill_by": {"phase": {}, "layer": {}},
        "bill_evaluation": {},
        "neurobench": None,
        "raster": None,
        "predictions": None,
        "files": {},
        "weights": {"sharpness": 1.7 - 0.01 * seed},
        "hidden_weights": {
            "shape": list(images.shape),
            "scale": scale,
            "int8_base64": base64.b64encode(
                np.rint(images / scale).astype(np.int8).tobytes()
            ).decode(),
        },
    } | changes


def operations(time_steps: int | None, read_out: ReadOut | None = None) -> dict[str, Any]:
    """What a device does for the founding study's network and its training with Adam."""
    spiking = SNN(time_steps=time_steps or 1, read_out=read_out or SpikeCount())
    network = (ANN() if time_steps is None else spiking).over((28, 28), 10)
    plain: dict[str, Any] = msgspec.to_builtins(
        network.operations().trained_by(Adam().operations())
    )
    return plain


def variant(
    one: dict[str, Any], code: str, time_steps: int, read_out: str = "count"
) -> dict[str, Any]:
    """The same run of an SNN with this code, these time steps and this read-out."""
    loss = {"kind": "spike-count" if read_out == "count" else "cross-entropy"}
    config = one["config"] | {"code": {"kind": code}, "neuron": {"kind": "lif"}, "loss": loss}
    config["snn"] = {"time_steps": time_steps, "beta": 0.9, "read_out": read_out}
    name = f"{one['name']}-{code}-{time_steps}-{read_out}"
    read = MeanMembrane() if read_out == "membrane" else SpikeCount()
    return one | {
        "name": name,
        "network_operations": operations(time_steps, read),
        "config": config,
    }


LIMITS = {
    "dead": {"rate": 0.001, "usual_fix": "lower snn.threshold"},
    "saturated": {"rate": 0.9, "usual_fix": "raise snn.threshold"},
}


def watched(
    one: dict[str, Any], hidden: float = 0.12, ill: str = "", rounds: int = 0
) -> dict[str, Any]:
    """A run of an SNN with its firing rates, `ill` in the hidden layer for so many rounds."""
    states = {"hidden": {ill: rounds}} if ill else {}
    rates = {"hidden": [hidden] * one["rounds"], "output": [0.2] * one["rounds"]}
    return one | {"firing_rates": rates, "ill_layers": states, "rate_limits": LIMITS}


def pictured(one: dict[str, Any], spikes: np.ndarray, image: np.ndarray) -> dict[str, Any]:
    """A run with a raster: spikes [time, pixel] of an image [height, width] of bytes."""
    return one | {
        "raster": {
            "shape": list(image.shape),
            "time_steps": len(spikes),
            "image_base64": base64.b64encode(image.astype(np.uint8).tobytes()).decode(),
            "spikes_base64": base64.b64encode(np.packbits(spikes).tobytes()).decode(),
        }
    }


SEEN = {"ann": (392.3, 41.0, 0.0), "snn": (11_215.5, 1_077.0, 140.0), "qann": (390.1, 39.0, 0.0)}
TARGET = 0.85
IMAGE = (np.full((4, 6), True), np.arange(6).reshape(2, 3))  # spikes, picture


def priced(one: dict[str, Any], *, sample_factor: float = 1.0) -> dict[str, Any]:
    """A run with its activity and bills: events per sample as in Fashion-MNIST, `sample_factor` of
    them, in 10 clients of 16 batches a round."""
    network, rounds = one["network"], one["rounds"]
    per_sample = [sample_factor * events for events in SEEN[network]]
    if not one["network_operations"]["layers"]["output"]["fires"]:
        per_sample[2] = 0  # its last layer does not fire
    first = next((n for n, a in enumerate(one["accuracy"], 1) if a >= TARGET), None)
    spiking = network == "snn"
    described = json.dumps(one["network_operations"])
    made = {
        **_account(described, tuple(per_sample), rounds, first),
        "target_accuracy": TARGET,
        "rounds_to_target": first,
        "neurobench": {
            "footprint_bytes": 318_040,
            "connection_sparsity": 0.0,
            "activation_sparsity": 0.55 if network == "ann" else 0.81,
            "effective_macs": 0.0 if spiking else 39_640.0,
            "effective_acs": OPERATIONS["snn"] if spiking else 0.0,
            "dense_operations": 79_400 * (50 if spiking else 1),
        },
        "bill_evaluation": {
            name: {"low_mj": 1.0, "nominal_mj": 1.0, "high_mj": 1.0, "not_priced": []}
            for name in shipped()
        },
    }
    return one | made


@cache
def _account(
    described: str, per_sample: tuple[float, ...], rounds: int, first: int | None
) -> dict[str, Any]:
    """Activity and bills of a network."""
    network = msgspec.json.decode(described, type=NetworkOperations)

    def work(rounds: int) -> Work:
        n = rounds * SAMPLES_PER_ROUND
        hidden, output, out = (round(n * events) for events in per_sample)
        activity = Activity(n, rounds * 160, {"hidden": hidden, "output": output}, out)
        sent = 10 * rounds * 79_510 * 4
        trained = recorded(network, activity, sent)
        return Work(trained, recorded(network, activity), sent, sent, rounds)

    whole, reached = work(rounds), None if first is None else work(first)
    profiles = list(shipped().values())
    skips = network.time_steps is None
    plain: dict[str, Any] = msgspec.to_builtins(
        {
            "activity": whole.trained.activity,
            "tested": whole.tested.activity,
            "bill": bills(whole, reached, profiles),
            "bill_skip_zeros": bills(whole, reached, profiles, skip_zeros=True) if skips else {},
            "bill_by": bill_by(whole, profiles),
        }
    )
    return plain


def pair(
    seed: int = 0, classes: int = 3, factor: float = 1.0, rounds: int = 5, **changes: Any
) -> list[Any]:
    """An ANN and an SNN of one seed, with bills; the SNN with `factor` times the spikes."""
    ann, snn = (run(network, classes, seed, rounds=rounds, **changes) for network in ("ann", "snn"))
    return [priced(ann), priced(snn, sample_factor=factor)]


def predicted(percent: float, shift: int = 0) -> dict[str, Any]:
    """Predictions of 1,000 samples of which so many percent are right, those after `shift` places."""
    labels = np.arange(1000) % 10
    wrong = np.roll(np.arange(1000) >= round(10 * percent), shift)
    kinds = {"labels": labels, "predicted": np.where(wrong, (labels + 1) % 10, labels)}
    encoded = {
        f"{name}_base64": base64.b64encode(values.astype(np.uint8).tobytes()).decode()
        for name, values in kinds.items()
    }
    return {"bytes_each": 1, **encoded}


def tested() -> list[dict[str, Any]]:
    """Both networks with what they said of each test sample, on even data and with 3 classes."""
    return [
        run(network, classes, rounds=5, final_percent=percent, predictions=predicted(percent))
        for classes, percents in ((10, (80, 81)), (3, (70, 60)))
        for network, percent in zip(("ann", "snn"), percents, strict=True)
    ]


CODES, STEPS, READ_OUTS = ("rate", "latency"), (5, 10), ("count", "membrane")


def sweep(*, rounds: int = 3, seeds: int = 1) -> list[dict[str, Any]]:
    """Eight spiking networks beside an ANN, on even data and with 3 classes; the longer the better."""
    runs = []
    for partition, classes in (({"kind": "iid"}, 10), ({"kind": "classes", "classes": 3}, 3)):
        for seed in range(seeds):
            setting: dict[str, Any] = {"rounds": rounds, "partition": partition}
            runs.append(priced(run("ann", classes, seed, final_percent=80.0 + seed, **setting)))
            for code, steps, read_out in itertools.product(CODES, STEPS, READ_OUTS):
                final = 70.0 + steps + (code == "rate") + 2 * (read_out == "membrane")
                snn = run("snn", classes, seed, final_percent=final, **setting)
                snn = variant(snn | {"hidden_weights": None}, code, steps, read_out)
                factor = steps / 50 * (1 if code == "rate" else 0.2)
                runs.append(watched(priced(snn, sample_factor=factor)))
    return runs


def on_nodes() -> list[dict[str, Any]]:
    """A run on two devices, of which one was measured, and on a measured host."""
    node = {"rounds": 2, "failed": 0, "samples": 4000, "operations": {"mac": 0, "ac": 7}}
    node |= {"uplink_bytes": 10, "downlink_bytes": 20, "training_seconds": 1.5}
    nodes = [
        node | {"node": "pi", "clients": [0, 1], "joules": {"usb": 3.21}},
        node | {"node": "laptop", "clients": [2], "joules": {}},
    ]
    interval = {"mean": 12.3, "low": 12.0, "high": 12.6}
    measured = [
        {"sensor": "powercap", "unavailable": "no folder /sys/class/powercap"},
        {"sensor": "zeus", "domain": "gpu-0", "joules_per_round": interval, "windows": 5},
    ]
    snn = pictured(variant(run("snn", rounds=2), "burst", 4), *IMAGE)
    seconds = {"training": 1.5, "transport": 0.25}
    sizes = {"width 0.25": [0.6, 0.7]}
    needed = {"": 2_833_000, "width 0.25": 820_000}
    told = {"measured": measured, "sizes": sizes, "training_bytes": needed}
    return [snn | {"nodes": nodes, "round_seconds": seconds} | told]


def three_networks() -> list[dict[str, Any]]:
    """A conventional, a quantised and a spiking network, in two settings that follow no study.

    They are tested in noise and out of focus, too.
    """
    amounts = {"noise": (0.1, 0.2), "blur": (1.0, 2.0)}
    tests = [
        {"kind": kind, "amount": amount, "accuracy": 0.7 - 0.1 * amount}
        for kind, each in amounts.items()
        for amount in each
    ]
    return [
        priced(run(network, classes, rounds=9, disturbed=tests))
        for classes in (10, 3)
        for network in ("ann", "snn", "qann")
    ]


def algorithms(
    points: dict[str, float] | None = None, *, seeds: int = 7, held: Sequence[int] = (10, 3)
) -> list[dict[str, Any]]:
    """An SNN under several algorithms, each so many points ahead; each client holds so many classes."""
    points = points or {"fedprox": 3.0, "fedavg": 0.0, "fedadam": 0.5}
    return [
        run("snn", classes, seed, algorithm=algorithm, final_percent=final, rounds=2)
        | {"hidden_weights": None}
        for classes in held
        for algorithm, ahead in points.items()
        for seed in range(seeds)
        for final in [50.0 + 3 * classes + ahead * (1 - (-1) ** seed * seed / 10) + 0.3 * seed]
    ]


def large_fleet() -> list[dict[str, Any]]:
    """More clients than can be drawn one by one, none with as many samples as another."""
    sizes = {"class_counts": [[n] * 10 for n in range(1, 131)], "clients": 130}
    return [run("snn", 3, rounds=2) | sizes | {"hidden_weights": None}]


EXAMPLES: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "study": lambda: study(),
    "three networks": three_networks,
    "sweep": sweep,
    "nodes": on_nodes,
    "algorithms": lambda: algorithms(held=(10, 5, 3)),
    "many settings": lambda: algorithms(held=(10, 9, 8, 7, 5, 4, 3), seeds=1),
    "predictions": tested,
    "large fleet": large_fleet,
}


def results(directory: Path, runs: list[dict[str, Any]], **changes: Any) -> Results:
    """The runs, laid down as an experiment, as the figures get them."""
    write(directory, runs, **changes)
    return Results(*joined.read([directory]))


def study(seeds: int = 1) -> list[dict[str, Any]]:
    """The runs of the founding study with the centralised baseline: twelve for each seed."""
    central = {"kind": "centralised"}
    return [
        *(
            priced(run(network, classes, seed))
            for seed in range(seeds)
            for network in ("ann", "snn")
            for classes in (10, 7, 5, 4, 3)
        ),
        *(
            priced(run(network, None, seed, partition=central, final_percent=87.5 + seed))
            for seed in range(seeds)
            for network in ("ann", "snn")
        ),
    ]


def summaries(runs: list[dict[str, Any]]) -> list[RunSummary]:
    """The runs as they are read."""
    return [msgspec.convert(run, RunSummary) for run in runs]


def write(directory: Path, runs: list[dict[str, Any]], **changes: Any) -> Path:
    """Lay the runs down as an experiment and return its directory."""
    for one in runs:
        home = directory / str(one["name"])
        home.mkdir(parents=True)
        (home / "config.toml").write_text("")
        content = resealed(one)
        one["seal"] = json.loads(content)["seal"]
        (home / "summary.json").write_bytes(content)
    summary = {
        "schema": VERSION,
        "name": "study",
        "command": "fedspike run study",
        "created": "2026-11-22T21:14:05+00:00",
        "environment": ENVIRONMENT,
        "dataset": {
            "name": "fashion-mnist",
            "source": "the cache",
            "sha256": {"train-images-idx3-ubyte.gz": "3aede38d61863908" * 4},
            "train_samples": 60_000,
            "test_samples": 10_000,
        },
        "runs": [one | dict.fromkeys(LARGE) for one in runs],
        "comparisons": [],
    }
    if all(one["bill"] for one in runs):
        summary["comparisons"] = msgspec.to_builtins(compared(summaries(runs)))
    (directory / "summary.json").write_bytes(resealed(summary | changes))
    return directory


def curve(final: float, rounds: int, seed: int, skew: int) -> list[float]:
    """Rises fast, then slowly; the more skewed, the slower and the more unsteady. Ends at final."""
    steps = np.arange(1, rounds + 1)
    rise = final - (final - 0.3) * np.exp(-steps / (3 + 1.5 * skew))
    swing = np.sin(steps * (2.1 + seed)) * np.sin(steps * 0.7) * 0.004 * skew
    values = np.clip(rise + swing * np.minimum(1, steps / 20), 0.1, 1)
    return [*values[:-1].round(4).tolist(), final]


def counts(classes: int | None, centralised: bool) -> list[list[int]]:
    """Ten clients with 6,000 samples each of so many classes, or one with everything."""
    if centralised:
        return [[6000] * 10]
    held = classes or 2
    return [
        [6000 // held if (label - client) % 10 < held else 0 for label in range(10)]
        for client in range(10)
    ]


def garments(count: int, seed: int = 0) -> np.ndarray:
    """Flat clothes with sharp edges: trousers, shirts and boots of random sizes."""
    random = np.random.default_rng(seed)
    images = np.zeros((count, 28, 28))
    for i, image in enumerate(images):
        width, top = random.integers(4, 7), random.integers(2, 6)
        image[top:26, 14 - width : 14 + width] = random.uniform(0.5, 1)
        if i % 3 == 0:
            image[top + 8 : 26, 13:15] = 0  # between the legs
        elif i % 3 == 1:
            image[top : top + 6, 3:25] = 0.8  # sleeves
            image[top + 3 : 26 : 4, 14 - width : 14 + width] *= 0.6  # stripes
        else:
            image[20:26, 4:14] = 0.9  # a toe
    return images


def weights(count: int, seed: int, noise: float) -> np.ndarray:
    """What a hidden layer might have learnt: one garment against another, and noise."""
    random = np.random.default_rng(seed + 100)
    difference = garments(count, seed) - 0.7 * garments(count, seed + 1)[::-1]
    return 0.2 * (difference + noise * random.uniform(-1, 1, difference.shape))
