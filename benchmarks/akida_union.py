"""Union against averages of what devices learned by STDP, in the software simulator of the akida chip.

    .venv-bench/bin/python -m pip install akida==2.19.3
    .venv-bench/bin/python benchmarks/akida_union.py    # --seeds 10 --devices 2 --start shared

Needs akida, and no chip. It is proprietary, here for this comparison alone, and its licence forbids to
publish results of benchmarks or tests without BrainChip's written permission: what this prints is not in our
pages, and read that licence before you print it anywhere.

Each seed draws classes of Fashion-MNIST, one more than devices, their images, and by the partition
`shared-classes` which one all devices hold. Prints, for each way to join, mean and standard deviation over
seeds of the accuracy on the classes' test images, after the first round and the last, and of that on the
shared class alone; then the union's differences to each average, seed by seed, with Wilcoxon's exact test and
Holm's correction over the averages. A tie among n classes counts 1/n. Nothing is chosen by these figures.

As in Motta and Nanni (arXiv 2603.13037): two devices, one shared class and one more for each; akida's own
learning in a fully connected layer of 50 neurons a class, 20 connections a neuron, competition 0.1; 64 binary
features, cut at their mean over 20 other images a class, the same for all; one pass over 50 samples a class
in each of 5 rounds; seeds 42 to 51.

Unlike there:
- Fashion-MNIST, its pixels averaged to 8 x 8; there spoken words, the features of a trained network.
- The simulator; there two chips.
- Each way goes on from its own round before; there all ways join what one of them has led to.
- Akida's learning starts anew in each round, with the weights of the round before.
- A class is joined over the devices that hold it; there any neuron with weights counts as trained.
- Devices hold different images of the shared class; there the same ones.
- In the union each device goes on with its own neurons, so it does not grow by the round.
- All devices start with the same neurons, which is good for averages; `--start own` is as there.

Weights are 0 or 1, so an average has several forms. "cut" is theirs: int8, without what follows the point.
"rounded" goes up from a half; for two devices that is the maximum. "kept to 20" are its largest weights,
drawn among equal ones. "exact" is tested in a layer of 4 bits, where nothing is lost but in which akida
cannot learn, so devices go on from its 20 largest. "union, as large" keeps of a class as many neurons as one
device has: those that most training images of it chose, none twice while there are others.
"""

import argparse
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from fedspike.data import Dataset, load_data
from fedspike.data.partition import SharedClasses
from fedspike.randomness import stream
from fedspike.report.analysis.significance import holm, in_words, signed_rank

SIDE, CALIBRATION = 8, 20
BITS, MOST_DEVICES = 4, 7  # a signed weight of 4 bits holds the sum of 7


@dataclass(frozen=True)
class Setting:
    """The protocol; its defaults are the paper's."""

    devices: int = 2
    neurons: int = 50  # a class
    connections: int = 20  # a neuron
    samples: int = 50  # a class and device
    rounds: int = 5
    competition: float = 0.1
    start: str = "shared"

    @property
    def classes(self) -> int:
        """One that is shared, and one for each device."""
        return self.devices + 1


@dataclass(frozen=True)
class Samples:
    """Binary features [sample, feature], and their labels."""

    features: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Held:
    """A class's neurons on the devices that hold it."""

    weights: np.ndarray  # [device, neuron, feature], 0 or 1
    uses: np.ndarray  # [device, neuron], training images that chose the neuron
    devices: int  # in the fleet
    noise: np.ndarray  # [neuron, feature], below 1: decides among equal weights


def cut(held: Held) -> np.ndarray:
    """The average without what follows the point."""
    return held.weights.mean(0).astype(np.int8)


def rounded(held: Held) -> np.ndarray:
    """The average, up from a half."""
    return np.floor(held.weights.mean(0) + 0.5).astype(np.int8)


