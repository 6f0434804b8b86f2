"""What the clients of a cohort did, from the counts of their forward passes."""

from jaxtyping import Int64
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from fedspike.layers.activity import Activity
from fedspike.networks import Forward

Counts = dict[tuple[str, str], Int64[Tensor, " _client"]]
"""(field of `Activity`, layer) -> what every client did of it; what leaves the last layer is of no layer."""


def counted(forward: Forward) -> Counts:
    """All counts of a forward pass."""
    return {
        **{("events_in", layer): count for layer, count in forward.events_in.items()},
        **{("synapses_met", layer): count for layer, count in forward.synapses_met.items()},
        ("events_out", ""): forward.events_out,
    }


def in_all(counts: Counts, clients: int) -> Counts:
    """Of counts of so many clients in one minibatch after the other."""
    return {place: count.view(-1, clients).sum(0) for place, count in counts.items()}


def activities(samples: list[int], steps: list[int], by_batch: list[Counts]) -> list[Activity]:
    """What each client did; `done` has the counts of each pass, of the clients that took part in it."""
    totals = {
        place: pad_sequence([passed[place] for passed in by_batch]).sum(1).tolist()
        for place in by_batch[0]
    }

    def by_layer(field: str, client: int) -> dict[str, int]:
        return {layer: counts[client] for (of, layer), counts in totals.items() if of == field}

    return [
        Activity(
            samples[client],
            steps[client],
            by_layer("events_in", client),
            totals["events_out", ""][client],
            by_layer("synapses_met", client),
        )
        for client in range(len(samples))
    ]
