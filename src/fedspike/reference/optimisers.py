"""A client's optimiser, which is torch's, and what it remembers from round to round."""

import torch
from torch import Tensor, nn

from fedspike.learning import Minibatches
from fedspike.networks import Parameters
from fedspike.parts.optimisers import SGD, Adam

NAMES = {"v": "momentum_buffer"}, {"m": "exp_avg", "v": "exp_avg_sq"}


def optimiser_of(
    module: nn.Module, learner: Minibatches, round: int, kept: Parameters
) -> torch.optim.Optimizer:
    """Of torch, with the learning rate of the round and with what it remembers, if that is kept."""
    settings, weights = learner.optimiser, dict(module.named_parameters())
    rate = settings.learning_rate * settings.schedule.share(round)
    optimiser: torch.optim.Optimizer
    if isinstance(settings, SGD):
        optimiser = torch.optim.SGD(
            weights.values(),
            lr=rate,
            momentum=settings.momentum,
            nesterov=settings.nesterov,
            weight_decay=settings.weight_decay,
        )
    else:
        assert isinstance(settings, Adam)
        optimiser = torch.optim.AdamW(
            weights.values(),
            lr=rate,
            betas=(settings.beta1, settings.beta2),
            eps=settings.epsilon,
            weight_decay=settings.weight_decay,
        )
    if kept:
        for name, weight in weights.items():
            for own, theirs in NAMES[isinstance(settings, Adam)].items():
                optimiser.state[weight][theirs] = kept[f"optimiser.{own}.{name}"].clone()
            optimiser.state[weight]["step"] = kept["optimiser.steps"].clone()
    return optimiser


def kept_after(
    module: nn.Module, optimiser: torch.optim.Optimizer, kept: Parameters, steps: int
) -> Parameters:
    """What it remembers after a round, by the engine's names."""
    weights = dict(module.named_parameters())

    def now(name: str) -> Tensor:
        if name == "optimiser.steps":
            return kept[name] + steps
        _, own, weight = name.split(".", 2)
        theirs = NAMES[isinstance(optimiser, torch.optim.AdamW)][own]
        state: Tensor = optimiser.state[weights[weight]][theirs]
        return state

    return {name: now(name) for name in kept}
