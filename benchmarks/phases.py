"""Where a round's time goes: the share of each of torch's operators and of our kernels."""

from collections.abc import Callable
from typing import Any

import torch
from rivals import Rival

from fedspike import engine

SHOWN = 10


class Named:
    """The compiled kernels, each of which stands in the profile under its name."""

    def __init__(self, kernels: Any) -> None:
        self.kernels = kernels

    def __getattr__(self, name: str) -> Callable[..., None]:
        def call(*arguments: Any) -> None:
            with torch.profiler.record_function(f"fedspike::{name}"):
                getattr(self.kernels, name)(*arguments)

        return call


def phases(trainer: Rival, number: int) -> dict[str, float]:
    """Shares of the main thread's time in a round, largest first; "other operators" sums up the small ones.

    The profiler itself takes time, most of it outside operators, so this is a separate round that does not
    enter the figures.
    """
    activities = [torch.profiler.ProfilerActivity.CPU]
    outside = torch.profiler.record_function("outside operators")
    kernels = engine.kernels
    engine.kernels = Named(kernels)
    try:
        with torch.profiler.profile(activities=activities) as profile, outside:
            trainer.round(number)
    finally:
        engine.kernels = kernels
    total = sum(event.self_cpu_time_total for event in profile.key_averages())
    shares = {event.key: event.self_cpu_time_total / total for event in profile.key_averages()}
    ranked = sorted(shares.items(), key=lambda item: -item[1])
    rest = sum(share for _, share in ranked[SHOWN:])
    return dict(ranked[:SHOWN]) | {"other operators": rest}
