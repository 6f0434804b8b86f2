"""Memory that a client needs to train, and what fits into a device's.

    4 bytes x parameters x (1 received + 1 weight + 2 gradients + moments + algorithm)  +  what a step keeps

The second gradient is that of the step before, which is there until the new one is; there is none where the
kernels make all steps of a round in a row. Moments that are kept
from round to round are there three times, as stored, as read and as they become. An algorithm has one more
where it corrects gradients, and what a client remembers, as a control variate or its last model, twice,
too. What a step keeps is told by the learner and the engine: activations and spikes, where models are
compared what these make of a minibatch, and where the kernels take a network in one pass their own layouts
of weights and gradients. A client trains on one thread, alone; its samples are not counted, nor the program
itself. tests/test_training_memory.py holds this against what a process really takes.
"""

import itertools
from collections.abc import Callable, Sequence

import torch

from fedspike.algorithms import Algorithm, FedAvg, engine_of
from fedspike.errors import InputError
from fedspike.federation.cohort import Site
from fedspike.federation.devices import Devices
from fedspike.learning import Learner
from fedspike.networks import SizedNetwork
from fedspike.part import tag
from fedspike.remedies import REMEDIES, Remedy

BYTES = 4  # of a number
PLAIN = FedAvg()


def training_bytes(
    network: SizedNetwork, learner: Learner, samples: int, algorithm: Algorithm = PLAIN
) -> int:
    """Memory of a client's round with so many samples; the equation."""
    architecture = network.architecture
    rows = learner.rows(samples * learner.epochs)
    engine = engine_of(algorithm, "cpu", torch.float32)
    kept = learner.peak_of_a_step(engine, network, rows)
    kept += BYTES * algorithm.models_compared * rows * architecture.layers[-2]
    in_a_row = not algorithm.corrects and learner.in_a_row(engine, network)
    copies = 1 + learner.copies - in_a_row + algorithm.corrects + 2 * algorithm.models_remembered
    return BYTES * architecture.parameters * copies + kept


def by_size(site: Site) -> dict[str, int]:
    """Memory that a client of each size needs, the whole network under ""; that of the most samples."""
    devices, algorithm = site.devices, site.algorithm
    first = {size: client for client, size in reversed(site.operations.sizes.items())}
    most = devices.samples(int(devices.shards.sizes.argmax()))
    return {"": training_bytes(site.network, site.learner, most, algorithm)} | {
        size: training_bytes(site.network_of(client), site.learner_of(client), most, algorithm)
        for size, client in first.items()
    }


def chosen(
    remedies: Sequence[Remedy],
    over: Callable[[Sequence[Remedy]], Algorithm],
    network: SizedNetwork,
    learner: Learner,
    devices: Devices,
) -> tuple[tuple[Remedy, ...], frozenset[int]]:
    """The remedies with what fits each client, and the clients that nothing fits.

    Of what fits the network that needs most is chosen, and of learners for it the first; so what a network
    needs is asked of the experiment's learner here.
    `over` makes an algorithm of remedies. Raises InputError where nothing fits a client, and such clients are
    refused, or it fits none.
    """
    budgets = devices.fleet.memory_kb
    if not budgets:
        return tuple(remedies), frozenset()
    options = [*itertools.product(*(remedy.options for remedy in remedies))]
    algorithms = [over(option).fitted(network) for option in options]
    networks = [algorithm.sub_network(network, 0) for algorithm in algorithms]
    learners = [algorithm.learner(learner, 0) for algorithm in algorithms]
    trained = [*zip(networks, learners, algorithms, strict=True)]
    needs: dict[int, tuple[list[int], list[int]]] = {}
    picked, unfit, least = [], set[int](), 0
    for client in range(len(devices.shards)):
        samples = max(1, devices.samples(client))
        if samples not in needs:
            needs[samples] = (
                [training_bytes(one, learner, samples, by) for one, _, by in trained],
                [training_bytes(one, own, samples, by) for one, own, by in trained],
            )
        (whole, own), budget = needs[samples], 1000 * budgets[client % len(budgets)]
        fitting = [(whole[place], -place) for place, need in enumerate(own) if need <= budget]
        if not fitting:
            unfit.add(client)
            least = max(least, min(own))
        picked.append(options[-max(fitting)[1]] if fitting else options[own.index(min(own))])
    if unfit and (devices.fleet.unfit == "refuse" or len(unfit) == len(devices.shards)):
        client, used = min(unfit), [remedy.kind for remedy in remedies]
        others = [tag(kind) for kind in REMEDIES if kind.options is not Remedy.options]
        ways = [kind for kind in others if kind not in used]
        raise InputError(
            f"client {client} with memory_kb = {budgets[client % len(budgets)]:g}: its training needs "
            f"{least / 1000:,.0f} kB",
            expected="devices into whose memory a training fits",
            fix=f"raise it, add one of [[remedies]] for such devices ({', '.join(ways)}), use a smaller "
            'network, or set fleet.unfit = "absent" to leave them out',
            keys=("fleet.memory_kb",),
        )
    by_remedy = zip(*picked, strict=True)
    return (
        tuple(remedy.chosen(own) for remedy, own in zip(remedies, by_remedy, strict=True)),
        frozenset(unfit),
    )