def exact(held: Held) -> np.ndarray:
    """The average times the number of devices, which is whole."""
    return held.weights.sum(0) * (held.devices // len(held.weights))


def strongest(held: Held) -> np.ndarray:
    """The average's largest weights, as many as a neuron has connections."""
    order = np.argsort(held.weights.sum(0) + held.noise, axis=1)[:, ::-1]
    kept = order[:, : held.weights[0, 0].sum()]
    joined = np.zeros_like(held.weights[0])
    np.put_along_axis(joined, kept, 1, axis=1)
    return joined


def maximum(held: Held) -> np.ndarray:
    """The largest of each weight."""
    return held.weights.max(0)


def selected(held: Held) -> np.ndarray:
    """Each neuron from the device where its weights are most, the first of equals."""
    best = held.weights.sum(2).argmax(0)
    return held.weights[best, np.arange(len(best))]


def union(held: Held) -> np.ndarray:
    """All neurons of all devices."""
    return held.weights.reshape(-1, held.weights.shape[2])


def as_large(held: Held) -> np.ndarray:
    """The neurons that were used most, none twice while there are others, as many as one device has."""
    rows, order = union(held), np.argsort(-held.uses.reshape(-1), kind="stable")
    _, first = np.unique(rows[order], axis=0, return_index=True)
    twice = np.ones(len(order), dtype=bool)
    twice[first] = False
    kept = order[np.argsort(twice, kind="stable")]
    return rows[kept[: held.weights.shape[1]]]


Joining = Callable[[Held], np.ndarray]
# What is tested, and from what the devices learn on: None is each from its own.
WAYS: dict[str, tuple[Joining, Joining | None]] = {
    "average, cut": (cut, cut),
    "average, rounded": (rounded, rounded),
    "average, kept to 20": (strongest, strongest),
    "average, exact": (exact, strongest),
    "maximum": (maximum, maximum),
    "selection by norm": (selected, selected),
    "union": (union, None),
    "union, as large": (as_large, as_large),
}


def layer(units: int, features: int, bits: int = 1) -> Any:
    """A model of akida with one layer, "neurons"."""
    import akida

    inputs = akida.InputData(input_shape=(1, 1, features), input_bits=1, name="inputs")
    neurons = akida.FullyConnected(units, weights_bits=bits, activation=False, name="neurons")
    return akida.Model([inputs, neurons])


def set_weights(model: Any, weights: np.ndarray) -> None:
    """Weights [neuron, feature] into the layer."""
    model.get_layer("neurons").set_variable("weights", weights.T[None, None].astype(np.int8))


def learned(weights: np.ndarray, samples: Samples, setting: Setting) -> np.ndarray:
    """Weights [class, neuron, feature] after a pass over the samples by akida's own rule."""
    import akida

    flat = weights.reshape(-1, weights.shape[2])
    model = layer(*flat.shape)
    rule = akida.AkidaUnsupervised(
        num_weights=setting.connections,
        num_classes=len(weights),
        learning_competition=setting.competition,
    )
    model.compile(optimizer=rule)
    set_weights(model, flat)
    model.fit(samples.features[:, None, None], samples.labels)
    after = model.get_layer("neurons").get_variable("weights")
    return after[0, 0].T.reshape(weights.shape)


def potentials(weights: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Akida's answer [sample, neuron] to binary features."""
    model = layer(*weights.shape, bits=1 if weights.max() <= 1 else BITS)
    set_weights(model, weights)
    return model.forward(features[:, None, None]).reshape(len(features), len(weights))


def right(classes: list[np.ndarray], test: Samples) -> np.ndarray:
    """For each test sample the share of its own class among those with the largest potential."""
    found = potentials(np.concatenate(classes), test.features)
    sizes = np.cumsum([len(neurons) for neurons in classes])[:-1]
    most = np.stack([part.max(1) for part in np.split(found, sizes, axis=1)], axis=1)
    winners = most == most.max(1, keepdims=True)
    return winners[np.arange(len(most)), test.labels] / winners.sum(1)


def dealt(data: Dataset, setting: Setting, seed: int) -> tuple[list[Samples], Samples]:
    """Each device's samples, and the test set, of features [sample, feature]; labels count from 0."""
    draws = stream(seed, "akida")
    classes = draws.permutation(data.classes)[: setting.classes]
    each = setting.samples * setting.devices
    rows = [
        draws.permutation(np.flatnonzero(data.y_train == one))[: CALIBRATION + each]
        for one in classes
    ]
    mean = data.x_train[np.concatenate([one[:CALIBRATION] for one in rows])].mean(0)
    learning = np.concatenate([one[CALIBRATION:] for one in rows])
    sizes = [len(one) - CALIBRATION for one in rows]
    labels = np.repeat(np.arange(setting.classes, dtype=np.int32), sizes)
    devices = []
    for shard in SharedClasses(1)(labels, setting.devices, seed):
        own = [shard[labels[shard] == one][: setting.samples] for one in range(setting.classes)]
        shown = draws.permutation(np.concatenate(own))
        features = (data.x_train[learning[shown]] > mean).astype(np.uint8)
        devices.append(Samples(features, labels[shown]))
    asked = np.isin(data.y_test, classes)
    place = np.argsort(classes)
    told = place[np.searchsorted(classes, data.y_test[asked], sorter=place)]
    return devices, Samples((data.x_test[asked] > mean).astype(np.uint8), told)


def pooled(data: Dataset) -> Dataset:
    """Of each image [28, 28] 64 means of its pixels."""

    def means(images: np.ndarray) -> np.ndarray:
        pool = torch.nn.functional.adaptive_avg_pool2d
        return pool(torch.from_numpy(images), SIDE).flatten(1).numpy()

    return replace(data, x_train=means(data.x_train), x_test=means(data.x_test))


def started(setting: Setting, features: int, seed: int, device: int) -> np.ndarray:
    """Weights [class, neuron, feature] with so many connections each, drawn."""
    draws = stream(seed, "akida start", client=device if setting.start == "own" else 0)
    drawn = draws.random((setting.classes, setting.neurons, features))
    return (drawn.argsort(2).argsort(2) < setting.connections).astype(np.int8)


def chosen(neurons: np.ndarray, features: np.ndarray) -> np.ndarray:
    """How many samples have each neuron [neuron] as their strongest."""
    return np.bincount(potentials(neurons, features).argmax(1), minlength=len(neurons))


def accuracies(data: Dataset, setting: Setting, seed: int, way: str) -> list[tuple[float, float]]:
    """After each round: the accuracy in percent, and that on the shared class."""
    devices, test = dealt(data, setting, seed)
    tested, learn_on = WAYS[way]
    width = test.features.shape[1]
    own = [started(setting, width, seed, device) for device in range(setting.devices)]
    holds = [np.unique(device.labels) for device in devices]
    shared = next(one for one in range(setting.classes) if all(one in held for held in holds))
    found = []
    for number in range(1, setting.rounds + 1):
        own = [learned(w, samples, setting) for w, samples in zip(own, devices, strict=True)]
        noise = stream(seed, "akida ties", number).random((setting.neurons, width))
        classes = []
        for one in range(setting.classes):
            holders = [device for device in range(setting.devices) if one in holds[device]]
            uses = [
                chosen(own[i][one], devices[i].features[devices[i].labels == one]) for i in holders
            ]
            weights = np.stack([own[i][one] for i in holders])
            held = Held(weights, np.stack(uses), setting.devices, noise)
            classes.append(tested(held))
            if learn_on:
                joined = learn_on(held)
                for weights in own:
                    weights[one] = joined
        share = 100 * right(classes, test)
        found.append((float(share.mean()), float(share[test.labels == shared].mean())))
    return found


def compared(found: dict[str, list[list[tuple[float, float]]]], way: str) -> list[tuple[Any, ...]]:
    """For each average: its name, the median difference of the way to it in points, and Holm's p."""
    last = {name: [rounds[-1][0] for rounds in seeds] for name, seeds in found.items()}
    averages = [name for name in WAYS if name.startswith("average")]
    gains = [[u - a for u, a in zip(last[way], last[name], strict=True)] for name in averages]
    ps = holm([signed_rank(gain) for gain in gains])
    return [
        (name, statistics.median(gain), sum(one > 0 for one in gain), p)
        for name, gain, p in zip(averages, gains, ps, strict=True)
    ]


def main() -> None:
    """A table of all ways, and the union against each average."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10, help="2 or more, from 42")
    parser.add_argument("--rounds", type=int, default=Setting.rounds)
    parser.add_argument("--devices", type=int, choices=range(2, MOST_DEVICES + 1), default=2)
    parser.add_argument("--start", choices=("shared", "own"), default="shared")
    parser.add_argument("--data", default="fashion-mnist", help="or fashion-mnist-sample")
    options = parser.parse_args()
    if options.seeds < 2:
        parser.error(f"--seeds {options.seeds}: give 2 or more, for a spread")
    try:
        import akida
    except ImportError:
        sys.exit(f"akida is not installed\n  fix: {sys.executable} -m pip install akida==2.19.3")
    setting = Setting(options.devices, rounds=options.rounds, start=options.start)
    data = pooled(load_data(options.data))
    needed = CALIBRATION + setting.samples * setting.devices
    if np.bincount(data.y_train).min() < needed:
        parser.error(f"--devices {options.devices}: {data.name} has not {needed} images of a class")
    seeds = range(42, 42 + options.seeds)
    print(f"akida {akida.__version__}, {data.name}, n = {options.seeds} seeds, {setting}")
    print(f"{'':20}{'round 1':>14}{f'round {options.rounds}':>14}{'shared class':>14}")
    found = {}
    for way in WAYS:
        found[way] = [accuracies(data, setting, seed, way) for seed in seeds]
        columns = [
            [rounds[which][part] for rounds in found[way]]
            for which, part in ((0, 0), (-1, 0), (-1, 1))
        ]
        cells = [f"{statistics.mean(c):.1f} ± {statistics.stdev(c):.1f}" for c in columns]
        print(f"{way:20}", *(f"{cell:>13}" for cell in cells), flush=True)
    for way in ("union", "union, as large"):
        print(
            f"{way}: median difference in points, seeds in which it is better, Wilcoxon with Holm"
        )
        for name, median, better, p in compared(found, way):
            print(f"  to {name:20}{median:+6.1f}  {better} of {options.seeds}  {in_words(p)}")


if __name__ == "__main__":
    main()
