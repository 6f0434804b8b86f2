"""Whether a module's answer to a sample hangs on that sample alone: not on others, nor on what came before.

Spikes hide most of what goes on, and say nothing where no neuron fires. So a module is also run with larger
weights, until its neurons fire, and beside the answer the gradients of its weights are looked at: surrogates
give these to silent neurons, too. All is done in float64, where sums of another order turn over no spike.
"""

import torch
from torch import Tensor

from fedspike.errors import InputError
from fedspike.networks.module.call import Call
from fedspike.networks.sized_layers import Parameters

LOUDER = (1, 10, 100)  # times the weights
# Of the largest number; sums of another order are off by about 1e-13 and 1e-6 a step.
ROUNDING = {torch.float64: 1e-6, torch.float32: 1e-3}

FORGETS = "whose answer depends on what it was shown before"
FRESH = (
    "the same answer to the same input, alone or in company, the first time and the second",
    "state that begins anew in forward, before the first time step: membrane = neuron.reset_mem(), or "
    "functional.reset_net(self)",
)
COMPANY = "whose answer to a sample depends on the others in its batch"
ALONE = (
    "scores of each sample alone",
    "statistics over dim=1 or later, softmax(dim=1), GroupNorm; a time axis comes before the batch",
)


def demand_alike(call: Call, flow: Tensor) -> None:
    """Show it samples together, alone, and together again; raise InputError where the answers differ.

    `flow` is [batch, ...] or, where the call is `timed`, [time, batch, ...].
    """
    batch, dtype = int(call.timed), torch.float64
    if _seen(call, flow, 1, dtype) is None:  # forward has numbers of another type in it
        dtype = torch.float32
    for louder in LOUDER:
        together = _seen(call, flow, louder, dtype)
        if together is None:  # it refuses such weights
            continue
        again = _seen(call, flow, louder, dtype)
        if again is None or not all(map(_alike, together, again)):
            raise unfit(call, FORGETS, *FRESH)
        if call.timed and dtype == torch.float32:
            continue  # a sum of another order may turn over a spike
        for row in range(flow.shape[batch]):
            alone = _seen(call, flow.narrow(batch, row, 1), louder, dtype)
            if alone is None or not _alike(together[row], alone[0]):
                raise unfit(call, COMPANY, *ALONE)
        turned = _seen(call, flow.flip(batch), louder, dtype)
        if turned is None or not all(map(_alike, together, reversed(turned))):
            raise unfit(call, FORGETS, *FRESH)


def _seen(call: Call, flow: Tensor, louder: int, dtype: torch.dtype) -> list[list[Tensor]] | None:
    """For each sample the answer and its gradients; None where the module does not run like this."""
    learned: Parameters = {
        name: (weight.to(dtype) * (louder if weight.dim() > 1 else 1)).requires_grad_()
        for name, weight in call.own.learned.items()
    }
    try:
        with torch.enable_grad():
            outputs = call.outputs(call.own.tensors(learned), flow.to(dtype, copy=True))
            return [
                [answer.detach().to(dtype), *_slopes(answer, learned)]
                for answer in outputs.unbind(int(call.timed))
            ]
    except Exception:  # it is somebody's code, and may raise anything
        return None


def _slopes(answer: Tensor, learned: Parameters) -> tuple[Tensor, ...]:
    if not answer.requires_grad:
        return ()
    uneven = torch.linspace(1, 2, answer.numel()).to(answer).view_as(answer)  # softmax sums to 1
    return torch.autograd.grad(
        (answer * uneven).sum(),
        list(learned.values()),
        retain_graph=True,
        allow_unused=True,
        materialize_grads=True,
    )


def _alike(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    one, other = (torch.cat([x.flatten().double() for x in every]) for every in (ours, theirs))
    if one.shape != other.shape:
        return False
    largest = float(one.nan_to_num(0, 0, 0).abs().max())
    near = ROUNDING[ours[0].dtype] * largest
    return torch.allclose(one, other, rtol=0, atol=near, equal_nan=True)


def unfit(call: Call, what: str, expected: str, fix: str) -> InputError:
    """The error of a module that `what` is wrong with."""
    return InputError(f"a {type(call.own.module).__name__} {what}", expected=expected, fix=fix)
