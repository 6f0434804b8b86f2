"""A copy of somebody's module that can be run for many clients, free of snnTorch's traps.

All its tensors are handed in with each call: the learned ones are the clients', the others stay as they came
with the module, and snnTorch's membranes begin at rest. So what one call leaves behind, the next never sees.
"""

import copy
import hashlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.parameter import is_lazy

from fedspike.errors import InputError, warn_once
from fedspike.networks.module.counting import layer_of, run_as
from fedspike.networks.sized_layers import Parameters

# Where libraries have their neurons: who has made one has imported it.
LIBRARIES = {"snntorch": "SpikingNeuron", "spikingjelly.activation_based.neuron": "BaseNode"}
LEAKY = ("Leaky", "LIFNode", "IFNode")  # what is billed as `neuron=`, a LIF by default
# Those with feedback, which is counted by itself, or with two states.
RELATIVES = {"RLeaky": False, "Synaptic": True, "RSynaptic": True}


@dataclass(frozen=True, eq=False)
class Adopted:
    """The copy and its tensors by name.

    `learned` are the parameters that require a gradient, `frozen` the names of the others. `kept` are those
    and the buffers; `resting` are the names of snnTorch's membranes, empty before a batch's first step, and
    `neurons` the classes of its neurons and SpikingJelly's.
    """

    module: nn.Module
    learned: Parameters
    frozen: tuple[str, ...]
    kept: Parameters
    resting: tuple[str, ...]
    neurons: Mapping[str, str]

    @property
    def hashes(self) -> dict[str, str]:
        """Of what stays, its structure and the tensors that are not learned, and of those that are."""
        shapes = {name: [*weight.shape] for name, weight in self.learned.items()}
        return {
            "sha256": _hash(self.kept, f"{self.module} {shapes}"),
            "first_weights_sha256": _hash(self.learned),
        }

    def tensors(self, learned: Parameters) -> Parameters:
        """All that the module is run with, of one client, in the type and place of what it has learned."""
        like = next(iter(learned.values()))
        kept = {
            name: tensor.to(like.device, like.dtype if tensor.is_floating_point() else None)
            for name, tensor in self.kept.items()
        }
        return kept | {name: like.new_zeros(0) for name in self.resting} | learned


