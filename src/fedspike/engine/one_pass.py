"""Networks of which the kernels have every part, from pixels to scores and back in one pass."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any, NamedTuple, TypeGuard

import torch
from torch import Tensor

from fedspike import engine
from fedspike.engine import compiled, kernel_parts, normalisations
from fedspike.engine.engines import Learned, losses_of
from fedspike.engine.kernel_parts import Wanted
from fedspike.engine.normalisations import OwnNorms
from fedspike.engine.packed import array
from fedspike.layers.shapes import Convolution, Dense, Pool
from fedspike.networks import (
    Batch,
    ConventionalNetwork,
    DenseLayers,
    Forward,
    Layers,
    Parameters,
    SizedNetwork,
    SpikingNetwork,
)
from fedspike.networks.dropout import drawing
from fedspike.parts.losses import Loss
from fedspike.parts.tensors import Counts

InOnePass = SpikingNetwork | ConventionalNetwork
# Samples of a block, as the kernels have them, and bytes that fewer of them may leave behind.
CONVENTIONAL_BLOCK, CONVOLUTIONAL_BLOCK, SPIKING_BLOCK, SPIKING_TRACE = 64, 16, 16, 2**25
LARGEST = 7  # kernel of a convolution, and window of a pool, as in kernels.hpp


class Stage(NamedTuple):
    """A convolution and the pool behind it, if there is one, with their names."""

    name: str
    convolution: Convolution
    pool_name: str
    pool: Pool | None

    def taken(self, weights: Any) -> Any:
        """As the kernels take it."""
        layer, pool = self.convolution, self.pool
        return compiled.Convolution(
            weights,
            *(layer.height, layer.width, layer.kernel, layer.stride, layer.padding, layer.groups),
            pool.size if pool else 1,
            pool is None or pool.kind == "max",
        )

    @property
    def floats(self) -> int:
        """Of its grid of outputs; see maps.hpp."""
        layer = self.convolution
        rows, columns = (size + layer.kernel - 1 for size in (layer.height, layer.width))
        return rows * columns * whole_vectors(layer.out_channels)

    @property
    def weights(self) -> int:
        """Numbers of its filters, zeros between groups among them; see filters.hpp."""
        layer = self.convolution
        rows = 1 if layer.in_channels == layer.groups == layer.out_channels else layer.in_channels
        return (rows * layer.kernel**2 + 1) * whole_vectors(layer.out_channels)


def whole_vectors(numbers: int) -> int:
    """So many numbers and what pads them, as in vectors.hpp."""
    return -(-numbers // 16) * 16


def stages(layers: Layers) -> list[Stage] | None:
    """The convolutions, of which there may be none; None where not all go through the kernels."""
    convolutions: list[Stage] = []
    for name, layer in layers.described.items():
        if isinstance(layer, Convolution) and layer.kernel <= LARGEST:
            convolutions.append(Stage(name, layer, "", None))
        elif (
            isinstance(layer, Pool)
            and layer.size <= LARGEST
            and convolutions
            and not convolutions[-1].pool
        ):
            convolutions[-1] = convolutions[-1]._replace(pool_name=name, pool=layer)
        elif not isinstance(layer, Dense):
            return None
    return convolutions


def has(network: SizedNetwork) -> TypeGuard[InOnePass]:
    """Whether the kernels have the whole network."""
    if isinstance(network, ConventionalNetwork):
        return stages(network.architecture) is not None and network.quantiser is None
    return (
        isinstance(network, SpikingNetwork)
        and stages(network.architecture) is not None
        and normalisations.has(network)
        and kernel_parts.has_code(network.code)
        and kernel_parts.scores(network.read_out) is not None
        and kernel_parts.constants(network.neuron) is not None
    )


def is_stepped(network: SizedNetwork) -> bool:
    """Whether the kernels make Adam's steps, too, of a network that they have: of its weights as they are."""
    if not isinstance(network.architecture, DenseLayers) or network.amplification != 1:
        return False
    if not isinstance(network, SpikingNetwork):
        return True
    learned = network.neuron.initial(1) or normalisations.there_are(network)
    return not learned and network.gain == 1


