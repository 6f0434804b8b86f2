"""Where a round's time goes: the share of each of torch's operators, our kernels among them."""

import torch
from rivals import Rival

SHOWN = 10


def phases(trainer: Rival, number: int) -> dict[str, float]:
    """Shares of the main thread's time in a round, largest first; "other operators" sums up the small ones.

    The profiler itself takes time, most of it outside operators, so this is a separate round that does not
    enter the figures.
    """
    activities = [torch.profiler.ProfilerActivity.CPU]
    outside = torch.profiler.record_function("outside operators")
    with torch.profiler.profile(activities=activities) as profile, outside:
        trainer.round(number)
    total = sum(event.self_cpu_time_total for event in profile.key_averages())
    shares = {event.key: event.self_cpu_time_total / total for event in profile.key_averages()}
    ranked = sorted(shares.items(), key=lambda item: -item[1])
    rest = sum(share for _, share in ranked[SHOWN:])
    return dict(ranked[:SHOWN]) | {"other operators": rest}
