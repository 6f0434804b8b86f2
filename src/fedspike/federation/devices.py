"""Who the clients are and who takes part in a round, with which of its samples."""

from dataclasses import dataclass

import numpy as np

from fedspike.errors import InputError
from fedspike.randomness import stream


@dataclass(frozen=True)
class Fleet:
    """The clients of an experiment.

    `shards[k]` are the positions of client k's samples in the training set. Each round
    `clients_per_round` of the clients take part (all, if None), each with `samples_per_round` of its samples
    (all that it has, if None or if it has fewer).

    Each of those drops out with the probability `dropout`, anew in every round: it receives nothing, trains
    nothing and sends nothing. If less than the share `quorum` of those asked is accepted, or nobody, the
    server skips the round and keeps its model.
    """

    shards: tuple[np.ndarray, ...]
    clients_per_round: int | None = None
    samples_per_round: int | None = None
    dropout: float = 0.0
    quorum: float = 0.0

    def __post_init__(self) -> None:
        if not self.shards:
            raise InputError("a fleet without clients", expected="one at least", fix="add a client")
        for client, shard in enumerate(self.shards):
            if len(shard) == 0:
                raise InputError(
                    f"client {client} holds no samples",
                    expected="at least one sample on every client",
                    fix="use fewer clients or a less skewed partition",
                )
        if not 1 <= self.cohort_size <= len(self.shards):
            raise InputError(
                f"clients_per_round = {self.clients_per_round}",
                expected=f"a number from 1 to the number of clients, {len(self.shards)}",
                fix="leave it out to let every client take part in every round",
            )
        if self.samples_per_round is not None and self.samples_per_round < 1:
            raise InputError(
                f"samples_per_round = {self.samples_per_round}",
                expected="a whole number >= 1",
                fix="leave it out to train on all samples of a client",
            )
        if not 0 <= self.dropout < 1:
            raise InputError(
                f"dropout = {self.dropout}",
                expected="a probability, at least 0 and below 1",
                fix="leave it out to let every client answer",
            )
        if not 0 <= self.quorum <= 1:
            raise InputError(
                f"quorum = {self.quorum}",
                expected="the share of a round's clients that must be accepted, from 0 to 1",
                fix="set quorum = 0.5, or leave it out to go on with whoever answers",
            )

    @property
    def cohort_size(self) -> int:
        """Clients that take part in a round."""
        return len(self.shards) if self.clients_per_round is None else self.clients_per_round

    def samples(self, client: int) -> int:
        """Samples that the client trains on in one epoch of a round."""
        held = len(self.shards[client])
        return held if self.samples_per_round is None else min(held, self.samples_per_round)

    def cohort(self, seed: int, round: int) -> list[int]:
        """The clients of a round, drawn uniformly without replacement; most samples first, then by number."""
        clients = np.arange(len(self.shards))
        if self.cohort_size < len(clients):
            clients = stream(seed, "cohort", round).choice(clients, self.cohort_size, replace=False)
        return sorted(clients.tolist(), key=lambda client: (-self.samples(client), client))

    def present(self, seed: int, round: int) -> list[int]:
        """The cohort without those who drop out, in the same order."""
        cohort = self.cohort(seed, round)
        return [client for client in cohort if not self.drops_out(seed, round, client)]

    def drops_out(self, seed: int, round: int, client: int) -> bool:
        """Whether a client of the round's cohort drops out; it depends on nobody else."""
        if not self.dropout:
            return False
        return bool(stream(seed, "dropout", round, client).random() < self.dropout)

    def shown(self, seed: int, round: int, client: int, epochs: int) -> np.ndarray:
        """The samples the client sees in a round, in order: a fresh draw, shuffled anew every epoch."""
        generator = stream(seed, "samples", round, client)
        drawn = generator.permutation(self.shards[client])[: self.samples(client)]
        later = [generator.permutation(drawn) for _ in range(epochs - 1)]
        return np.concatenate([drawn, *later])
