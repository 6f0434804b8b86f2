"""A plan: all that decides a training, from Python or from a file."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, cast

import msgspec
import numpy as np
import torch
from msgspec import Meta, Struct
from msgspec.structs import replace

from fedspike.algorithms import (
    Algorithm,
    FedAvg,
    demand_learner,
    with_labels,
    with_memory,
    with_statistics,
)
from fedspike.data import Cameras, Dataset, Source, load_data
from fedspike.data.partition import IID, class_counts
from fedspike.errors import InputError
from fedspike.federation import room, training_memory
from fedspike.federation.cohort import Site, samples
from fedspike.federation.devices import Count, Devices, Fleet, Held
from fedspike.learning import Backpropagation, Learner
from fedspike.networks import ANN, SizedNetwork
from fedspike.own_files import parts_in
from fedspike.part import demand_fit, demand_limits, tag
from fedspike.parts.codes import Direct, Rate
from fedspike.parts.optimisers import SGD
from fedspike.parts.soundness import demand_sound
from fedspike.remedies import Remedy

__all__ = ["Plan"]  # what `import fedspike` gives

REMEDIES_FIX = "write remedies=(Clipping(1.0),)"

Seed = Annotated[int, Meta(ge=0, le=2**63 - 1)]

# A name becomes a folder, so it must not be able to leave its parent.
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")]

Amounts = Annotated[tuple[Annotated[float, Meta(gt=0, le=100)], ...], Meta(max_length=50)]


class Plan(Struct, frozen=True, kw_only=True, repr_omit_defaults=True):
    """What `rounds` does. Pixels and classes follow from the data, who holds what from the partition.

    `network` is a description, `network.over(shape, classes)` the network that runs. `partition(labels,
    clients, seed)` gives each client its positions in the training set; its seed is `partition_seed`, where
    there is one, and that is the seed of the clients' `cameras`, too. The remedies are applied to the
    algorithm in their order. `target_accuracy` and `name` decide nothing of the training, nor do `test_noise`
    and `test_blur`: when all rounds are done, the model is also tested on samples disturbed like that.

    Raises InputError for a value outside its limits, and for an optimiser that the algorithm cannot have.
    """

    network: Any
    data: Any
    partition: Any = IID()
    fleet: Fleet = Fleet()
    cameras: Cameras | None = None
    learner: Learner = Backpropagation()
    algorithm: Algorithm = FedAvg()
    remedies: Annotated[tuple[Any, ...], Meta(extra={"fix": REMEDIES_FIX})] = ()
    rounds: Annotated[Count, Meta(description="how often the devices train")] = 100
    seed: Annotated[Seed, Meta(description="of all that is random")] = 0
    partition_seed: Annotated[
        Seed | None, Meta(description="of who holds what alone; left out: as seed")
    ] = None
    target_accuracy: Annotated[
        float, Meta(ge=0, le=1, description="the summary says what it cost to reach it")
    ] = 0.85
    test_noise: Annotated[
        Amounts,
        Meta(description="standard deviations of noise in which the final model is tested, too"),
    ] = ()
    test_blur: Annotated[
        Amounts,
        Meta(description="standard deviations, in pixels, of blur in which it is tested, too"),
    ] = ()
    name: Name = "plan"

    def __post_init__(self) -> None:
        demand_limits(self)
        self._demand_roles()
        if isinstance(self.data, Dataset) and not takes_recordings(self.network):
            msgspec.structs.force_setattr(self, "data", self.data.counted)
        msgspec.structs.force_setattr(self, "learner", self.learner.fitted(self.network))
        if getattr(self.partition, "one_client", False):
            msgspec.structs.force_setattr(self, "fleet", self.fleet.as_one_client())
        if self.algorithm.needs_sgd and not self.learner.follows_the_gradient:
            steps = getattr(self.learner, "optimiser", self.learner)
            raise InputError(
                f"{self.algorithm.kind} with the optimiser {getattr(steps, 'kind', steps)}",
                expected="plain gradient descent, for which the algorithm's mathematics holds",
                fix=f'set optimiser.kind = "{tag(SGD)}"; in Python, train with SGD',
                keys=("algorithm", "optimiser"),
            )
        demand_learner(self.remedied(), self.learner)
        fleet = self.fleet
        drops = {"over_selection": fleet.over_selection > 1, "deadline_s": fleet.deadline_s > 0}
        for name in (name for name, does in drops.items() if does):
            if self.algorithm.waits_for is not None:
                raise InputError(
                    f"{self.algorithm.kind} with {name} = {getattr(fleet, name)}",
                    expected="one of them: the one joins late answers, the other drops them",
                    fix=f"leave {name} out",
                    keys=("algorithm", f"fleet.{name}"),
                )
        self.fleet.availability.demand(self.fleet.clients, self.rounds)
        self.remedied().among(self.fleet.clients, self.seed)

    def _demand_roles(self) -> None:
        """Raise InputError where what can be of any type cannot do what is asked of it."""
        demand_fit(
            "Plan: network",
            self.network,
            hasattr(self.network, "over"),
            expected="a network",
            fix="write SNN() or ANN()",
        )
        _demand_data(self.data, self.data is None or isinstance(self.data, Dataset | Source))
        _demand_partition(self.partition, self.partition is None or callable(self.partition))
        for remedy in self.remedies:
            demand_fit(
                "Plan: remedies",
                remedy,
                isinstance(remedy, Remedy),
                expected="remedies",
                fix=REMEDIES_FIX,
            )

    def remedied(self, remedies: Sequence[Remedy] | None = None) -> Algorithm:
        """The algorithm with the remedies over it; raises InputError where one cannot be over it."""
        algorithm = self.algorithm
        for place, remedy in enumerate(self.remedies if remedies is None else remedies):
            try:
                algorithm = remedy.over(algorithm)
            except InputError as error:
                raise InputError(
                    error.passed,
                    expected=error.expected,
                    fix=error.fix,
                    keys=(f"remedies.[{place}]",),
                ) from error
        return algorithm

    def loaded(self) -> "Plan":
        """With its data in memory; what is read without a word is logged. InputError if they are nowhere."""
        return self if isinstance(self.data, Dataset) else replace(self, data=load_data(self.data))

    def fitted(self) -> "Plan":
        """With what fits into each device's memory. Raises InputError where nothing fits one."""
        if not self.fleet.memory_kb:
            return self
        remedies, _ = self._chosen(self.sized_network(), self._all_devices())
        return replace(self, remedies=remedies)

    def _chosen(
        self, network: SizedNetwork, devices: Devices
    ) -> tuple[tuple[Remedy, ...], frozenset[int]]:
        return training_memory.chosen(self.remedies, self.remedied, network, self.learner, devices)

    def devices(self) -> Devices:
        """The clients; raises InputError where the data cannot be divided among them, or nothing fits one."""
        devices = self._all_devices()
        if not self.fleet.memory_kb:
            return devices
        _, unfit = self._chosen(self.sized_network(), devices)
        return dataclasses.replace(devices, unfit=unfit)

    @property
    def seed_of_data(self) -> int:
        """The seed of who holds what."""
        return self.seed if self.partition_seed is None else self.partition_seed

    def _all_devices(self) -> Devices:
        clients, seed = self.fleet.clients, self.seed_of_data
        labels, over = self.data.y_train, getattr(self.partition, "over", None)
        shards = (
            over(labels, self.data.owners, clients, seed)
            if over
            else self.partition(labels, clients=clients, seed=seed)
        )
        dealt = getattr(self.partition, "dealt", True)
        devices = Devices(shards, self.fleet, open_seats=not dealt)
        if dealt and devices.shards.highest >= len(self.data.y_train):
            client = next(
                k for k, own in enumerate(devices.shards) if devices.shards.highest in own
            )
            raise InputError(
                f"client {client} holds sample {devices.shards.highest}",
                expected=f"positions in the training set, from 0 to {len(self.data.y_train) - 1}",
                fix="divide the labels that partition(labels, clients, seed) is given",
            )
        return dataclasses.replace(devices, holds=lambda most: self._holds(devices, most))

    def _holds(self, devices: Devices, most: int | None) -> Any:
        if isinstance(self.partition, Held):
            return self.partition.counts[:most]
        return class_counts(self.data.y_train, devices.shards, self.data.classes, most)

    def class_counts(self, most: int | None = None) -> list[list[int]]:
        """How many samples of each class every client holds, or each of the first ones."""
        return cast(list[list[int]], self.devices().of_classes(most).tolist())

    def sized_network(self) -> SizedNetwork:
        """The network over the data. Raises InputError where it does not fit, or a part answers wrongly.

        Nor may it need more memory than this machine has.
        """
        data, shape = self.data, self.data.shape
        self._demand_recordings()
        network: SizedNetwork = self.network.over(shape, data.classes)
        layers, pixels = network.architecture.layers, math.prod(shape)
        if not network.takes(pixels) or layers[-1] != data.classes:
            raise InputError(
                f"a network of layers {layers} for data of {pixels} pixels and {data.classes} classes",
                expected="as many inputs as pixels and as many outputs as classes",
                fix=f"make the network for {pixels} pixels and {data.classes} classes",
            )
        if data.signed and not network.signed:
            reader = self.network if network.code is None else network.code
            other = "network" if network.code is None else "code.kind"
            kind = tag(ANN) if network.code is None else tag(Direct)
            raise InputError(
                f"{reader.kind} over signed data",
                expected="an ANN or the direct code, which read negative numbers",
                fix=f'leave signed out: then the range becomes 0 to 1; or set {other} = "{kind}"',
            )
        self.learner.demand_network(network)
        if self.test_blur and len(shape) < 2:
            raise InputError(
                f"test_blur = {list(self.test_blur)} over samples of shape {shape}",
                expected="images, which can be blurred",
                fix="leave test_blur out, or say which axes of the samples are height and width",
                keys=("test_blur",),
            )
        room.demand(room.training(self, network))
        demand_sound(parts_in(self), network.time_steps)
        return network

    def _demand_recordings(self) -> None:
        """Raise InputError where the network takes recordings and samples are others, or disturbed."""
        steps = self.data.time_steps
        if takes_recordings(self.network) and steps != self.network.time_steps:
            there = f"recordings in {steps} time steps" if steps else "samples without time"
            raise InputError(
                f"{self.network.code.kind} in {self.network.time_steps} time steps over {there}",
                expected="recordings in as many time steps as the network has",
                fix=f"set time_steps = {steps}"
                if steps
                else f'set code.kind = "{tag(Rate)}", which makes spikes of such samples',
                keys=("time_steps",) if steps else ("code",),
            )
        asked = {
            "test_noise": self.test_noise,
            "test_blur": self.test_blur,
            "cameras": self.cameras,
        }
        if steps and (disturbed := [name for name, there in asked.items() if there]):
            raise InputError(
                f"{disturbed[0]} over recordings of events",
                expected="samples of numbers, which can be disturbed",
                fix=f"leave {disturbed[0]} out",
                keys=(disturbed[0],),
            )

    def _own(self, devices: Devices) -> dict[int, np.ndarray]:
        """The positions of the clients whose samples are here."""
        own = getattr(self.partition, "own", None)
        own = range(len(devices.shards)) if own is None else own
        return {client: devices.shards[client] for client in own}

    def _seen(self, shards: Mapping[int, np.ndarray]) -> np.ndarray:
        """The training samples as these clients see them."""
        if self.cameras is None or not shards:
            return cast(np.ndarray, self.data.x_train)
        clients, seed = self.fleet.clients, self.seed_of_data
        darkest = -1.0 if self.data.signed else 0.0
        return self.cameras.seen(self.data.x_train, shards, clients, seed, darkest=darkest)

    def algorithm_over(self, network: SizedNetwork) -> Algorithm:
        """The algorithm that trains a network: with the remedies, and what network and learner add to it.

        Where devices have so much memory each, the plan's data have to be loaded.
        """
        algorithm = self.fitted().remedied().among(self.fleet.clients, self.seed)
        algorithm = with_statistics(algorithm.fitted(network), network)
        return with_labels(with_memory(algorithm, self.learner), self.learner.labels(network))

    def site(self, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Site:
        """All that training takes, on a `device`. Raises InputError where parts and data do not fit."""
        data, network, devices = self.data, self.sized_network(), self.devices()
        algorithm = self.algorithm_over(network)
        shards = self._own(devices) if self.cameras else {}
        if self.cameras and shards:
            self.cameras.demand(data.shape, list(shards.values()))
        site = Site(
            network,
            algorithm,
            self.learner,
            devices,
            lambda: samples(self._seen(shards), data.y_train, dtype, device),
            self.seed,
        )
        site.demand_sizes()
        return site


def _demand_data(data: Any, fits: bool) -> None:
    demand_fit(
        "Plan: data",
        data,
        fits,
        expected="a Dataset or a source of one",
        fix='write load_data("fashion-mnist-sample"), or Dataset.from_arrays(...)',
    )


def _demand_partition(partition: Any, fits: bool) -> None:
    demand_fit(
        "Plan: partition",
        partition,
        fits,
        expected="a partition, called as partition(labels, clients, seed)",
        fix="write IID() or Classes(3)",
    )


def takes_recordings(network: Any) -> bool:
    """Whether spikes of recordings go into a network as they are; others see them counted."""
    return bool(getattr(getattr(network, "code", None), "recorded", False))


def demand_plan(plan: Any) -> None:
    """Raise InputError for what is no plan, or one without data and partition, as it is sent to devices."""
    demand_fit(
        "plan",
        plan,
        isinstance(plan, Plan),
        expected="a plan",
        fix="write Plan(network=SNN(), data=...)",
    )
    _demand_data(plan.data, plan.data is not None)
    _demand_partition(plan.partition, plan.partition is not None)