def bytes_of_step(network: InOnePass, rows: int) -> int:
    """What the passes hold: normalised.hpp all rows, the others a block of them."""
    convolutions = stages(network.architecture) or []
    every = [*pairwise(network.architecture.layers)]
    layers = every[len(every) - sum(isinstance(x, Dense) for x in network.described.values()) :]
    # Columns and sums of gradients, then rows, all padded to whole vectors.
    sums = sum(2 * 4 * (inputs + 1) * whole_vectors(outputs) for inputs, outputs in layers)
    sums += sum(4 * outputs * whole_vectors(inputs) for inputs, outputs in layers[1:])
    filters = sum(4 * stage.weights for stage in convolutions)
    if not isinstance(network, SpikingNetwork):
        values = layers[0][0] + sum(2 * whole_vectors(outputs) for _, outputs in layers)
        if not convolutions:
            return sums + CONVENTIONAL_BLOCK * 4 * values
        values += whole_vectors(layers[0][0]) + sum(3 * stage.floats for stage in convolutions)
        return sums + CONVOLUTIONAL_BLOCK * (4 * values + filters)
    steps, words = network.time_steps, -(-network.time_steps // 64)
    grids = sum(4 * (steps + 3) * stage.floats for stage in convolutions)
    if network.neuron.initial(1):  # what they keep at all steps; four constants each, and gradients
        grids += sum(4 * 2 * steps * stage.floats for stage in convolutions)
        own = sum(4 * 4 * stage.floats for stage in convolutions)
        sums, filters = sums + 2 * own, filters + own
    spikes = sum(8 * words * inputs for inputs, _ in layers)
    deltas = sum(4 * steps * whole_vectors(outputs) for _, outputs in layers)
    widest = 4 * steps * max(whole_vectors(size) for layer in layers for size in layer)
    sample = spikes + deltas + filters
    if normalisations.there_are(network):
        kept = deltas + sum(4 * steps * stage.floats for stage in convolutions)
        return sums + rows * (sample + deltas + widest + grids + kept)
    block = min(SPIKING_BLOCK, max(1, SPIKING_TRACE // sample))
    return sums + block * sample + deltas + widest + grids


def twice_passed(network: InOnePass, loss: Loss, parameters: Parameters, batch: Batch) -> Learned:
    """A network to its scores, plain torch to the slopes of a loss there, and the network forth and back."""
    forward = passed(network, parameters, batch, training=True).forward
    scores = forward.scores.masked_fill(~batch.present.unsqueeze(2), 0).requires_grad_()
    losses = losses_of(loss, scores, batch, network.time_steps)
    (slopes,) = torch.autograd.grad(losses, scores, torch.ones_like(losses))
    learned = passed(network, parameters, batch, ("given", 0.0, 0.0, 0.0), {"slopes": slopes})
    return learned._replace(losses=losses.detach().double())


def passed(
    network: InOnePass,
    parameters: Parameters,
    batch: Batch,
    wanted: Wanted | None = None,
    arrays: Mapping[str, Tensor] = MappingProxyType({}),
    *,
    training: bool = False,
    adam: Any = None,
) -> Learned:
    """A network in one pass and, if something is `wanted` with these arrays, losses and gradients too.

    That is a pass in `training`, which has a minibatch's own statistics if there is a normalisation. With
    `adam` a step of it for each of a model's minibatches, in place, and no gradients: see `Engine`.
    """
    names, (clients, rows) = network.architecture.names, batch.positions.shape
    recorded = network.code is not None and network.code.recorded
    parameters = network.amplified(parameters)
    convolutions = stages(network.architecture) or []
    scores = torch.empty(clients, rows, network.architecture.layers[-1])
    events = torch.empty(len(names) + 2 * len(convolutions) + 1, clients, dtype=torch.int64)
    losses = torch.empty(clients, dtype=torch.float64)
    own = OwnConstants.of(network, parameters, clients)
    norms = OwnNorms.of(network, parameters, batch, training=training or wanted is not None)
    others = own.learned.keys() | norms.used.keys() | norms.gradients.keys()
    gradients = {
        n: w if adam else torch.empty(w.shape)
        for n, w in parameters.items()
        if wanted and n not in others
    }
    weights = [_weights(name, own, norms, parameters, gradients) for name in names]
    taken = compiled.Pass(
        array(batch.pixels if not recorded else batch.pixels.view(torch.float32)),
        array(batch.positions),
        weights[len(convolutions) :],
        wanted
        and compiled.Wanted(
            wanted[0],
            array(batch.labels),
            losses.numpy(),
            *wanted[1:],
            adam=adam,
            **{name: array(numbers) for name, numbers in arrays.items()},
        ),
        scores.numpy(),
        events.numpy(),
        [stage.taken(own) for stage, own in zip(convolutions, weights, strict=False)],
        network.stored // network.numbers if recorded else 0,
    )
    learns = training or wanted is not None
    _run(network, batch, taken, drops=learns and batch.dropout > 0)
    *entered, events_out = events
    events_in, met = _counted(convolutions, names, entered)
    forward = Forward(scores, events_in, events_out, met, norms.after())
    if wanted and not adam:
        gradients = network.amplified(gradients | norms.gradients | own.gradients())
    return Learned(forward, losses, gradients)


def _run(network: InOnePass, batch: Batch, taken: Any, *, drops: bool) -> None:
    """The kernels on a `compiled.Pass`."""
    threads, dropout = torch.get_num_threads(), None
    if drops:
        dropout = kernel_parts.encoding(*drawing(batch), network.time_steps)
    if not isinstance(network, SpikingNetwork):
        engine.kernels.conventional(taken, threads, dropout)
        return
    code = kernel_parts.encoding(network.code, batch.address, network.time_steps)
    constants, read = kernel_parts.constants(network.neuron), kernel_parts.scores(network.read_out)
    assert constants is not None  # see `has`
    engine.kernels.spiking(taken, code, compiled.Neuron(*constants), read, threads, dropout)


@dataclass(frozen=True)
class OwnConstants:
    """What neurons of each layer have learned: leaves, and rows that the kernels take and give back."""

    learned: Parameters
    rows: Parameters
    into: Parameters

    @classmethod
    def of(cls, network: InOnePass, parameters: Parameters, clients: int) -> "OwnConstants":
        """Those among the parameters of a network."""
        learned: Parameters = {}
        rows: Parameters = {}
        if isinstance(network, SpikingNetwork) and network.neuron.initial(1):
            for layer, shape in network.architecture.weighted.items():
                names = network.neuron.initial(shape.outputs, network.fires(layer))
                own = {n: parameters[f"{layer}.{n}"].detach().requires_grad_() for n in names}
                learned |= {f"{layer}.{n}": leaf for n, leaf in own.items()}
                if (
                    taken := kernel_parts.learned(network.neuron, own, clients, shape.outputs)
                ) is not None:
                    rows[layer] = taken
        return cls(
            learned, rows, {layer: torch.empty(taken.shape) for layer, taken in rows.items()}
        )

    def gradients(self) -> Parameters:
        """Of what is learned, from what the kernels gave back."""
        if not self.rows:
            return {}
        leaves, outputs = list(self.learned.values()), list(self.rows.values())
        slopes = torch.autograd.grad(outputs, leaves, [self.into[layer] for layer in self.rows])
        return dict(zip(self.learned, slopes, strict=True))


def _weights(name: str, constants: OwnConstants, norms: OwnNorms, *tensors: Parameters) -> Any:
    """The weight and bias of a layer, and where their gradients go; kernels of a convolution lie flat.

    Where there is no bias it is 0, and nobody asks for its gradient.
    """
    arrays = []
    for own in filter(None, tensors):
        weight = own[f"{name}.weight"]
        bias = own.get(f"{name}.bias", torch.zeros(weight.shape[:2]))
        arrays += [array(weight.flatten(2)), array(bias)]
    more = {}
    if name in constants.rows:
        more = {
            "constants": array(constants.rows[name]),
            "into_constants": constants.into[name].numpy(),
        }
    if name in norms.taken:
        more["norm"] = norms.taken[name]
    return compiled.Weights(*arrays, **more)


def _counted(
    convolutions: list[Stage], names: tuple[str, ...], events: list[Tensor]
) -> tuple[dict[str, Counts], dict[str, Counts]]:
    """The events that entered each layer, and the synapses that they met; see Samples in learning.hpp."""
    entered: dict[str, Counts] = {}
    met: dict[str, Counts] = {}
    for at, stage in enumerate(convolutions):
        entered[stage.name], met[stage.name], left = events[3 * at : 3 * at + 3]
        if stage.pool:
            entered[stage.pool_name] = left
    layers = zip(names[len(convolutions) :], events[3 * len(convolutions) :], strict=True)
    return entered | dict(layers), met
