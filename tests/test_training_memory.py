"""The memory model against what one client's process really takes, and what it lets devices train."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fedspike.algorithms import MIFA, MOON, Ditto, FedAvg, FedDyn, FedProx, Scaffold
from fedspike.errors import InputError
from fedspike.federation.devices import Fleet
from fedspike.federation.plan import Plan
from fedspike.federation.rounds import rounds
from fedspike.federation.training_memory import training_bytes
from fedspike.learning import OTTT, Backpropagation, EProp
from fedspike.networks import ANN, SNN, Convolutional, FullyConnected, Network, SizedNetwork
from fedspike.parts.neurons import LIF, AdaptiveLIF
from fedspike.parts.optimisers import SGD
from fedspike.remedies import FedRolex, HeteroFL
from running import finish, sample

SAMPLE = sample(tested=50)
RESETS_PEAK = Path("/proc/self/clear_refs").exists()
# Every piece of 16 kB is the system's own and goes back to it, so that the peak is what was in use.
QUIET = {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "16384"}
MEASURED = """
import ctypes, gc, sys
import numpy as np, torch
import fedspike as fs
from fedspike.federation.cohort import train_cohort
from fedspike.federation.devices import Given
from fedspike.algorithms.trees import copied
from fedspike.networks import *
from fedspike.parts.neurons import *
from fedspike.parts.read_outs import *
from fedspike.parts.optimisers import *
from fedspike.randomness import stream
from fedspike.remedies import HeteroFL

def of(network, width, images):
    rows = np.arange(600) % 10
    grey = fs.Layout(axes="sample height width")
    data = fs.Dataset.from_arrays(images, rows, images[:10], rows[:10], layout=grey)
    plan = fs.Plan(
        network=network, data=data, partition=Given((np.arange(600),)), fleet=fs.Fleet(clients=1),
        learner=fs.{learner}, remedies=(HeteroFL((width,)),), algorithm=fs.{algorithm},
    )
    site = plan.site()
    server = site.algorithm.start(site.network.init(stream(0, "init")))
    return site, {{0: copied(site.algorithm.order(server, 0))}}

def now(field):
    lines = open("/proc/self/status").read().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(field)))

