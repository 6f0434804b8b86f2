"""The spiking twin.

s[t] -> LIF(W s[t] + b) -> ... -> LIF(W s[t] + b) -> read-out        scores, one for each class

with pools between convolutions and, if wanted, batch normalisation in place of b, but for the last layer.
"""

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import msgspec
import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from msgspec import Meta
from torch import Tensor

from fedspike.engine import encoding, packed, passes
from fedspike.engine.passes import Wanted
from fedspike.layers.activity import Activity
from fedspike.layers.operations import NetworkOperations
from fedspike.layers.shapes import BatchNorm, Layer, Pool
from fedspike.networks.architecture import Architecture, FullyConnected, Layers
from fedspike.networks.batch import Batch, Forward, Learned, count, entered
from fedspike.networks.dense_layers import DenseLayers, Parameters
from fedspike.networks.layer_operations import spiking
from fedspike.networks.network import Network
from fedspike.networks.synapses import through
from fedspike.parts.codes import Address, Code, Rate
from fedspike.parts.losses import CrossEntropy, Loss, SpikeCountMSE
from fedspike.parts.neurons import LIF, Neuron
from fedspike.parts.normalisations import STATISTICS, Normalisation, Unnormalised
from fedspike.parts.read_outs import ReadOut, SpikeCount


class SNN(Network, tag="snn"):
    """The spiking twin: layers of neurons, read for T time steps.

    Any code, any neuron and any read-out go together.
    """

    time_steps: Annotated[int, Meta(ge=1, lt=2**31)] = 50
    architecture: Architecture = FullyConnected()
    code: Code = Rate()
    neuron: Neuron = LIF()
    read_out: ReadOut = SpikeCount()
    normalisation: Normalisation = Unnormalised()

    spiking: ClassVar[bool] = True

    def check(self) -> None:
        """Give the code what fits the time steps; raises InputError where it takes more or fewer."""
        msgspec.structs.force_setattr(self, "code", self.code.fitted(self.time_steps))

    def over(self, shape: tuple[int, ...], classes: int) -> "SpikingNetwork":
        """The network for samples of this shape; raises InputError where they do not fit."""
        return SpikingNetwork(self.architecture.over(shape, classes), self)


