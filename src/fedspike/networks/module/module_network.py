"""Your own torch module as a network, plain torch or snnTorch, trained federatedly like the twins.

    module(pixels)               without a code: values, the scores
    module(spikes)               with a code: what came out at every time step, for the read-out
    module(spikes[t])            `stepped`: the same, one time step after the other
    module(spikes[t], state)     `stepped`, if forward has a second argument: returns (what came out, state)

Samples come in the shape that the module is written for: [batch, *shape], and [time, batch, *shape] with all
time steps. The first state is None. In the place of what came out a module may return the pair that is usual
in snnTorch, spikes and membranes; the read-out takes the one that it reads.

The module is copied and stays as it is. Its parameters are what is learned, from the values on that they have
there, and nothing else goes over the wire. Buffers and frozen parameters are the same for everybody and never
change; membranes of snnTorch's neurons begin every batch at rest. The module is trained and tested in the
mode that it is passed in.

All clients are run at once by `torch.vmap`. A module that it refuses, for example because of `.item()` or of
an `if` that looks at a tensor, is run for one client after the other, and the log says so once. The two
differ in the order of sums. `in_turn` asks for it: then what a client computes does not hang on its company.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from msgspec import Meta
from torch import Tensor, nn

from fedspike.errors import InputError
from fedspike.layers.beside import Beside
from fedspike.layers.operations import NetworkOperations
from fedspike.layers.shapes import Pooling, Sliding, Synapses, is_entered
from fedspike.machine import bytes_here
from fedspike.networks.batch import Batch, Forward
from fedspike.networks.layer_operations import conventional, spiking
from fedspike.networks.module.adopt import adopted
from fedspike.networks.module.branching import (
    neuron_of,
    of_branching_spikes,
    of_branching_values,
)
from fedspike.networks.module.call import Call, Passed
from fedspike.networks.module.trial import CLIENTS, SAMPLES, Trial, tried
from fedspike.networks.network import SizedNetwork
from fedspike.networks.operators import PLAIN, Operators
from fedspike.networks.sized_layers import Parameters
from fedspike.part import Part, demand_fit, within
from fedspike.parts.codes import Address, Code
from fedspike.parts.losses import Loss
from fedspike.parts.neurons import LIF, Neuron
from fedspike.parts.read_outs import ReadOut, SpikeCount
from fedspike.parts.tensors import Scores
from fedspike.randomness import stream

COUNT = SpikeCount()
Size = Annotated[int, Meta(ge=1, lt=2**31)]
LIMITS: dict[str, Any] = {
    "shape": Annotated[tuple[Size, ...], Meta(min_length=1)],
    "classes": Size,
    "code": Code | None,
    "time_steps": Size,
    "read_out": ReadOut | None,
    "stepped": bool,
    "not_counted": tuple[str, ...],
    "neuron": Neuron,
    "in_turn": bool,
}


@dataclass(frozen=True)
class ModuleArchitecture:
    """The layers that were found in a module, in the order in which they are run."""

    described: dict[str, Any]
    layers: tuple[int, int]  # numbers of a sample, classes
    parameters: int

    @property
    def names(self) -> tuple[str, ...]:
        """The layers that have weights."""
        return tuple(name for name, x in self.described.items() if isinstance(x, Synapses))


@dataclass(frozen=True, eq=False, repr=False)
class ModuleNetwork(SizedNetwork):
    """A module that takes samples of `shape`, a number per pixel, and tells `classes` apart.

    With a `code` it is spiking over `time_steps`, and `read_out` makes the scores of what comes out; the bill
    takes its neurons to be `neuron`. `not_counted` names layers that are trained although nobody has counted
    their operations, so that no bill has them.
    Raises InputError where the module does not fit this description, is no function of its input and its
    parameters alone, or has a layer without a rule, which is named.

    >>> module = nn.Sequential(nn.Linear(784, 20), nn.ReLU(), nn.Linear(20, 10))
    >>> list(ModuleNetwork(module, shape=(784,), classes=10).architecture.described.values())
    [Dense(inputs=784, outputs=20, bias=True), Dense(inputs=20, outputs=10, bias=True)]
    """

    module: nn.Module
    shape: tuple[int, ...]
    classes: int
    code: Code | None = None
    time_steps: int = 1
    read_out: ReadOut | None = COUNT
    stepped: bool = False
    not_counted: tuple[str, ...] = ()
    neuron: Neuron = field(default_factory=LIF)
    in_turn: bool = False

    kind: ClassVar[str] = "module"

    def __post_init__(self) -> None:
        demand_fit(
            "ModuleNetwork: module",
            self.module,
            isinstance(self.module, nn.Module),
            expected="a torch.nn.Module",
            fix="write nn.Sequential(nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 10))",
        )
        for name, kind in LIMITS.items():
            fix = "shape = (784,) is a flat image, shape = (1, 28, 28) one with its channel"
            what, value = f"ModuleNetwork: {name}", getattr(self, name)
            fitted = within(what, value, kind, fix if name == "shape" else "correct it")
            object.__setattr__(self, name, fitted)
        if self.code is None:
            self._demand(
                not self.stepped and self.time_steps == 1,
                "a code, which there is where there are time steps",
                "code=Rate()",
            )
            object.__setattr__(self, "read_out", None)
        else:
            self._demand(
                self.read_out is not None, "a read-out where there is a code", "SpikeCount()"
            )
            object.__setattr__(self, "code", self.code.fitted(self.time_steps))
        tried = 4 * CLIENTS * SAMPLES * self.time_steps * math.prod(self.shape)
        self._demand(
            tried <= bytes_here(), "samples that this machine has memory for", "a smaller shape"
        )
        _ = self.trial  # copied before anybody changes it; what is wrong with it shows now
        self.operations()

    def __repr__(self) -> str:
        steps = "" if self.code is None else f", code={self.code!r}, time_steps={self.time_steps}"
        module = f"{type(self.module).__name__} of {self.architecture.parameters} parameters"
        return f"ModuleNetwork({module}, shape={self.shape}, classes={self.classes}{steps})"

    @property
    def parts(self) -> dict[str, Part]:
        """What it is called with and read by, of a spiking one, by its fields."""
        names = () if self.code is None else ("code", "neuron", "read_out")
        return {name: getattr(self, name) for name in names}

    @property
    def told(self) -> dict[str, Any]:
        """What a record says of it, in the place of code: how it is called, and which module it is."""
        plain = ("classes", "time_steps", "stepped", "in_turn")
        return {
            "name": type(self.module).__name__,
            "shape": list(self.shape),
            "not_counted": list(self.not_counted),
            **{name: getattr(self, name) for name in plain},
            **self.call.own.hashes,
        }

    def _demand(self, fits: bool, expected: str, fix: str) -> None:
        if not fits:
            raise InputError(
                f"ModuleNetwork: shape = {self.shape}, code = {self.code}, time_steps = "
                f"{self.time_steps}, stepped = {self.stepped}, read_out = {self.read_out}",
                expected=expected,
                fix=fix,
            )

    @cached_property
    def call(self) -> Call:
        """The module's copy, and how it is called."""
        membranes = self.read_out is not None and not self.read_out.spiking
        own = adopted(self.module)
        return Call(own, self._timed, self.stepped, int(membranes), self.not_counted)

    @cached_property
    def trial(self) -> Trial:
        """What was found out about the module by running it."""
        like = next(iter(self.call.own.learned.values()))
        shape = (CLIENTS, SAMPLES, math.prod(self.shape))
        pixels = torch.from_numpy(stream(0, "module trial").random(shape))
        address = Address(0, "module trial", 0, tuple(range(CLIENTS)), (0,) * CLIENTS)
        flow = self._flow(pixels.to(like), address)
        return tried(
            self.call,
            flow.reshape(*flow.shape[:-1], *self.shape),
            self.classes,
            spikes=self.read_out is not None and self.read_out.spiking,
            still=self._still,
            in_turn=self.in_turn,
        )

    @cached_property
    def architecture(self) -> ModuleArchitecture:  # type: ignore[override]
        """The layers that are counted."""
        learned = sum(weight.numel() for weight in self.call.own.learned.values())
        ends = (math.prod(self.shape), self.classes)
        return ModuleArchitecture(self.trial.layers, ends, learned)

    @cached_property
    def spiked(self) -> list[str]:
        """Those that spikes enter: not the first under the direct code, and none behind an average."""
        if self._branches and self._timed:
            weighted = [n for n, one in self.trial.layers.items() if isinstance(one, Synapses)]
            return [n for n in weighted[int(self._still) :] if n not in self.trial.real]
        entered = [one for one in self.trial.layers.items() if is_entered(one[1])]
        averaged = {
            name
            for (_, before), (name, _) in pairwise(entered)
            if isinstance(before, Pooling) and before.kind == "average"
        }
        there = [name for name, _ in entered[int(self._still) :]] if self._timed else []
        return [name for name in there if name not in averaged]

    def drawn_by(self, begin: Callable[[np.random.Generator], nn.Module]) -> "ModuleNetwork":
        """With the first weights of the module that `begin` makes at an address."""
        drawn = copy.copy(self)
        object.__setattr__(drawn, "begin", begin)
        return drawn

    def init(self, generator: np.random.Generator) -> Parameters:
        """The values that the parameters had in the module, float32, or those of one that begins anew."""
        begin = vars(self).get("begin")  # no field: what begins anew is for `drawn_by` to say
        own = self.call.own if begin is None else adopted(begin(generator))
        return {
            name: weight.float().clone(memory_format=torch.contiguous_format)
            for name, weight in own.learned.items()
        }

    @property
    def bytes_per_sample(self) -> int:
        """Memory of a training step, about: all results of the module, and their gradients."""
        return 2 * self.trial.bytes_per_sample

    def over(self, shape: tuple[int, ...], classes: int) -> "ModuleNetwork":
        """The network itself; raises InputError where samples or classes are others."""
        if not self.takes(math.prod(shape)) or classes != self.classes:
            raise InputError(
                f"a module for samples of shape {self.shape} and {self.classes} classes",
                expected=f"one for samples of shape {shape} and {classes} classes",
                fix="say the data's shape and classes, and build the module for them",
            )
        return self

    def demand_loss(self, loss: Loss) -> None:
        """Raise InputError where a loss is not meant for its scores."""
        loss.demand_scores(self.read_out, self.time_steps)

    def operations(self) -> NetworkOperations:
        """What a device does for it: a chain of layers or, where some are not counted, no layer at all.

        Raises InputError where the layers are no such chain.
        """
        if self.not_counted:
            return NetworkOperations(layers={}, not_counted=self.not_counted)
        layers: dict[str, Any] = self.trial.layers
        try:
            if self._branches:
                return self._branching()
            if self.code is None:
                return conventional(layers)
            return spiking(layers, self.time_steps, self.code, self.neuron, self.read_out)
        except InputError as error:
            if self.code is None and any(isinstance(one, Synapses) for one in layers.values()):
                return self._branching()
            raise InputError(
                f"a {type(self.module).__name__} that cannot be billed: {error.passed}",
                expected=f"{error.expected}, in the order {', '.join(self.trial.layers)}",
                fix="name the layers that are not in line in not_counted to train without a bill",
            ) from error

    def run(self, parameters: Parameters, batch: Batch, operators: Operators = PLAIN) -> Forward:
        """From pixels to scores. The module never sees padding: clients with as many samples go together."""
        flow, present = self._flow(batch.x, batch.address, operators), batch.present
        sizes = present.sum(1)
        scores = flow.new_zeros(*present.shape, self.classes)
        layers = {name: layer for name, layer in self.trial.layers.items() if is_entered(layer)}
        counts = {name: sizes.new_zeros(len(sizes), 3) for name in layers}
        events_out = torch.zeros_like(sizes)
        for samples in sorted(set(sizes.tolist()) - {0}):
            alike = sizes == samples
            where = present & alike.unsqueeze(1)
            rows = flow[:, where] if self._timed else flow[where]
            shown = rows.reshape(*flow.shape[:-3], int(alike.sum()), samples, *self.shape)
            whole = bool(alike.all())
            theirs = parameters if whole else {n: w[alike] for n, w in parameters.items()}
            outputs, met = self._passed(theirs, shown)
            scores[where] = self._scores(outputs).flatten(0, 1)
            if self.read_out is not None and self.read_out.spiking:
                events_out[alike] = (outputs.detach() != 0).sum((0, 2, 3))
            for name in met.keys() & counts.keys():
                counts[name][alike] = met[name] // self._times(name)
        events = {name: own[:, 0] for name, own in counts.items()}
        met = {n: counts[n][:, 1] for n, x in layers.items() if isinstance(x, Sliding)}
        return Forward(scores, events, events_out, met)

    def _flow(
        self, x: Float[Tensor, "client batch pixel"], address: Address, operators: Operators = PLAIN
    ) -> Float[Tensor, "*time client batch pixel"]:
        """What enters the module, its samples flat; a code's weights of the steps are in it."""
        if self.code is None:
            return x
        if x.shape[2] != math.prod(self.shape):
            x = x.reshape(*x.shape[:2], self.time_steps, -1)
        spikes = operators.encoded(self.code, x, address, self.time_steps)
        if (weights := self.code.step_weights(self.time_steps)) is None:
            return spikes
        return spikes * torch.tensor(weights).to(spikes).view(-1, 1, 1, 1)

    def _passed(self, parameters: Parameters, shown: Tensor) -> Passed:
        """Run the module; InputError where a count would call something a spike that is none."""
        run = self.call.at_once if self.trial.vectorised else self.call.in_turn
        outputs, counts = run(parameters, shown)
        weighted = self.code is not None and self.code.step_weights(self.time_steps) is not None
        for name in () if self.not_counted else self.spiked[int(weighted) :]:
            if name in counts and bool(counts[name][:, 2].any()):
                raise InputError(
                    f"layer {name}: numbers other than 0 and 1 enter it",
                    expected="spikes, of which each costs an accumulate, behind all but an average",
                    fix=f'not_counted=("{name}",) trains it without a bill',
                )
        return outputs, counts

    def _scores(self, outputs: Tensor) -> Scores:
        return outputs if self.read_out is None else self.read_out.scores(outputs)

    def _times(self, name: str) -> int:
        """How often a sample's events were seen: the pixels of a direct code count once."""
        return self.trial.repeats if name == next(iter(self.trial.layers)) else 1

    def _branching(self) -> NetworkOperations:
        if self.code is None or self.read_out is None:
            return of_branching_values(self.trial.layers)
        own = self.call.own
        neurons = {
            n: neuron_of(n, kind, self.neuron, own.learned) for n, kind in own.neurons.items()
        }
        real = self.trial.real
        return of_branching_spikes(
            self.trial.layers, self.time_steps, self.code, neurons, self.read_out, real
        )

    @property
    def _branches(self) -> bool:
        """Whether neurons of its own stand beside the layers, or normalisations."""
        return any(isinstance(one, Beside) for one in self.trial.layers.values())

    @property
    def _timed(self) -> bool:
        return self.code is not None

    @property
    def _still(self) -> bool:
        """Whether the input is the same at every step."""
        return self.code is not None and not self.code.binary
