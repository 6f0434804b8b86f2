"""Local learning: spike-timing-dependent plasticity in a layer of competing neurons, and what reads it.

    competing neurons learn from every sample, without its label      parts/plasticity
    an output layer says what they stand for                          from the labels

Source: Diehl, Cook, "Unsupervised learning of digit recognition using spike-timing-dependent plasticity",
Frontiers in Computational Neuroscience 9, 2015. Its labels are an `assigned` output: each neuron stands for
the class that it responds to most, on average, and a class's score is the mean response of its neurons.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import msgspec
import torch
import torch.nn.functional as F
from jaxtyping import Int64
from msgspec import Meta
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from fedspike.engine.choice import engine_for
from fedspike.engine.engines import Engine
from fedspike.errors import InputError
from fedspike.layers.activity import Activity
from fedspike.layers.operations import NetworkOperations
from fedspike.learning.batches import schedule, stacked
from fedspike.learning.labels import RECEIVED, Labels, settled
from fedspike.learning.learner import Correction, Learner, Shown, Trained
from fedspike.networks import Batch, Competition, Network, Parameters, SizedNetwork
from fedspike.networks.batch import count, events
from fedspike.parts.losses import CrossEntropy
from fedspike.parts.optimisers import Adam, Optimiser, Step
from fedspike.parts.plasticity import PairRule, Plasticity, Presented
from fedspike.parts.sums import total
from fedspike.parts.tensors import Labels as Labelled
from fedspike.parts.tensors import PerClient, Present, Winners

_NUMBERS = 2**24  # of spikes that are made at once
Count = Annotated[int, Meta(ge=1, lt=2**31)]


class STDP(Learner, tag="stdp"):
    """Competing neurons learn by a local rule, sample after sample; an output layer then reads them.

    The output is `assigned` (each neuron stands for the class that it responds to most), has for each neuron
    the `share` of each class in its mean responses, or is `supervised`: a layer trained by gradients, for
    `output_epochs` in minibatches of `batch_size`. The first two are made of all clients' responses to the
    model that they received, so a round tests the neurons of the round before, and round 1 those that have
    learned nothing yet. `allotted` neurons belong to classes from the start: only those of a sample's own
    class may fire for it while they learn.
    """

    plasticity: Plasticity = PairRule()
    output: Literal["assigned", "share", "supervised"] = "assigned"
    allotted: Annotated[bool, Meta(description="each neuron learns from one class alone")] = False
    epochs: Annotated[Count, Meta(description="passes over a client's samples of the round")] = 1
    optimiser: Optimiser = Adam()
    output_epochs: Annotated[Count, Meta(description="passes that train a supervised output")] = 1
    batch_size: Annotated[Count, Meta(description="samples per step of a supervised output")] = 32

    takes_gradients: ClassVar[bool] = False

    def fitted(self, network: Network) -> "STDP":
        """Itself; raises InputError for a network that no local rule can train."""
        network.demand_competition()
        return self

    def demand_network(self, network: SizedNetwork) -> None:
        """Raise InputError where neurons are allotted to classes, and a class would get none."""
        neurons, classes = network.architecture.layers[-2:]
        if self.allotted and neurons < classes:
            raise InputError(
                f"{neurons} neurons allotted to {classes} classes",
                expected="a neuron at least for each class",
                fix=f"set architecture.hidden = [{classes}] or more, or learner.allotted = false",
                keys=("hidden", "allotted"),
            )

    def in_round(self, round: int) -> "STDP":
        """With the optimiser's learning rate of the round."""
        optimiser = self.optimiser.in_round(round)
        return (
            self
            if optimiser is self.optimiser
            else msgspec.structs.replace(self, optimiser=optimiser)
        )

    @property
    def learning_rate(self) -> float:
        """Of the output layer, if that is trained."""
        return self.optimiser.learning_rate if self.output == "supervised" else 1.0

    def trains(self, network: SizedNetwork) -> NetworkOperations:
        """The rule's in the inner layer; in a supervised output layer the optimiser's."""
        operations = network.operations()
        inner, outer = operations.entered
        learned = operations.trained_by(self.plasticity.operations(), (), (inner,))
        if self.output != "supervised":
            return learned.trained_by({}, (), (outer,))
        kept = ("backward_weights", "surrogate")
        return learned.trained_by(self.optimiser.operations(), kept, (outer,))

    def bytes_of_a_step(self, engine: Engine, network: SizedNetwork, rows: int) -> int:
        """Memory of what is shown at once, at the least: the spikes that enter, as floats."""
        del engine
        return (
            4 * network.time_steps * network.architecture.layers[0] * min(rows, _at_once(network))
        )

    peak_of_a_step = bytes_of_a_step

    def labels(self, network: SizedNetwork) -> Labels | None:
        """What a server makes of all clients' responses, unless each client trains its output layer."""
        if self.output == "supervised" or network.competition is None:
            return None
        neurons = network.competition
        return Labels(neurons.inner, neurons.outer, self.plasticity, hard=self.output == "assigned")

    def learn(
        self, network: SizedNetwork, start: Parameters, shown: Shown, correct: Correction
    ) -> Trained:
        """See `Learner`; nothing is corrected, for there are no gradients."""
        del correct
        neurons = network.competition
        assert neurons is not None  # see `fitted`
        work = _Work(self, neurons, network, shown)
        parameters = {n: w.clone() for n, w in start.items() if not n.startswith(RECEIVED)}
        labels = self.labels(network)
        if labels is not None:
            others = {
                n.removeprefix(RECEIVED): w for n, w in start.items() if n.startswith(RECEIVED)
            }
            responses, losses = work.responses(parameters | others)
            parameters |= responses
        parameters |= settled(self.plasticity, neurons.inner, parameters)
        work.learn(parameters)
        steps = [0] * len(shown.positions)
        if labels is None:
            steps, losses = work.supervise(parameters)
        return Trained(parameters, steps, losses.tolist(), work.activities(steps))