def _hash(tensors: Parameters, also: str = "") -> str:
    digest = hashlib.sha256(also.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {[*tensor.shape]}".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def adopted(module: nn.Module) -> Adopted:
    """Copy a module, in the mode that it is in, training or evaluation.

    Raises InputError where it cannot be copied, has nothing to learn, or has a layer, which is named, that
    makes scores depend on chance or on the company in a batch.
    """
    _demand_made(module)
    _refuse(module)
    try:
        # Membranes hang on the pass that they are of, and such tensors refuse to be copied.
        cut = {id(buffer): buffer.detach().clone() for buffer in module.buffers()}
        own = copy.deepcopy(module, memo=cut).cpu()
    except RuntimeError as error:
        raise InputError(
            f"a {type(module).__name__} that cannot be copied ({error})",
            expected="a module whose tensors are parameters and buffers",
            fix="pass it before it is run for the first time",
        ) from error
    _demand_numbers(own)
    snntorch, others = (_neurons(own, library) for library in LIBRARIES)
    for neuron in snntorch.values():
        if not (neuron.surrogate_disable or isinstance(neuron.spike_grad, nn.Module)):
            neuron.spike_grad = partial(_fire, function=neuron.spike_grad)
    neurons = {n: part for n, part in own.named_modules() if n in snntorch or n in others}
    for name, neuron in neurons.items():
        neuron.forward = partial(run_as, name, neuron.forward)
    parameters = dict(own.named_parameters())
    learned = {name: p for name, p in parameters.items() if p.requires_grad}
    if not learned:
        raise InputError(
            f"a {type(module).__name__} without a parameter that requires a gradient",
            expected="something to learn",
            fix="module.requires_grad_()" if parameters else "a layer with weights, nn.Linear say",
        )
    resting = {
        f"{name}.{state}".lstrip(".")
        for name, neuron in snntorch.items()
        for state in neuron._non_persistent_buffers_set
    }
    tensors = {n: t.detach() for n, t in (parameters | dict(own.named_buffers())).items()}
    return Adopted(
        own,
        learned={name: tensors[name] for name in learned},
        frozen=tuple(parameters.keys() - learned.keys()),
        kept={n: t for n, t in tensors.items() if n not in learned and n not in resting},
        resting=tuple(sorted(resting)),
        neurons={name: type(neuron).__name__ for name, neuron in neurons.items()},
    )


def without_rule(own: Adopted) -> dict[str, str]:
    """The layers that can be seen to have no rule in the energy bill before they are run, and why."""
    others = {name: kind for name, kind in own.neurons.items() if kind not in (*LEAKY, *RELATIVES)}
    return {layer_of(name): "a parameter that is frozen" for name in own.frozen} | others


def _demand_made(module: nn.Module) -> None:
    """Raise where a tensor has no numbers yet: in a lazy layer, or on the device `meta`."""
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        lazy = is_lazy(tensor)
        if lazy or tensor.is_meta:
            raise InputError(
                f"a {type(module).__name__} whose {name} has no numbers yet",
                expected="a module whose parameters are made",
                fix="module(torch.zeros(1, *shape)) first, which makes the lazy layers"
                if lazy
                else 'module.to_empty(device="cpu"), and then give it its first values',
            )


def _demand_numbers(module: nn.Module) -> None:
    """Raise where a parameter is not finite; say it where it is learned in another type than it came."""
    kind, types = type(module).__name__, set()
    for name, weight in module.named_parameters():
        types.add(weight.dtype)
        if not (weight.is_floating_point() and weight.isfinite().all()):
            raise InputError(
                f"a {kind} whose {name}, {weight.dtype}, has numbers that are not real and finite",
                expected="finite numbers, torch.float32",
                fix=f'module.get_parameter("{name}").data.nan_to_num_(0, 0, 0), or weights of before',
            )
    if types - {torch.float32}:
        others = ", ".join(sorted(map(str, types - {torch.float32})))
        warn_once(f"a {kind} with parameters of {others}: they begin, and are learned, in float32")


def _refuse(module: nn.Module) -> None:
    for name, layer in module.named_modules():
        what = f"layer {name or 'module'} of the module, a {type(layer).__name__}"
        if isinstance(layer, _DropoutNd) and layer.training and layer.p > 0:
            raise InputError(
                f"{what} that draws random numbers",
                expected="scores that depend on nothing but the input and the parameters",
                fix=f"module.eval() before you pass it, or p = 0 in {name or 'it'}",
            )
        if isinstance(layer, _BatchNorm) and (layer.training or layer.running_mean is None):
            raise InputError(
                f"{what} that takes its statistics from the batch",
                expected="scores of a sample that do not depend on the others in its batch; buffers, here "
                "running means and variances, are not learned and stay as they came",
                fix="GroupNorm; or module.eval() before you pass it, which keeps the statistics as they are",
            )


def _neurons(module: nn.Module, library: str) -> dict[str, Any]:
    """The neurons of a library by their names."""
    kind = getattr(sys.modules.get(library), LIBRARIES[library], None)
    parts = module.named_modules()
    return {} if kind is None else {name: part for name, part in parts if isinstance(part, kind)}


def _fire(x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    return _Fire.apply(x, function)  # type: ignore[no-any-return,no-untyped-call]


class _Fire(torch.autograd.Function):
    """snnTorch's spike function of every single number, in the type of that number, and for vmap.

    There it refuses vmap, and answers in float32 whatever it is given.
    """

    @staticmethod
    def forward(x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        return function(x).to(x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        del output
        x, ctx.function = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(ctx.function(x).sum(), x)
        return slope * gradients[0], None

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int, None], x: Tensor, function: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, int]:
        del info
        return _fire(x, function), in_dims[0]
