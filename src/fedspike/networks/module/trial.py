"""A module is run on samples that mean nothing, to see what it is made of and whether we can use it."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from fedspike.errors import InputError, warn_once
from fedspike.layers.beside import Beside, Neurons, of_each
from fedspike.layers.shapes import Layer, Synapses
from fedspike.networks.module.adopt import LEAKY, without_rule
from fedspike.networks.module.call import Call
from fedspike.networks.module.company import FORGETS, FRESH, demand_alike, unfit
from fedspike.networks.module.counting import CONSTANTS, Watch, layer_of
from fedspike.networks.sized_layers import Parameters
from fedspike.own_files import raised_in

SAMPLES = CLIENTS = 2
CALLED = "the head of networks/module/module_network.py shows how modules are called"


@dataclass(frozen=True)
class Trial:
    """What was seen.

    `layers` are those that are counted, the module's own neurons among them where they are no chain, and
    `real` those that other numbers than spikes enter. A first layer whose input is the same at every step is
    run `repeats` times a sample. `vectorised` is whether torch.vmap takes the module, and shall.
    """

    layers: dict[str, Layer | Beside]
    real: frozenset[str]
    repeats: int
    bytes_per_sample: int
    vectorised: bool


def tried(
    call: Call, flow: Tensor, classes: int, *, spikes: bool, still: bool, in_turn: bool
) -> Trial:
    """Run it on `flow`, [client, batch, ...] or, where the call is `timed`, [time, client, batch, ...].

    It should answer with `spikes`, 0 or 1; its input is `still` where it is the same at every step.

    Raises InputError where the module is no function of its input and its parameters to so many classes, or a
    layer has no rule.
    """
    one = flow.select(int(call.timed), 0)
    learned = {name: weight.clone().requires_grad_() for name, weight in call.own.learned.items()}
    tensors = call.own.tensors(learned)
    kept = {name: tensors[name].clone() for name in call.own.kept}
    watch, chance = call.watch(tensors), torch.get_rng_state()
    try:
        shown = one.clone()
        with torch.enable_grad(), watch:
            watch.shown(shown, real=still)
            outputs = call.outputs(tensors, shown)
        drawn = not torch.equal(chance, torch.get_rng_state())
        again = call.outputs(call.own.tensors(learned), one.clone())
    except InputError:
        raise
    except Exception as error:
        raised = f"{type(error).__name__}{raised_in(type(call.own.module), error)}, {error},"
        raise unfit(
            call,
            f"that raises {raised} when it is called with {_described(one)}",
            f"a module for that input{', one time step a call' * call.stepped}",
            CALLED,
        ) from error
    wanted = (*one.shape[: int(call.timed) + 1], classes)
    made = f"that makes {_described(outputs)} of {_described(one)}"
    _demand(
        outputs.shape == wanted,
        call,
        made,
        f"a tensor of {wanted}",
        f"{classes} outputs of the last layer, and x.flatten(1) before it",
    )
    for name, was in kept.items():
        changes = f"whose layer {layer_of(name)} changes its buffer {name}"
        stay = "buffers that stay as they came: they are not learned, and no client sends them"
        _demand(torch.equal(was, tensors[name]), call, changes, stay)
    _demand_function(call, one, shown, [outputs, again], drawn=drawn)
    demand_alike(call, one)
    fires = not spikes or bool(((outputs == 0) | (outputs == 1)).all())
    others = "that answers with other numbers than 0 and 1"
    _demand(fires, call, others, "spikes, or a read-out of membranes")
    _demand_reached(call, outputs, learned)
    repeats = _demand_rules(call, watch, len(one) if call.timed else 1, still)
    size = watch.bytes // SAMPLES
    layers = _sized(call, watch, len(one) if call.timed else 1)
    real = frozenset(watch.real)
    return Trial(layers, real, repeats, size, not in_turn and _vectorises(call, flow))


def _sized(call: Call, watch: Watch, steps: int) -> dict[str, Layer | Beside]:
    """The layers; what stands beside them in sizes of one sample and step, neurons where they are needed."""
    shown, learned = SAMPLES * steps, call.own.learned
    usual = {*call.own.neurons.values()} <= {*LEAKY} and all(
        isinstance(one, Neurons) for one in watch.beside.values()
    )
    constants = {
        name: sum(learned[f"{name}.{c}"].numel() for c in CONSTANTS if f"{name}.{c}" in learned)
        for name in call.own.neurons
    }
    chain: dict[str, Layer | Beside] = {
        n: one for n, one in watch.layers.items() if not isinstance(one, Neurons)
    }
    in_line = all(one.outputs == after.inputs for one, after in pairwise(chain.values()))
    first = next(iter(chain), "")
    if usual and in_line and not any(constants.values()) and not first.startswith("input."):
        return chain
    if call.timed and watch.beside and not call.not_counted:
        _demand_named(watch)
    sized = dict(watch.layers)
    for name, one in watch.beside.items():
        sized[name] = of_each(one, shown, constants.get(name, 0))
    return sized


def _demand_named(watch: Watch) -> None:
    """Raise where spikes come from neurons that stand nowhere: a bill would lack them."""
    bare = dict.fromkeys(name for name, fired in watch.unnamed if fired)
    if not any(isinstance(one, Neurons) for one in watch.beside.values()):
        bare |= dict.fromkeys([*watch.rows][-1:])
    if bare:
        raise InputError(
            f"neurons of no name behind {', '.join(bare)}, where layers are in no line or are normalised",
            expected="there, neurons that are modules of snnTorch, or SpikingJelly's LIFNode or IFNode",
            fix=f"take these; or {_without_a_bill(bare)}",
        )


def _without_a_bill(layers: Iterable[str]) -> str:
    """How a module with these layers can be trained all the same."""
    names = ", ".join(f'"{name}"' for name in layers)
    return f"not_counted=({names},) trains the module as it is, without a bill"


def _demand_function(
    call: Call, one: Tensor, shown: Tensor, outputs: list[Tensor], *, drawn: bool
) -> None:
    """Raise where a module that was `shown` the same as `one`, twice, is no function of it alone."""
    writes = "that changes its input in place"
    mend = "x = x * 2 in place of x.mul_(2), and torch.relu(x) in place of inplace=True"
    _demand(torch.equal(one, shown), call, writes, "an input that stays as it came", mend)
    fits = bool(outputs[0].isfinite().all())
    mend = "a small number beside what is divided by, or under a logarithm: x / (n + 1e-6)"
    _demand(fits, call, "that makes NaN or infinite numbers", "finite numbers", mend)
    chances = "whose answer depends on chance: it draws random numbers"
    mend = (
        "nn.functional.dropout(x, p, training=self.training), and module.eval() before you pass it"
    )
    _demand(not drawn, call, chances, "the same answer to the same input", mend)
    _demand(torch.equal(*outputs), call, FORGETS, *FRESH)


def _demand_reached(call: Call, outputs: Tensor, learned: Parameters) -> None:
    """Raise where a parameter has no gradient."""
    weights = list(learned.values())
    slopes: tuple[Tensor | None, ...] = (None,) * len(weights)
    if outputs.requires_grad:
        slopes = torch.autograd.grad(outputs.sum(), weights, allow_unused=True)
    unused = [name for name, slope in zip(learned, slopes, strict=True) if slope is None]
    idle = f"whose answer does not depend on {', '.join(unused)} in a way that has a gradient"
    fix = "nothing that cannot learn: remove it, or freeze it with requires_grad_(False)"
    _demand(not unused, call, idle, fix)


def _demand_rules(call: Call, watch: Watch, steps: int, still: bool) -> int:
    """Raise where a layer has no rule; return how often a first layer with a still input is run a sample."""
    no_rule = without_rule(call.own) | watch.no_rule
    for at, name in enumerate(name for name in watch.layers if name not in watch.beside):
        times = watch.rows[name] / SAMPLES
        if times != steps and not (times == 1 and still and at == 0):
            no_rule[name] = f"a layer that is run {times:g} times for a sample of {steps} steps"
    rated = {*dict(call.own.module.named_modules()), *watch.seen, *no_rule}
    named = f"with not_counted = {call.not_counted}"
    _demand(rated.issuperset(call.not_counted), call, named, f"names among {sorted(rated - {''})}")
    shared = _shared(call)
    left = {n: shared.get(n, why) for n, why in no_rule.items() if n not in call.not_counted}
    if left:
        raise InputError(
            "layers without a rule for their operations: "
            + "; ".join(f"{name} ({why})" for name, why in left.items()),
            expected="Linear, convolutions, averages and maxima of whole windows, normalisations, neurons "
            "like snnTorch's Leaky, RLeaky and Synaptic, and all their parameters learned",
            fix=_without_a_bill([*call.not_counted, *left])
            + (
                "; or module.requires_grad_(), which learns what is frozen"
                if call.own.frozen
                else ""
            ),
        )
    first = next(iter(watch.rows), "")
    kept = still and isinstance(watch.layers.get(first), Synapses)
    return watch.rows[first] // SAMPLES if kept else 1


def _shared(call: Call) -> dict[str, str]:
    """The layers whose parameters others have, too."""
    names: dict[int, list[str]] = {}
    for name, weight in call.own.module.named_parameters(remove_duplicate=False):
        names.setdefault(id(weight), []).append(name)
    several = (same for same in names.values() if len(same) > 1)
    return {layer_of(n): f"one parameter as {' and '.join(same)}" for same in several for n in same}


def _vectorises(call: Call, flow: Tensor) -> bool:
    learned = {name: w.expand(CLIENTS, *w.shape) for name, w in call.own.learned.items()}
    try:
        call.at_once(learned, flow)
    except RuntimeError as error:
        kind, (why, *_) = type(call.own.module).__name__, str(error).splitlines() or [""]
        warn_once(f"{kind} is trained one client at a time, because torch.vmap refuses it: {why}")
        return False
    return True


def _described(values: object) -> str:
    return str(list(values.shape)) if isinstance(values, Tensor) else f"a {type(values).__name__}"


def _demand(right: bool, call: Call, what: str, expected: str, fix: str = CALLED) -> None:
    if not right:
        raise unfit(call, what, expected, fix)
