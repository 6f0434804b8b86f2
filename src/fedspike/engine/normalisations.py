"""Batch normalisation through time as the compiled pass takes it."""

from dataclasses import dataclass, field
from typing import Any, cast

import torch

from fedspike.engine import compiled
from fedspike.engine.packed import array
from fedspike.layers.shapes import BatchNorm
from fedspike.networks import Batch, Parameters, SizedNetwork, SpikingNetwork
from fedspike.parts.normalisations import BNTT, STATISTICS, Unnormalised


def has(network: SpikingNetwork) -> bool:
    """Whether the compiled pass has its normalisation, or it has none."""
    return type(network.snn.normalisation) in (BNTT, Unnormalised)


def there_are(network: SizedNetwork) -> bool:
    """Whether any of its layers is one."""
    return any(isinstance(layer, BatchNorm) for layer in network.described.values())


@dataclass(frozen=True)
class OwnNorms:
    """Of each normalised layer what the kernels take, gradients of gammas, and the statistics used."""

    taken: dict[str, Any] = field(default_factory=dict)
    gradients: Parameters = field(default_factory=dict)
    used: Parameters = field(default_factory=dict)
    running: Parameters = field(default_factory=dict)
    momentum: float = 0.0

    @classmethod
    def of(
        cls, network: SizedNetwork, parameters: Parameters, batch: Batch, *, training: bool
    ) -> "OwnNorms":
        """Those among the parameters. In `training` a minibatch is normalised by itself; see BNTT."""
        if not there_are(network):
            return cls()
        names = network.statistics()
        bntt = cast(BNTT, cast(SpikingNetwork, network).snn.normalisation)
        running = {name: parameters[name] for name in names if name in parameters}
        samples = batch.present.sum(1)
        by_batch = samples > 1 if running else samples > 0
        if running and not training:
            by_batch = torch.zeros_like(by_batch)
        own = cls(running=running, momentum=bntt.momentum)
        for layer in dict.fromkeys(name.rpartition(".")[0] for name in names):
            gamma = parameters[f"{layer}.gamma"]
            for name in STATISTICS:
                kept = running.get(f"{layer}.{name}")
                own.used[f"{layer}.{name}"] = (
                    torch.zeros_like(gamma) if kept is None else kept.clone()
                )
            own.gradients[f"{layer}.gamma"] = torch.empty(gamma.shape)
            own.taken[layer] = compiled.Normalisation(
                array(gamma),
                *(own.used[f"{layer}.{name}"].numpy() for name in STATISTICS),
                by_batch.numpy(),
                bntt.epsilon,
                own.gradients[f"{layer}.gamma"].numpy(),
            )
        return own

    def after(self) -> Parameters:
        """The running statistics after the pass."""
        return {
            n: torch.lerp(kept, self.used[n], self.momentum) for n, kept in self.running.items()
        }
