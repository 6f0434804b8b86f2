"""A class of somebody's own file as a kind of network: its name is the kind, its arguments are keys.

    network = "Net"            the class, after --use mine.py; or "mine.py:Net"
    [Net]
    input = "step"             how forward is called
    hidden = 50                an argument of Net.__init__

Arguments called `shape`, `classes` and `time_steps` get what the data and the file say. The class is made
anew for each run, and draws its first weights from torch's generator, which begins at the plan's seed.
"""

import inspect
import math
import typing
from collections.abc import Mapping
from functools import cache, lru_cache, partial
from types import new_class
from typing import Annotated, Any, ClassVar, Literal

import msgspec
import numpy as np
import torch
from msgspec import Meta
from torch import nn

from fedspike.errors import InputError
from fedspike.networks.module.module_network import ModuleNetwork
from fedspike.networks.network import Network, SizedNetwork, usual_loss
from fedspike.own_files import raised_in
from fedspike.part import fields_of, fitting
from fedspike.parts.codes import Code, Rate
from fedspike.parts.losses import Loss
from fedspike.parts.neurons import LIF, Neuron
from fedspike.parts.read_outs import ReadOut, SpikeCount
from fedspike.randomness import stream, torch_at

GIVEN = ("shape", "classes", "time_steps")  # arguments of a class that are no keys
OF_SPIKES = ("time_steps", "code", "neuron", "read_out")
Value = bool | int | float | str | tuple[Any, ...] | None
WIDER: dict[type, Any] = {int: int | float, list: tuple[Any, ...], tuple: tuple[Any, ...]}


class OwnNetwork(Network, kw_only=True):
    """A module of one's own, from a file that was named with --use.

    Raises InputError where the class cannot be made, or is no network; see docs/own-networks.md.
    """

    input: Annotated[
        Literal["pixels", "spikes", "step"],
        Meta(
            description="what forward is called with: pixels; spikes [time, batch, *shape]; or those of one "
            "time step after the other"
        ),
    ] = "pixels"
    shape: Annotated[
        tuple[Annotated[int, Meta(ge=1)], ...],
        Meta(description="of a sample; left out: an image is [channel, row, column]"),
    ] = ()
    time_steps: (
        Annotated[
            int, Meta(ge=1, lt=2**31, description="steps for which a sample is shown as spikes")
        ]
        | None
    ) = 50
    not_counted: Annotated[
        tuple[str, ...], Meta(description="layers that no bill shall have, as an error names them")
    ] = ()
    in_turn: Annotated[
        bool, Meta(description="train one client after the other, so that no bit hangs on company")
    ] = False
    code: Code | None = Rate()
    neuron: Neuron | None = LIF()
    read_out: ReadOut | None = SpikeCount()

    module: ClassVar[type[nn.Module]]
    taken: ClassVar[tuple[str, ...]]  # arguments whose names are keys of every such network

    @property
    def spiking(self) -> bool:
        """Whether spikes enter."""
        return self.input != "pixels"

    def check(self) -> None:
        """Pixels have no code and no time; a code gets what fits the time steps, or InputError."""
        for field in fields_of(type(self)):
            if isinstance(value := getattr(self, field.name), list):
                msgspec.structs.force_setattr(self, field.name, _tuples(value))
        if self.code is not None and self.time_steps is not None and self.spiking:
            msgspec.structs.force_setattr(self, "code", self.code.fitted(self.time_steps))
            return
        for name in OF_SPIKES:
            msgspec.structs.force_setattr(self, name, None)

    @property
    def usual_loss(self) -> Loss:
        """By the read-out, if there is one."""
        return usual_loss(self.read_out)

    def demand_loss(self, loss: Loss) -> None:
        """Raise InputError where a loss is not meant for its scores."""
        loss.demand_scores(self.read_out, self.time_steps or 1)

    def over(self, shape: tuple[int, ...], classes: int) -> SizedNetwork:
        """The network for samples of this shape; raises InputError where the class makes none of them."""
        return _over(self, shape, classes)

    def made(
        self, shape: tuple[int, ...], classes: int, generator: np.random.Generator
    ) -> nn.Module:
        """The module, its first weights drawn at the generator's address."""
        if self.taken:
            raise InputError(
                f"{self.kind} with an argument {self.taken[0]}, which is a key of every network of one's own",
                expected=f"arguments with other names than {', '.join(OwnNetwork.__struct_fields__)}",
                fix=f"call it {self.taken[0]}_ in {self.kind}.__init__",
            )
        given: dict[str, Any] = {
            "shape": shape,
            "classes": classes,
            "time_steps": self.time_steps or 1,
        }
        wanted = inspect.signature(self.module).parameters
        own = set(self.__struct_fields__) - set(OwnNetwork.__struct_fields__)
        settings = {name: getattr(self, name) for name in own}
        settings |= {name: value for name, value in given.items() if name in wanted}
        try:
            with torch_at(generator):
                return self.module(**{n: _as_wanted(v, wanted[n]) for n, v in settings.items()})
        except Exception as error:  # it is somebody's code, and may raise anything
            shown = ", ".join(f"{name} = {value}" for name, value in sorted(settings.items()))
            raise InputError(
                f"{self.kind}({shown}){raised_in(self.module, error)}: {type(error).__name__}: {error}",
                expected="a class that makes a torch.nn.Module",
                fix=f"correct it, or set its arguments in [{self.kind}]",
                keys=tuple(sorted(own)),
            ) from error


