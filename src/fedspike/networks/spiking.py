"""The spiking twin.

s[t] -> LIF(W s[t] + b) -> ... -> LIF(W s[t] + b) -> read-out        scores, one for each class

with pools between convolutions and, if wanted, batch normalisation in place of b, but for the last layer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Annotated, cast

import msgspec
import numpy as np
import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor

from fedspike.errors import InputError
from fedspike.layers.operations import NetworkOperations
from fedspike.layers.shapes import BatchNorm, Layer, Pool
from fedspike.networks.architecture import Architecture, FullyConnected
from fedspike.networks.batch import Batch, Forward, count, entered
from fedspike.networks.dropout import factors
from fedspike.networks.layer_operations import spiking
from fedspike.networks.network import Competition, Network, SizedNetwork, no_competition, usual_loss
from fedspike.networks.operators import PLAIN, Fired, Operators
from fedspike.networks.sized_layers import Layers, Parameters
from fedspike.networks.steps import Steps, demand_steps
from fedspike.networks.synapses import linear, through
from fedspike.parts.codes import Code, Rate
from fedspike.parts.losses import Loss
from fedspike.parts.neurons import LIF, Competitive, Neuron
from fedspike.parts.normalisations import STATISTICS, Normalisation, Unnormalised
from fedspike.parts.read_outs import ReadOut, SpikeCount
from fedspike.parts.sums import repeated
from fedspike.parts.tensors import Flow, Frames, Present, Scores, Trains, Winners


class SNN(Network, tag="snn"):
    """The spiking twin: layers of neurons, read for T time steps.

    Any code, any neuron and any read-out go together.
    """

    time_steps: Annotated[
        int, Meta(ge=1, lt=2**31, description="steps for which a sample is shown")
    ] = 50
    architecture: Architecture = FullyConnected()
    code: Code = Rate()
    neuron: Neuron = LIF()
    read_out: ReadOut = SpikeCount()
    normalisation: Normalisation = Unnormalised()

    @property
    def spiking(self) -> bool:
        """They do."""
        return True

    def check(self) -> None:
        """Give the code what fits the time steps; raises InputError where it takes more or fewer."""
        msgspec.structs.force_setattr(self, "code", self.code.fitted(self.time_steps))

    @property
    def usual_loss(self) -> Loss:
        """By the read-out."""
        return usual_loss(self.read_out)

    def demand_loss(self, loss: Loss) -> None:
        """Raise InputError where a loss is not meant for its scores."""
        loss.demand_scores(self.read_out, self.time_steps)

    def demand_competition(self) -> None:
        """Raise InputError where it has no layer of neurons that compete, or more layers than that."""
        faults = {
            f"neurons of kind {self.neuron.kind}": not self.neuron.competes,
            f"a read-out of kind {self.read_out.kind}": self.read_out.spiking,
            f"a code of kind {self.code.kind}": not self.code.binary,
            f"a normalisation of kind {self.normalisation.kind}": self.normalisation.replaces_bias,
            f"an architecture {self.architecture}": not (
                isinstance(self.architecture, FullyConnected) and len(self.architecture.hidden) == 1
            ),
        }
        if faulty := [fault for fault, there in faults.items() if there]:
            raise no_competition(f"an SNN with {faulty[0]}")

    def over(self, shape: tuple[int, ...], classes: int) -> "SpikingNetwork":
        """The network for samples of this shape; raises InputError where they do not fit."""
        return SpikingNetwork(self.architecture.over(self.code.entering(shape), classes), self)


@dataclass(frozen=True)
class SpikingNetwork(SizedNetwork):
    """A spiking network that runs: the layers that `snn` has over some samples."""

    architecture: Layers
    snn: SNN
    amplification: float = 1.0
    gain: float = 1.0  # of what charges membranes that are read out

    def narrowed(self, width: float, amplification: float = 1.0) -> "SpikingNetwork":
        """The same network with the share `width` of each hidden layer. InputError if that cannot be."""
        if self._norms() or self.neuron.competes:
            what = self.neuron if self.neuron.competes else self.snn.normalisation
            raise InputError(
                f"a network that is narrowed, with {what.kind}",
                expected="one without a normalisation, and without neurons that compete",
                fix="leave out the remedy that narrows it, or what does not go with it",
                keys=("normalisation", "neuron"),
            )
        narrow = self.architecture.narrowed(width)
        return replace(self, architecture=narrow, amplification=amplification)

    def in_steps(self, time_steps: int, *, longer: bool = False) -> "SpikingNetwork":
        """The same network in so many time steps, or longer ones. InputError if that cannot be.

        Output membranes that are read get currents so much larger that a constant one has the same score.
        """
        if time_steps == self.time_steps:
            return self
        if time_steps > self.time_steps:
            raise InputError(
                f"{time_steps} time steps of a network that has {self.time_steps}",
                expected="no more than it has",
                fix=f"lower them to {self.time_steps} at most, or raise snn.time_steps",
                keys=("time_steps",),
            )
        if self._norms() or self.code.recorded:
            key = "code" if self.code.recorded else "normalisation"
            raise InputError(
                f"fewer time steps of a network with {getattr(self.snn, key).kind}",
                expected="samples that are encoded, and no normalisation, which has numbers for each step",
                fix="leave it out, or train the network in all its time steps",
                keys=(key,),
            )
        neuron = self.neuron.lengthened(self.time_steps / time_steps) if longer else self.neuron
        fewer = replace(
            self, snn=msgspec.structs.replace(self.snn, time_steps=time_steps, neuron=neuron)
        )
        if self.read_out.spiking:
            return fewer
        return replace(fewer, gain=self.gain * self._charge() / fewer._charge())

    def amplified(self, parameters: Parameters) -> Parameters:
        """See `SizedNetwork`; what charges membranes that are read is `gain` times as much."""
        parameters = super().amplified(parameters)
        if self.gain == 1:
            return parameters
        last = self.architecture.names[-1]
        read = (f"{last}.weight", f"{last}.bias")
        return parameters | {name: self.gain * parameters[name] for name in read}

    @property
    def time_steps(self) -> int:
        """T."""
        return self.snn.time_steps

    @property
    def code(self) -> Code:
        """What makes spikes of samples."""
        return self.snn.code

    @property
    def neuron(self) -> Neuron:
        """What all its neurons are."""
        return self.snn.neuron

    @property
    def read_out(self) -> ReadOut:
        """What makes scores of what the output layer answers."""
        return self.snn.read_out

    @property
    def pools_statistics(self) -> bool:
        """Whether the server pools the clients' running statistics; else they never leave their client."""
        return self.snn.normalisation.pools_statistics

    def init(self, generator: np.random.Generator) -> Parameters:
        """The same weights as the ANN's, and the constants of the neurons that are learned.

        With a normalisation there are gammas, [time, channel], in place of the biases.
        """
        parameters = self.architecture.init(generator)
        if self.snn.normalisation.replaces_bias:
            parameters = {n: w for n, w in parameters.items() if not n.endswith(".bias")}
        for name, layer in self.architecture.weighted.items():
            constants = self.neuron.initial(layer.outputs, self.fires(name))
            parameters |= {f"{name}.{constant}": start for constant, start in constants.items()}
        for name, norm in self._norms().items():
            parameters[f"{name}.gamma"] = torch.ones(norm.time_steps, norm.channels)
        return parameters

    def statistics(self) -> Parameters:
        """Running means and variances before any training, 0 and 1, if there is a normalisation.

        They are kept beside the parameters, and nothing that is done to parameters is done to them.
        """
        running: Parameters = {}
        for name, norm in self._norms().items():
            running[f"{name}.mean"] = torch.zeros(norm.time_steps, norm.channels)
            running[f"{name}.variance"] = torch.ones(norm.time_steps, norm.channels)
        return running

    @property
    def described(self) -> dict[str, Layer]:
        """The layers from input to output, normalisations among them."""
        layers: dict[str, Layer] = {}
        norms = self._norms()
        for name, layer in self.architecture.described.items():
            if self.snn.normalisation.replaces_bias and not isinstance(layer, Pool):
                layer = replace(layer, bias=False)
            layers[name] = layer
            if name in norms:
                layers[f"{name}_norm"] = norms[name]
        return layers

    def operations(self) -> NetworkOperations:
        """What a device does for it, with the neurons, code and read-out that are there."""
        return spiking(self.described, self.time_steps, self.code, self.neuron, self.read_out)

    @property
    def samples_in_cache(self) -> int | None:
        """Samples that are computed at once, so that layers stay in a cache; None: the whole batch."""
        if self._norms():
            return None  # a normalisation needs the whole batch
        return self.architecture.samples_in_cache(self.time_steps)

    @property
    def samples_at_a_step(self) -> int | None:
        """The same, where one time step is computed after the other."""
        return self.architecture.samples_in_cache(1)

    def rises(self, layer: str) -> tuple[float, float] | None:
        """Of the thresholds of a layer's neurons, if these fire."""
        return self.neuron.rises if self.fires(layer) else None

    @property
    def bytes_per_sample(self) -> int:
        """Memory of a training step, about: all as plain floats."""
        return 12 * self.time_steps * sum(self.architecture.layers)

    def run(self, parameters: Parameters, batch: Batch, operators: Operators = PLAIN) -> Forward:
        """From pixels to scores: encode, then `forward`."""
        spikes = self._encoded(batch, operators)
        stays = factors(batch, self.architecture.described, self.time_steps)
        return self.forward(parameters, spikes, batch.present, operators, stays)

    @property
    def competition(self) -> Competition | None:
        """Its layer of competing neurons, if it is one of these and an output layer that reads them."""
        if not self.neuron.competes or len(self.architecture.names) != 2:
            return None
        return CompetingNetwork(self, *self.architecture.names, cast(Competitive, self.neuron))

    def _encoded(self, batch: Batch, operators: Operators) -> Trains:
        return operators.encoded(self.code, self.shown(batch), batch.address, self.time_steps)

    def _weighted(self, spikes: Trains) -> Trains:
        """By what the code weights each step."""
        if (by_step := self.code.step_weights(self.time_steps)) is None:
            return spikes
        weights = torch.tensor(by_step, dtype=spikes.dtype)
        return spikes * weights.to(spikes.device).view(-1, 1, 1, 1)

    def shown(self, batch: Batch) -> Frames:
        """What its code is given: still samples, or their frames."""
        x = batch.x
        if x.shape[2] != self.stored:
            x = x.reshape(*x.shape[:2], self.time_steps, -1)
        return x

    def forward(
        self,
        parameters: Parameters,
        spikes: Trains,
        present: Present | None = None,
        operators: Operators = PLAIN,
        stays: Mapping[str, Tensor] = MappingProxyType({}),
    ) -> Forward:
        """From what the code gave to scores; what `stays` of hidden layers is in dropout.py.

        Running statistics, if there are any, come with the parameters; see `BNTT.normalised`.
        """
        parameters = self.amplified(parameters)
        if present is None:
            present = torch.ones(spikes.shape[1:3], dtype=torch.bool, device=spikes.device)
        spikes = self._weighted(spikes)
        at = operators.time_axis(self.neuron)
        flow = spikes if self.code.binary else spikes[:1]  # what is constant enters once
        fired: Tensor | None = None  # spikes of each neuron, where they were counted when made
        by_input: dict[str, Tensor] = {}
        statistics: Parameters = {}
        for name, layer in self.architecture.described.items():
            last_input = flow
            # The weights do not change with time, so one product serves all time steps.
            by_time = flow.movedim(0, at)
            shown = present.expand(len(flow), -1, -1).movedim(0, at).flatten(1).to(flow.dtype)
            rows = by_time.flatten(1, 2)
            by_input[name] = entered(rows, shown) if fired is None else fired
            rows = through(layer, name, parameters, rows, operators)
            flow, fired = rows.reshape(*by_time.shape[:3], -1).movedim(at, 0), None
            if name in self.architecture.names:  # a layer of neurons, not a pool
                own, currents = _own(name, parameters), repeated(flow, len(spikes))
                if "gamma" in own:
                    running = {n: own[n] for n in STATISTICS if n in own}
                    normalised = self.snn.normalisation.normalised
                    currents, after = normalised(currents, own["gamma"], running, present)
                    statistics |= {f"{name}.{n}": numbers for n, numbers in after.items()}
                flow, fired = self._neurons(name, currents, own, present, operators)
                if name in stays:
                    flow, fired = flow * stays[name], None
        left = count(flow.detach().sum(3).long().sum(0), present) * self.read_out.spiking
        scores = self.read_out.scores(flow)
        described = self.architecture.described
        return Forward.counted(scores, described, by_input, left, statistics, last_input)

    def demand_representations(self) -> None:
        """Nothing: they are known."""

    def demand_steps(self) -> None:
        """Raise InputError where a part of it cannot be computed step by step."""
        if self._norms():
            raise InputError(
                f"{type(self.snn.normalisation).__name__}, whose statistics are of a whole batch",
                expected="no normalisation, for whoever learns step by step",
                fix='normalisation.kind = "none", or learn by backpropagation',
                keys=("normalisation", "learner"),
            )
        demand_steps(self.code, self.neuron, self.read_out, self.time_steps)

    def steps(self, parameters: Parameters, batch: Batch, *, apart: bool) -> Steps:
        """One time step after the other."""
        return Steps(self, parameters, batch, apart)

    def _charge(self) -> float:
        """The score of an output membrane that a current of 1 charges at each step."""
        ones = torch.ones(self.time_steps, 1, 1, 1, dtype=torch.float64)
        return float(self.read_out.scores(self.neuron.membrane(ones)))

    def _norms(self) -> dict[str, BatchNorm]:
        """What stands between the synapses and the neurons of all layers but the last."""
        *inner, _ = self.architecture.weighted.items()
        norms = {n: self.snn.normalisation.behind(x, self.time_steps) for n, x in inner}
        return {name: norm for name, norm in norms.items() if norm is not None}

    def fires(self, layer: str) -> bool:
        """Whether the neurons of a layer fire, or their membranes are read out."""
        return layer != self.architecture.names[-1] or self.read_out.spiking

    def _neurons(
        self, layer: str, currents: Flow, own: Parameters, present: Present, operators: Operators
    ) -> Fired:
        """Their spikes, counted if that comes with them; to a read-out that wants these, membranes."""
        others = ("weight", "bias", "gamma", *STATISTICS)
        constants = {name: tensor for name, tensor in own.items() if name not in others}
        if self.fires(layer):
            return operators.fired(self.neuron, currents, constants, present)
        return self.neuron.membrane(currents, constants), None


