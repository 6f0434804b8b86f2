"""What a run had reached and spent after each of its rounds, from their records."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from fedspike.energy.account import Work, works
from fedspike.energy.bill import highest_level
from fedspike.energy.levels import HIGHEST_WITHOUT_RADIO
from fedspike.energy.profiles import Profile
from fedspike.energy.spending import spent_mj
from fedspike.layers.operations import NetworkOperations
from fedspike.records.schema import RoundRecord


@dataclass(frozen=True)
class Course:
    """After each round: the accuracy, the bytes of all devices both ways, their work, the simulated seconds.

    There is no work while nobody has trained, and there are no seconds without a clock.
    """

    accuracy: list[float]
    sent_bytes: list[int]
    works: list[Work | None]
    seconds: list[float] | None

    def joules(self, rounds: Sequence[int], profile: Profile) -> list[float] | None:
        """Modelled, with memory and training, of all devices, without the radio, after each of these rounds.

        None where a price is missing, or where the prices are all-in and so have no such parts.
        """
        if highest_level(profile) != HIGHEST_WITHOUT_RADIO:
            return None
        spent = spent_mj([self.works[n - 1] for n in rounds], profile, HIGHEST_WITHOUT_RADIO)
        return None if spent is None else [millijoule / 1000 for millijoule in spent]


def course(network: NetworkOperations, rounds: Sequence[RoundRecord]) -> Course:
    """The course of a run of this network."""
    durations = [round.duration_s for round in rounds if round.duration_s is not None]
    return Course(
        [round.accuracy for round in rounds],
        [*accumulate(round.uplink_bytes + round.downlink_bytes for round in rounds)],
        [*works(network, rounds)],
        [*accumulate(durations)] if len(durations) == len(rounds) else None,
    )