images = np.random.default_rng(0).random((600, 28, 28), np.float32)
# What is loaded and kept once is no memory of this training: the same with as little as there may be.
small = of({small}, 1.0, np.ascontiguousarray(images[:, :8, :8]))
train_cohort(*small[:1], [0], small[1], {{}}, 1)
site, received = of({network}, {width}, images)
del small
gc.collect()
ctypes.CDLL(None).malloc_trim(0)
open("/proc/self/clear_refs", "w").write("5")
code = now("RssFile")  # what is read of libraries meanwhile is no memory of a training
before = now("VmRSS") - sum(t.nbytes for t in received[0]["model"].values())
train_cohort(site, [0], received, {{}}, 1)
print(now("VmHWM") - before - (now("RssFile") - code))
"""


def measured(network: str, small: str, width: float, learner: str, algorithm: str) -> int:
    """Bytes that the process of a client took at its peak, above what it took at rest."""
    how = {"width": width, "learner": learner, "algorithm": algorithm}
    code = MEASURED.format(network=network, small=small, **how)
    ran = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | QUIET, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    return int(ran.stdout)


SMALL = "FullyConnected((1,))"
TIRING = "AdaptiveLIF(adaptation=0.2, rho=0.9)"
IMAGES = "Convolutional(features=(8, 16), hidden=(32,))"
PARTS = (
    *(ANN, SNN, FullyConnected, Convolutional, AdaptiveLIF, SGD, OTTT, EProp, Backpropagation),
    *(FedAvg, MOON, Scaffold, FedDyn, MIFA, FedProx, Ditto),
)
USUAL, PLAIN_STEPS = "Backpropagation()", "Backpropagation(None, SGD())"
KEPT = 'Backpropagation(optimiser_memory="kept")'
WIDE, LONG = "FullyConnected((400,))", "FullyConnected((100,))"
CASES = [
    ("ANN({})", WIDE, 0.25, USUAL, "FedAvg()"),
    ("SNN(10, {})", WIDE, 0.25, USUAL, "FedAvg()"),
    ("ANN({})", WIDE, 0.25, USUAL, "MOON()"),
]
ALGORITHMS = [
    ("SNN(20, {})", LONG, 1.0, USUAL, "MOON()"),
    ("ANN({})", WIDE, 1.0, PLAIN_STEPS, "MOON()"),
    ("ANN({})", IMAGES, 1.0, USUAL, "MOON()"),
    ("ANN({})", WIDE, 1.0, PLAIN_STEPS, "Scaffold()"),
    ("ANN({})", WIDE, 1.0, USUAL, "FedDyn()"),
    ("ANN({})", WIDE, 1.0, USUAL, "FedProx()"),
    ("ANN({})", WIDE, 1.0, USUAL, "Ditto()"),
    ("ANN({})", WIDE, 1.0, USUAL, "MIFA()"),
    ("ANN({})", WIDE, 1.0, KEPT, "FedAvg()"),
    ("SNN(10, {})", WIDE, 1.0, KEPT, "FedAvg()"),
    ("ANN({})", WIDE, 1.0, KEPT, "MIFA()"),
]
OTHERS = [
    ("ANN({})", WIDE, 1.0, USUAL),
    ("SNN(10, {})", WIDE, 1.0, USUAL),
    ("SNN(50, {})", WIDE, 0.25, "Backpropagation(None, SGD())"),
    (f"SNN(20, {{}}, neuron={TIRING})", LONG, 1.0, USUAL),
    (f"SNN(50, {{}}, neuron={TIRING})", LONG, 1.0, USUAL),
    ("SNN(50, {})", LONG, 1.0, "OTTT()"),
    ("SNN(10, {})", WIDE, 1.0, "OTTT()"),
    ("SNN(50, {})", LONG, 1.0, "EProp(batch_size=32)"),
    ("ANN({})", IMAGES, 1.0, USUAL),
    ("ANN({})", "Convolutional()", 1.0, USUAL),
]


@pytest.mark.skipif(not RESETS_PEAK, reason="the system does not tell a process its peak anew")
@pytest.mark.parametrize(
    ("network", "architecture", "width", "learner", "algorithm"),
    [
        *CASES,
        *(pytest.param(*case, "FedAvg()", marks=pytest.mark.agreement) for case in OTHERS),
        *(pytest.param(*case, marks=pytest.mark.agreement) for case in ALGORITHMS),
    ],
)
def test_the_model_is_within_15_percent_of_the_process(
    network: str, architecture: str, width: float, learner: str, algorithm: str
) -> None:
    names = {kind.__name__: kind for kind in PARTS}
    described = network.format(architecture)
    sized: SizedNetwork = eval(described, names).over((28, 28), 10)
    narrow = sized if width == 1 else sized.narrowed(width)
    modelled = training_bytes(narrow, eval(learner, names), 600, eval(algorithm, names))
    small = "Convolutional(features=(1,), hidden=())" if "Convol" in architecture else SMALL
    taken = measured(described, network.format(small), width, learner, algorithm)
    assert modelled == pytest.approx(taken, rel=0.15)


def plan(*remedies: HeteroFL, network: Network | None = None, **fleet: object) -> Plan:
    return Plan(
        network=network or ANN(FullyConnected((400,))),
        data=SAMPLE,
        fleet=Fleet(**{"clients": 4, "samples_per_round": 20} | fleet),  # type: ignore[arg-type]
        learner=Backpropagation(batch_size=8),
        remedies=remedies,
        rounds=1,
    )


@pytest.mark.parametrize("remedy", [HeteroFL(), FedRolex()])
def test_each_device_trains_the_widest_network_that_fits(remedy: HeteroFL) -> None:
    (chosen,) = plan(remedy, memory_kb=(11_000, 3_000)).fitted().remedies
    assert chosen.widths == (1.0, 0.25, 1.0, 0.25)
    assert type(chosen) is type(remedy)
    assert plan(remedy).fitted() == plan(remedy)
    round = next(rounds(plan(remedy, memory_kb=(11_000, 3_000))))
    assert round.sizes.keys() == {"width 0.25"}


def test_who_nothing_fits_is_refused_before_round_1_or_left_out() -> None:
    """The control: only large devices take part."""
    with pytest.raises(
        InputError, match=r"client 1 with memory_kb = 3000: its training needs 9,"
    ) as e:
        next(rounds(plan(memory_kb=(11_000, 3_000))))
    assert "heterofl" in str(e.value)
    assert e.value.keys == ("fleet.memory_kb",)
    with pytest.raises(InputError, match="memory_kb = 1"):
        next(rounds(plan(HeteroFL(), memory_kb=(1,), unfit="absent")))
    round = next(rounds(plan(memory_kb=(11_000, 3_000), unfit="absent")))
    assert round.clients == (0, 2)
    assert round.missing == ()


def test_a_file_that_nothing_fits_is_refused_by_its_line(tmp_path: Path) -> None:
    text = 'name = "tiny"\nrounds = 1\n[data]\nkind = "fashion-mnist-sample"\n[fleet]\nmemory_kb = [1]\n'
    with pytest.raises(InputError, match=r"tiny.toml, line 6: .*memory_kb"):
        finish(text, tmp_path)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    "network",
    [ANN(), SNN(5), SNN(5, neuron=LIF(learn_beta="per-layer"))],
)
def test_the_model_says_less_of_what_is_narrower(network: Network) -> None:
    whole = network.over((28, 28), 10)
    needs = [training_bytes(whole.narrowed(w), Backpropagation(), 100) for w in (1.0, 0.5, 0.25)]
    assert needs == sorted(needs, reverse=True)
    plain = training_bytes(whole, Backpropagation(optimiser=SGD()), 100)
    adam = training_bytes(whole, Backpropagation(), 100)
    learned = isinstance(network, SNN) and network.neuron.initial(1)  # else Adam steps in a row
    assert adam - plain == (2 if learned else 1) * 4 * whole.architecture.parameters
    kept = training_bytes(whole, Backpropagation(optimiser_memory="kept"), 100)
    assert kept - plain == 3 * 2 * 4 * whole.architecture.parameters
    plain_kept = Backpropagation(optimiser=SGD(), optimiser_memory="kept")
    assert training_bytes(whole, plain_kept, 100) == plain


@pytest.mark.parametrize("size", ["0", "-1"])
def test_impossible_budgets(size: str) -> None:
    with pytest.raises(InputError, match="memory_kb"):
        Fleet(memory_kb=(float(size),))