@dataclass(frozen=True)
class SpikingNetwork:
    """A spiking network that runs: the layers that `snn` has over some samples.

    What the compiled passes do not have (`passable`) plain torch computes.
    """

    architecture: Layers
    snn: SNN

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
    def usual_loss(self) -> Loss:
        """Of spike counts the founding study's, of other scores cross-entropy."""
        return SpikeCountMSE() if self.read_out.counts else CrossEntropy()

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
        for name, (_, neurons) in self.architecture.sizes.items():
            constants = self.neuron.initial(neurons, self._fires(name))
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
    def spiked(self) -> list[str]:
        """The layers that spikes enter: not the first under the direct code, and none behind an average."""
        layers = self.operations().layers
        return [name for name, layer in layers.items() if layer.enters == "spikes"]

    def firing_rates(self, done: Activity) -> dict[str, float]:
        """Share of each layer's neurons that spike at a step, from what entered the layers and left the last.

        >>> network = SNN(time_steps=50).over((784,), classes=10)
        >>> network.firing_rates(Activity(1, 0, {"hidden": 11_215, "output": 500}, events_out=50))
        {'hidden': 0.1, 'output': 0.1}
        """
        left = done.left(self.operations())
        possible = done.samples * self.time_steps
        return {
            name: left[name] / (possible * neurons)
            for name, (_, neurons) in self.architecture.sizes.items()
            if self._fires(name)
        }

    @property
    def samples_in_cache(self) -> int | None:
        """Samples that are computed at once, so that layers stay in a cache; None: the whole batch."""
        if isinstance(self.architecture, DenseLayers) or self._norms():
            return None  # a normalisation needs the whole batch
        return self.architecture.samples_in_cache(self.time_steps)

    @property
    def passable(self) -> bool:
        """Whether the compiled passes have this architecture, neuron and read-out, unnormalised."""
        dense = isinstance(self.architecture, DenseLayers) and not self._norms()
        parts = encoding.has_code(self.code) and encoding.has_read_out(self.read_out)
        return dense and parts and self._is_compiled_neuron

    @property
    def _is_compiled_neuron(self) -> bool:
        return encoding.constants(self.neuron) is not None

    def takes(self, pixels: int) -> bool:
        """Whether samples of so many numbers fit: one per input or, where they move, T frames of these."""
        inputs = self.architecture.layers[0]
        return pixels == inputs or (self.code.moving and pixels == inputs * self.time_steps)

    def bytes_per_sample(self, device: str) -> int:
        """Memory of a training step, about: all as plain floats; compiled, next to nothing."""
        if self.passable and packed.computes_on(device):
            return 0
        return 12 * self.time_steps * sum(self.architecture.layers)

    def run(self, parameters: Parameters, batch: Batch) -> Forward:
        """From pixels to scores: encode, then `forward`; in compiled kernels where they have it all."""
        if self.passes(batch) and not torch.is_grad_enabled():
            return self.compiled(parameters, batch).forward
        x = batch.x
        if x.shape[2] != self.architecture.layers[0]:
            x = x.reshape(*x.shape[:2], self.time_steps, -1)
        return self.forward(parameters, self._encoded(x, batch.address), batch.present)

    def passes(self, batch: Batch) -> bool:
        """Whether `compiled` takes this batch. If plain torch must compute instead, that is logged once."""
        if not (isinstance(self.architecture, DenseLayers) and packed.can_take(batch.pixels)):
            return False
        still = batch.pixels.shape[1] == self.architecture.layers[0]
        if not (still and self.passable):
            parts = [self.neuron, self.read_out, self.snn.normalisation]
            what = " and ".join(map(str, parts)) if still else "inputs that move"
            packed.log_once(f"plain torch computes, several times slower: no kernel has {what}")
        return still and self.passable

    def compiled(
        self, parameters: Parameters, batch: Batch, wanted: Wanted | None = None
    ) -> Learned:
        """`run` in compiled kernels and, if something is `wanted`, its losses and gradients too.

        Autograd gives the same through `run`; here no membrane leaves the processor's cache.
        """
        assert isinstance(self.architecture, DenseLayers)  # see `passes`
        passed = passes.spiking(
            batch.pixels,
            batch.positions,
            encoding.entry(self.code, batch.address, self.time_steps),
            _known(self.neuron),
            self.architecture.stacked(parameters),
            integrates=not self.read_out.spiking,
            wanted=wanted,
        )
        events_in = dict(zip(self.architecture.names, passed.events, strict=True))
        # Spike counts are the scores, and all of them together the spikes that left the last layer.
        events_out = count(passed.scores.sum(2), batch.present) * self.read_out.spiking
        forward = Forward(passed.scores, events_in, events_out)
        return Learned(forward, passed.losses, self.architecture.named(passed.gradients))

    def forward(
        self,
        parameters: Parameters,
        spikes: Float[Tensor, "time client batch pixel"],
        present: Bool[Tensor, "client batch"] | None = None,
    ) -> Forward:
        """From what the code gave to scores, in plain torch: what the kernels must equal.

        Running statistics, if there are any, come with the parameters; see `BNTT.normalised`.
        """
        if present is None:
            present = torch.ones(spikes.shape[1:3], dtype=torch.bool, device=spikes.device)
        if (by_step := self.code.step_weights(self.time_steps)) is not None:
            weights = torch.tensor(by_step, dtype=spikes.dtype)
            spikes = spikes * weights.to(spikes.device).view(-1, 1, 1, 1)
        scans = self._scans(spikes)
        at = 2 if scans else 1  # where a client's rows have the time steps
        flow = spikes if self.code.binary else spikes[:1]  # what is constant enters once
        by_input: dict[str, Tensor] = {}
        fired: Tensor | None = (
            None  # spikes of each neuron, if they were counted where they were made
        )
        statistics: Parameters = {}
        norms = self._norms()
        for name, layer in self.architecture.described.items():
            # The weights do not change with time, so one product serves all time steps.
            by_time = flow.movedim(0, at)
            shown = present.expand(len(flow), -1, -1).movedim(0, at).flatten(1).to(flow.dtype)
            rows = by_time.flatten(1, 2)
            by_input[name] = entered(rows, shown) if fired is None else fired
            rows = through(layer, name, parameters, rows)
            flow = rows.reshape(*by_time.shape[:3], -1).movedim(at, 0)
            fired = None
            if isinstance(layer, Pool):
                continue
            currents = flow.expand(len(spikes), -1, -1, -1)
            if name in norms:
                currents, after = self._normalised(name, currents, parameters, present)
                statistics |= after
            if scans and self._fires(name):
                flow, fired = self._scanned(currents, present)
            else:
                flow = self._neurons(name, currents, parameters)
        left = count(flow.detach().sum(3).long().sum(0), present) * self.read_out.spiking
        scores = self.read_out.scores(flow)
        return Forward.counted(scores, self.architecture.described, by_input, left, statistics)

    def _norms(self) -> dict[str, BatchNorm]:
        """What stands between the synapses and the neurons of all layers but the last."""
        *inner, _ = self.architecture.weighted.items()
        norms = {n: self.snn.normalisation.behind(x, self.time_steps) for n, x in inner}
        return {name: norm for name, norm in norms.items() if norm is not None}

    def _fires(self, layer: str) -> bool:
        return layer != self.architecture.names[-1] or self.read_out.spiking

    def _encoded(
        self, x: Float[Tensor, "client batch *time pixel"], address: Address
    ) -> Float[Tensor, "time client batch pixel"]:
        """The code's spikes; from a compiled kernel where there is one, which are the same."""
        return encoding.spikes(self.code, x, address, self.time_steps)

    def _scans(self, spikes: Tensor) -> bool:
        """Whether neurons alone are computed by a compiled kernel, where no pass has the whole network."""
        return not self.passable and self._is_compiled_neuron and packed.can_take(spikes)

    def _normalised(
        self,
        layer: str,
        currents: Float[Tensor, "time client batch neuron"],
        parameters: Parameters,
        present: Bool[Tensor, "client batch"],
    ) -> tuple[Float[Tensor, "time client batch neuron"], Parameters]:
        """What the neurons of a layer get, and its running statistics after it."""
        own = _own(layer, parameters)
        running = {name: own[name] for name in STATISTICS if name in own}
        currents, after = self.snn.normalisation.normalised(
            currents, own["gamma"], running, present
        )
        return currents, {f"{layer}.{name}": numbers for name, numbers in after.items()}

    def _scanned(
        self,
        currents: Float[Tensor, "time client batch neuron"],
        present: Bool[Tensor, "client batch"],
    ) -> tuple[Float[Tensor, "time client batch neuron"], Int64[Tensor, "client neuron"]]:
        """The spikes of a layer from a compiled kernel, and how many each neuron fires."""
        in_order = currents.movedim(0, 2).contiguous()  # a kernel writes in no other
        spikes, fired = packed.fire(in_order, present, *_known(self.neuron))
        return spikes.movedim(2, 0), fired

    def _neurons(
        self,
        layer: str,
        currents: Float[Tensor, "time client batch neuron"],
        parameters: Parameters,
    ) -> Float[Tensor, "time client batch neuron"]:
        """What the neurons of a layer give: their spikes or, to a read-out that wants them, membranes."""
        constants = {
            name: tensor
            for name, tensor in _own(layer, parameters).items()
            if name not in ("weight", "bias", "gamma", *STATISTICS)
        }
        if self._fires(layer):
            return encoding.fired(self.neuron, currents, constants)
        return self.neuron.membrane(currents, constants)


def _own(layer: str, parameters: Parameters) -> Parameters:
    """The tensors of a layer, without its name."""
    own = {name.removeprefix(f"{layer}."): tensor for name, tensor in parameters.items()}
    return {name: tensor for name, tensor in own.items() if "." not in name}


def _known(neuron: Neuron) -> tuple[float, float, str]:
    """The constants of a neuron that the compiled kernels have."""
    constants = encoding.constants(neuron)
    assert constants is not None  # see `passable`
    return constants