@dataclass(frozen=True)
class CompetingNetwork:
    """See `Competition` in network.py."""

    network: SpikingNetwork
    inner: str
    outer: str
    neuron: Competitive

    def entering(self, batch: Batch, operators: Operators = PLAIN) -> Trains:
        """The spikes that enter the inner layer, weighted as the code says."""
        return self.network._weighted(self.network._encoded(batch, operators))

    def read(self, parameters: Parameters, winners: Winners) -> Scores:
        """What the outer layer makes of who fired, -1 for nobody; without a bias it adds none."""
        own = _own(self.outer, parameters)
        weight, bias = own["weight"], own.get("bias")
        fired = (winners >= 0).unsqueeze(3)
        if weight.requires_grad:
            # Gradients that hang on no company, nor on threads, are of products.
            one_hot = F.one_hot(winners.clamp(min=0), weight.shape[2]) * fired
            rows = one_hot.flatten(1, 2).to(weight.dtype)
            currents = linear(weight, bias, rows).reshape(*winners.shape, -1)
        else:
            # One spike at most: the product is the weights of the neuron that fired.
            client = torch.arange(len(winners)).view(-1, 1, 1)
            currents = weight.mT[client, winners.clamp(min=0)] * fired
            currents = currents if bias is None else currents + bias[:, None, None]
        return self.network.read_out.scores(self.neuron.membrane(currents.movedim(2, 0)))


def _own(layer: str, parameters: Parameters) -> Parameters:
    """The tensors of a layer, without its name."""
    own = {name.removeprefix(f"{layer}."): tensor for name, tensor in parameters.items()}
    return {name: tensor for name, tensor in own.items() if "." not in name}
