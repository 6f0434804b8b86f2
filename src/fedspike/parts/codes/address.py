"""Where a batch stands in the experiment, which is all that a code needs to know beside its pixels."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Address:
    """Where a batch stands in the experiment: the address of its random spikes.

    `first_samples` says for each client how many samples it was shown before in this round: the k-th
    sample shown to a client gets the same spikes whatever the batch size.
    """

    seed: int
    purpose: str
    round: int
    clients: tuple[int, ...]
    first_samples: tuple[int, ...]