@dataclass
class _Work:
    """A cohort's training: samples pass, and what was seen of them adds up."""

    learner: STDP
    neurons: Competition
    network: SizedNetwork
    shown: Shown

    def __post_init__(self) -> None:
        clients = len(self.shown.positions)
        self.samples, self.updates, self.entered, self.fired = torch.zeros(
            4, clients, dtype=torch.int64
        )
        self.engine = engine_for(self.shown.pixels.device, self.shown.pixels.dtype)
        self.classes = self.network.architecture.layers[-1]
        self.all = len(self.shown.positions[0])
        self.once = [own[: len(own) // self.learner.epochs] for own in self.shown.positions]

    def learn(self, parameters: Parameters) -> None:
        """The rule, over all samples of all epochs; weights and thresholds change in place."""
        for batch in self._batches(self.shown.positions):
            self._compete(batch, parameters, learns=True)

    def responses(self, received: Parameters) -> tuple[Parameters, PerClient]:
        """The received model's mean responses and shares of the classes, of each client, and its loss."""
        weight = received[f"{self.neurons.outer}.weight"]
        alone = torch.eye(weight.shape[2], dtype=weight.dtype).expand(len(weight), -1, -1)
        each = {f"{self.neurons.outer}.weight": alone}
        sums = torch.zeros_like(weight, dtype=torch.float64)
        counts = torch.zeros(weight.shape[:2], dtype=torch.float64)
        loss = torch.zeros(len(weight), dtype=torch.float64)
        samples = torch.tensor([len(own) for own in self.once])
        for batch in self._batches(self.once, again=True):
            k, present = len(batch.positions), batch.present
            winners = self._compete(batch, received, learns=False)
            of_class = F.one_hot(batch.labels, self.classes).double() * present.unsqueeze(2)
            response = self.neurons.read(first(each, k), winners).double()
            sums[:k] += total(of_class.unsqueeze(3) * response.unsqueeze(2), 1)
            counts[:k] += total(of_class, 1)
            losses = self._loss(first(received, k), winners, batch.labels, present)
            loss[:k] += losses.double() * present.sum(1)
        per = samples.unsqueeze(1)
        response, share = (
            (sums / per.unsqueeze(2)).to(weight.dtype),
            (counts / per).to(weight.dtype),
        )
        outer = self.neurons.outer
        return {f"{outer}.response": response, f"{outer}.share": share}, loss / samples

    def supervise(self, parameters: Parameters) -> tuple[list[int], PerClient]:
        """Train the output layer on the spikes of the inner one; steps of each client, and its mean loss."""
        learner, names = (
            self.learner,
            [f"{self.neurons.outer}.{part}" for part in ("weight", "bias")],
        )
        own = {name: parameters[name] for name in names}
        memory = learner.optimiser.start(own)
        loss = torch.zeros(len(self.once), dtype=torch.float64)
        winners, places, steps = self._winners(parameters), *self._minibatches()
        labels = self.shown.labels[pad_sequence(self.once, batch_first=True)]
        for number in range(steps[0]):
            k = sum(count > number for count in steps)  # the clients that are still training
            client, at = torch.arange(k).unsqueeze(1), places[:k, number].clamp(min=0)
            present = places[:k, number] >= 0
            shown = winners[client, at].masked_fill(~present.unsqueeze(2), -1)
            leaves = {name: w[:k].detach().requires_grad_() for name, w in own.items()}
            losses = self._loss(leaves, shown, labels[client, at], present)
            slopes = torch.autograd.grad(losses.sum(), list(leaves.values()))
            gradients = dict(zip(names, slopes, strict=True))
            remembered = {group: first(tensors, k) for group, tensors in memory.items()}
            step = Step(first(own, k), gradients, remembered, number + 1)
            self.engine.step(learner.optimiser, step)
            loss[:k] += losses.detach().double() * present.sum(1)
        samples = torch.tensor([len(positions) for positions in self.once])
        return steps, loss / (samples * learner.output_epochs)

    def _minibatches(self) -> tuple[Int64[Tensor, "client step row"], list[int]]:
        """Which of its samples each client takes at each step, padded with -1, and how many steps it has."""
        learner, size = self.learner, self.learner.batch_size
        schedules = [schedule(len(own), learner.output_epochs, size) for own in self.once]
        again = [torch.arange(len(own)).repeat(learner.output_epochs) for own in self.once]
        # As many rows in any company: clients with as many are side by side.
        rows = min(size, learner.rows(self.all))
        return stacked(again, schedules, rows), [len(own) for own in schedules]

    def _winners(self, parameters: Parameters) -> Winners:
        """Who fires at each step of all samples, once, of neurons that no longer learn."""
        batches = self._batches(self.once, again=True)
        everybody = [self._compete(batch, parameters, learns=False) for batch in batches]
        clients = len(self.once)
        padded = [F.pad(one, (0, 0, 0, 0, 0, clients - len(one)), value=-1) for one in everybody]
        return torch.cat(padded, dim=1)

    def _loss(
        self, parameters: Parameters, winners: Winners, labels: Labelled, present: Present
    ) -> PerClient:
        """The mean cross-entropy of each client."""
        scores = self.neurons.read(parameters, winners)
        return CrossEntropy()(scores, labels, present, self.network.time_steps)

    def activities(self, steps: list[int]) -> list[Activity]:
        """What each client did."""
        inner, outer = self.neurons.inner, self.neurons.outer
        by_client = torch.stack([self.samples, self.entered, self.fired, self.updates]).T
        return [
            Activity(samples, made, {inner: entered, outer: fired}, updates={inner: updates})
            for (samples, entered, fired, updates), made in zip(
                by_client.tolist(), steps, strict=True
            )
        ]

    def _batches(self, own: list[Int64[Tensor, " _shown"]], again: bool = False) -> Iterator[Batch]:
        """Samples of the clients that have any left, some at a time; `again` after all of a round."""
        network, address = self.network, self.shown.address
        rows = _at_once(network, len(own))
        before = [len(one) if again else 0 for one in self.shown.positions]
        padded = pad_sequence(own, batch_first=True, padding_value=-1)
        for begin in range(0, padded.shape[1], rows):
            k = sum(len(one) > begin for one in own)
            positions = padded[:k, begin : begin + rows].to(self.shown.pixels.device)
            firsts = tuple(shown + begin for shown in before[:k])
            here = replace(address, clients=address.clients[:k], first_samples=firsts)
            labels = self.shown.labels[positions.clamp(min=0)]
            yield Batch(self.shown.pixels, positions, labels, here)

    def _compete(self, batch: Batch, parameters: Parameters, learns: bool) -> Winners:
        """Show a batch to the inner layer: who fires at each step, -1 for nobody."""
        k, inner = len(batch.positions), self.neurons.inner
        weight, threshold = (
            parameters[f"{inner}.{part}"][:k].contiguous() for part in ("weight", "threshold")
        )
        spikes = self.neurons.entering(batch, self.engine.operators)
        between = self._competitors(batch, weight.shape[1], learns)
        presented = Presented(spikes, between, weight, threshold, learns)
        competed = self.engine.compete(self.learner.plasticity, self.neurons.neuron, presented)
        self.samples[:k] += batch.present.sum(1).cpu()
        self.updates[:k] += competed.updates.cpu()
        self.entered[:k] += count(events(spikes), batch.present).cpu()
        self.fired[:k] += (competed.winners >= 0).sum((1, 2)).cpu()
        return competed.winners

    def _competitors(
        self, batch: Batch, neurons: int, learns: bool
    ) -> Int64[Tensor, "client batch 2"]:
        """The first neuron that may fire for each sample and the one behind the last; none for padding."""
        between = torch.tensor([0, neurons]).expand(*batch.labels.shape, 2)
        if self.learner.allotted and learns:
            bounds = torch.arange(self.classes + 1) * neurons // self.classes
            between = torch.stack([bounds[batch.labels], bounds[batch.labels + 1]], dim=2)
        return between * batch.present.unsqueeze(2)


def _at_once(network: SizedNetwork, clients: int = 1) -> int:
    """Samples of each client that are shown at once."""
    return max(1, _NUMBERS // (network.time_steps * clients * network.architecture.layers[0]))


def first(parameters: Parameters, k: int) -> Parameters:
    """The parameters of the first k clients."""
    return {name: weight[:k] for name, weight in parameters.items()}
