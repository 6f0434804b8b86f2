"""Parts of a user's own are tried on a few numbers before anything is trained.

A wrong answer is then an InputError that names the part and the line, not a traceback from the middle of a
training. The parts that ship have their own tests.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from fedspike.energy.counts import ARITHMETIC, MEMORY
from fedspike.errors import InputError
from fedspike.layers.operations import Place, Table, demand_table
from fedspike.own_files import file_of, is_own, line_in
from fedspike.part import Part
from fedspike.parts.codes import Address, Code
from fedspike.parts.losses import Loss
from fedspike.parts.neurons import Neuron
from fedspike.parts.read_outs import ReadOut
from fedspike.parts.surrogates import Surrogate
from fedspike.reading import nearest

TIME, CLIENTS, BATCH, SIZE = 6, 2, 3, 4


def demand_sound(parts: Iterable[Part], time_steps: int) -> None:
    """Raise InputError where a part that does not ship answers what its family does not.

    `time_steps` are those of the network, 1 without time.
    """
    for part in parts:
        if is_own(type(part)):
            for family, trial in TRIALS.items():
                if isinstance(part, family):
                    trial(part, time_steps)
            if hasattr(part, "operations"):
                place = (Place(),) if isinstance(part, Neuron) else ()
                table = _asked(part, "operations", *place) or {}
                demand_table(table, _name(part))
                _demand_priced(part, table)


def _demand_priced(part: Part, table: Table) -> None:
    """Raise where it counts operations that no profile can price: those that ship, or one of a user's own."""
    priced = (*ARITHMETIC, *MEMORY)
    for name in (name for rows in table.values() for row in rows.values() for name in row):
        if name not in priced:
            close = nearest(name, priced, "count it as one of these.")
            raise InputError(
                f"{_name(part)}: operations() says {name}, which no profile has a price of",
                expected=f"one of {', '.join(priced)}",
                fix=f"{close} Correct operations in {_where(part)}",
            )


def _code(code: Any, time_steps: int) -> None:
    pixels = torch.linspace(0, 1, CLIENTS * BATCH * SIZE).reshape(CLIENTS, BATCH, SIZE)
    address = Address(seed=0, purpose="encode", round=1, clients=(0, 1), first_samples=(0, 0))
    shape = (time_steps, CLIENTS, BATCH, SIZE * code.inputs_per_number)
    spikes = _tensor(code, "spikes", shape, pixels, address, time_steps)
    if code.binary:
        _demand_spikes(code, spikes)


def _neuron(neuron: Any, time_steps: int) -> None:
    del time_steps
    currents = torch.linspace(-1, 4, TIME * CLIENTS * BATCH * SIZE)
    currents = currents.reshape(TIME, CLIENTS, BATCH, SIZE).requires_grad_()
    for member, fires in (("spikes", True), ("membrane", False)):
        constants = _asked(neuron, "initial", SIZE, fires)
        learned = {name: start.expand(CLIENTS, -1) for name, start in constants.items()}
        flow = _tensor(neuron, member, tuple(currents.shape), currents, learned)
        if fires:
            _demand_spikes(neuron, flow)
        if not flow.requires_grad:
            raise InputError(
                f"{_name(neuron)}.{member} gives numbers without a gradient",
                expected="the currents' gradient, through a surrogate where a neuron fires",
                fix="compute with torch from the currents, and spikes with "
                "fedspike.parts.surrogates.fire(U - threshold, surrogate)",
            )


def _surrogate(surrogate: Any, time_steps: int) -> None:
    del time_steps
    _tensor(surrogate, "derivative", (5,), torch.linspace(-2, 2, 5))


def _read_out(read_out: Any, time_steps: int) -> None:
    flow = torch.linspace(0, 1, time_steps * CLIENTS * BATCH * SIZE).round()
    flow = flow.reshape(time_steps, CLIENTS, BATCH, SIZE)
    _tensor(read_out, "scores", (CLIENTS, BATCH, SIZE), flow)


def _loss(loss: Any, time_steps: int) -> None:
    scores = torch.linspace(0, time_steps, CLIENTS * BATCH * SIZE).reshape(CLIENTS, BATCH, SIZE)
    labels = torch.arange(CLIENTS * BATCH).reshape(CLIENTS, BATCH) % SIZE
    present = torch.ones(CLIENTS, BATCH, dtype=torch.bool)
    _tensor(loss, "__call__", (CLIENTS,), scores.requires_grad_(), labels, present, time_steps)


TRIALS: dict[type[Part], Callable[[Any, int], None]] = {
    Code: _code,
    Neuron: _neuron,
    Surrogate: _surrogate,
    ReadOut: _read_out,
    Loss: _loss,
}


def _tensor(part: Part, member: str, shape: tuple[int, ...], *arguments: Any) -> Tensor:
    """What a member answers, which must be finite numbers of this shape."""
    answer = _asked(part, member, *arguments)
    wrong = f"a {type(answer).__name__}"
    if isinstance(answer, Tensor):
        wrong = ""
        if tuple(answer.shape) != shape or answer.dtype != torch.float32:
            wrong = f"{answer.dtype} of shape {list(answer.shape)}"
        elif not answer.isfinite().all():
            wrong = "numbers that are not finite"
    if wrong:
        raise InputError(
            f"{_name(part)}.{member} gives {wrong}",
            expected=f"finite numbers, torch.float32 of shape {list(shape)}; {_documented(part, member)}",
            fix=f"correct {member} in {_where(part)}",
        )
    tensor: Tensor = answer
    return tensor


def _demand_spikes(part: Part, spikes: Tensor) -> None:
    if not ((spikes == 0) | (spikes == 1)).all():
        raise InputError(
            f"{_name(part)}.spikes gives {spikes.min():g} to {spikes.max():g}",
            expected="spikes, which are 0.0 or 1.0",
            fix=f"correct spikes in {_where(part)}",
        )


def _asked(part: Part, member: str, *arguments: Any) -> Any:
    """The answer of a member; its own exceptions are InputErrors with the line that raised them."""
    try:
        return getattr(part, member)(*arguments)
    except InputError:
        raise
    except Exception as error:
        path = file_of(part)
        place = _where(part) + ("" if path is None else line_in(path, error))
        raise InputError(
            f"{_name(part)}.{member}: {type(error).__name__}: {error}",
            expected=_documented(part, member),
            fix=f"correct {place}",
        ) from error


def _name(part: Part) -> str:
    return type(part).__name__


def _where(part: Part) -> str:
    return str(file_of(part) or "the class")


def _documented(part: Part, member: str) -> str:
    """What the family says of a member: the docstring that ships."""
    for kind in type(part).__mro__:
        if kind.__module__.startswith("fedspike.") and member in vars(kind):
            return " ".join((vars(kind)[member].__doc__ or "").split())
    return "an answer"
