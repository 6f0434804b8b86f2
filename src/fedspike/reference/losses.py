"""The losses of one client's minibatch, by torch and snnTorch, or as their papers have them."""

import math

import snntorch.functional
import torch
from torch import Tensor, nn

from fedspike.networks import ConventionalNetwork, SizedNetwork, SpikingNetwork, Term
from fedspike.parts.codes import Address
from fedspike.parts.losses import (
    CalibratedCrossEntropy,
    CrossEntropy,
    Loss,
    RestrictedCrossEntropy,
    SpikeCountMSE,
    VacantClasses,
)
from fedspike.reference.modules import Layers

Received = nn.Module
"""The module of the model that a client starts its round from."""
Comparison = tuple[list[Layers], Term]
"""Modules that do not learn, and what an algorithm makes of what enters their last layers."""


def loss_of(
    module: Layers,
    received: Received,
    network: SizedNetwork,
    aim: Loss | None,
    samples: tuple[Tensor, Tensor],
    address: Address,
    held: Tensor,
    comparison: Comparison | None,
) -> Tensor:
    """Of a minibatch of a client that is shown so many samples of each class."""
    x, y = samples
    if isinstance(network, SpikingNetwork):
        x = network.code.spikes(x.unsqueeze(0), address, network.time_steps).squeeze(1)
    loss = _of_scores(module, received, network, aim, (x, y), held)
    if comparison is None:
        return loss
    modules, term = comparison
    with torch.no_grad():
        for frozen in modules:
            frozen(x)
    z, *others = (torch.stack(own.last_inputs).mean(0)[None] for own in (module, *modules))
    return loss + term(z, others, torch.ones(1, len(y), dtype=torch.bool)).sum()


def _of_scores(
    module: nn.Module,
    received: Received,
    network: SizedNetwork,
    aim: Loss | None,
    samples: tuple[Tensor, Tensor],
    held: Tensor,
) -> Tensor:
    """As the loss takes them, of samples as they enter the network."""
    x, y = samples
    if isinstance(aim, SpikeCountMSE) and isinstance(network, SpikingNetwork):
        loss = snntorch.functional.mse_count_loss(
            correct_rate=aim.correct_rate, incorrect_rate=aim.incorrect_rate
        )
        value: Tensor = loss(module(x), y)
        return value

    def scores(own: nn.Module) -> Tensor:
        out: Tensor = own(x)
        return out if isinstance(network, ConventionalNetwork) else out.sum(0)

    z = scores(module)
    own = _cross_entropy(z, y, aim or CrossEntropy(), held)
    if not isinstance(aim, VacantClasses):
        return own
    with torch.no_grad():
        before = scores(received)
    return own + _penalty(z, before, y, aim, held)


def _penalty(z: Tensor, received: Tensor, y: Tensor, aim: VacantClasses, held: Tensor) -> Tensor:
    """FedVLS's two terms, class by class, as long as nothing is infinite."""
    classes, p = len(held), held / held.sum()
    suppressed = torch.zeros(())
    for c in range(classes):
        if p[c]:
            s = z[:, c] - math.log(p[c]) + math.log(1 / classes)
            s = torch.where(y == c, torch.zeros_like(s), s)
            suppressed = suppressed + p[c] * (s.exp().sum().log() - math.log(len(y)))
    vacant = [c for c in range(classes) if not held[c]]
    distilled = nn.functional.kl_div(
        z[:, vacant].log_softmax(1), received[:, vacant].softmax(1), reduction="batchmean"
    )
    return aim.suppression * suppressed + aim.distillation * distilled


def _cross_entropy(z: Tensor, y: Tensor, aim: Loss, held: Tensor) -> Tensor:
    """Of scores z [sample, class], as a loss takes them where so many samples of each class are `held`."""
    for c, n in enumerate(held.tolist()):
        own = z[:, c]
        if isinstance(aim, VacantClasses):
            own = own + math.log(max(n / float(held.sum()), 1e-9))
        elif isinstance(aim, CalibratedCrossEntropy) and aim.by == "prior":
            own = own + aim.tau * math.log(max(n / float(held.sum()), 1e-9))
        elif isinstance(aim, CalibratedCrossEntropy):
            own = own - (aim.tau * n**-0.25 if n else 1e4)
        elif isinstance(aim, RestrictedCrossEntropy):
            own = own if n else aim.alpha * own
        elif type(aim) is not CrossEntropy:
            raise TypeError(f"the plain loop has no {aim}")
        z = torch.cat([z[:, :c], own[:, None], z[:, c + 1 :]], dim=1)
    return nn.functional.cross_entropy(z, y)