@cache
def own_network(written: type) -> type[OwnNetwork] | None:
    """The kind of network that a class is; None where it is no torch.nn.Module, or is called _Private."""
    if not issubclass(written, nn.Module) or written.__name__.startswith("_"):
        return None
    keys, taken = _arguments(written)

    def fill(namespace: dict[str, Any]) -> None:
        namespace["__annotations__"] = {name: annotation for name, (annotation, _) in keys.items()}
        namespace |= {n: usual for n, (_, usual) in keys.items() if usual is not _REQUIRED}
        namespace |= {"__module__": written.__module__, "__doc__": written.__doc__ or _doc(written)}

    kind: Any = new_class(
        OwnNetwork.__name__, (OwnNetwork,), {"tag": written.__name__, "kw_only": True}, fill
    )
    kind.module, kind.taken = written, taken
    kind.alone = tuple(name for name in kind.__struct_fields__ if name not in GIVEN[2:])
    checked: type[OwnNetwork] = kind
    return checked


_REQUIRED = inspect.Parameter.empty


def _doc(written: type) -> str:
    return f"The module {written.__name__}."


def _arguments(written: type) -> tuple[dict[str, tuple[Any, Any]], tuple[str, ...]]:
    """The arguments that are keys, each with its type and its default; and those whose name is taken."""
    try:
        hints = typing.get_type_hints(written.__init__)  # type: ignore[misc]
    except (NameError, TypeError):  # it is named in quotes and nowhere to be found
        hints = {}
    keys: dict[str, tuple[Any, Any]] = {}
    taken: list[str] = []
    for name, one in inspect.signature(written).parameters.items():
        if name in GIVEN or one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD, one.POSITIONAL_ONLY):
            continue
        if name in (*OwnNetwork.__struct_fields__, "kind"):
            taken.append(name)
            continue
        usual = _tuples(one.default)
        annotation = hints.get(name, WIDER.get(type(usual), type(usual)))
        if not _is_plain(annotation, usual):
            annotation = Value
        if usual is _REQUIRED or _is_plain(annotation, usual):
            keys[name] = annotation, usual
    return keys, tuple(taken)


def _is_plain(annotation: Any, usual: Any) -> bool:
    """Whether a file can say it: neither a function nor a module."""
    try:
        described = msgspec.inspect.type_info(annotation)
        if usual is not _REQUIRED:
            fitting(usual, annotation)
    except (TypeError, msgspec.ValidationError):
        return False
    others = (msgspec.inspect.CustomType, msgspec.inspect.AnyType, msgspec.inspect.StructType)
    return not isinstance(described, (*others, msgspec.inspect.DictType))


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def _as_wanted(value: Any, parameter: inspect.Parameter) -> Any:
    """A list where the class has a list."""
    lists = isinstance(parameter.default, list) or "list" in str(parameter.annotation)
    return list(value) if lists and isinstance(value, tuple) else value


@lru_cache(maxsize=16)
def _over(own: OwnNetwork, shape: tuple[int, ...], classes: int) -> ModuleNetwork:
    entering = own.code.entering(shape) if own.code else shape
    image = (1, *entering) if len(entering) == 2 else entering
    wanted = own.shape or image
    if math.prod(wanted) != math.prod(image):
        raise InputError(
            f"{own.kind}.shape = {list(wanted)} for samples of {math.prod(image)} numbers",
            expected=f"{list(image)}, or [{math.prod(image)}] for flat ones",
            fix=f"set {own.kind}.shape = [{math.prod(image)}]",
            keys=("shape",),
        )
    begin = partial(own.made, wanted, classes)
    module, again = begin(stream(0, "init")), begin(stream(0, "init"))
    _demand_equal(own, module.state_dict(), again.state_dict())
    try:
        return ModuleNetwork(
            module,
            wanted,
            classes,
            code=own.code,
            time_steps=own.time_steps or 1,
            read_out=own.read_out,
            stepped=own.input == "step",
            not_counted=own.not_counted,
            neuron=own.neuron or LIF(),
            in_turn=own.in_turn,
        ).drawn_by(begin)
    except InputError as error:
        called = f"set {own.kind}.input and {own.kind}.shape to how it is called"
        raise InputError(
            f"{error.passed}; {own.kind}.input = {own.input!r}, samples of shape {list(wanted)}",
            expected=error.expected,
            fix=error.fix.replace("not_counted=(", f"{own.kind}.not_counted = [").replace(",)", "]")
            if "not_counted" in error.fix
            else f"{error.fix}; {called}",
            keys=error.keys,
        ) from error


def _demand_equal(own: OwnNetwork, one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    """Raise InputError where a module that was made twice at one seed is not the same."""
    for name, tensor in one.items():
        if not (name in other and torch.equal(tensor.nan_to_num(), other[name].nan_to_num())):
            raise InputError(
                f"{own.kind}, made twice at one seed, has another {name}",
                expected="first weights that are drawn by torch alone",
                fix="draw with torch's functions in __init__, not with numpy's or Python's random",
            )
