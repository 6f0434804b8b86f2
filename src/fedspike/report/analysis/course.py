"""What a run had reached and spent after each of its rounds, from their records."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from fedspike.energy.account import Work, Works
from fedspike.energy.bill import highest_level
from fedspike.energy.levels import HIGHEST_WITHOUT_RADIO
from fedspike.energy.profiles import Profile
from fedspike.energy.spending import spent_mj
from fedspike.layers.operations import NetworkOperations
from fedspike.records.schema import RoundRecord


@dataclass(frozen=True)
class Course:
    """After each round: the accuracy, the bytes of all devices both ways, their work, the simulated seconds.

    There is no work while nobody has trained, and there are no seconds without a clock. `trainings` is how
    often a client trained in all rounds.
    """

    accuracy: list[float]
    sent_bytes: list[int]
    works: Sequence[Work | None]
    seconds: list[float] | None
    trainings: int

    def joules(self, rounds: Sequence[int], profile: Profile) -> list[float] | None:
        """Modelled, with memory and training, of all devices, without the radio, after each of these rounds.

        None where a price is missing, or where the prices are all-in and so have no such parts.
        """
        if highest_level(profile) != HIGHEST_WITHOUT_RADIO:
            return None
        spent = spent_mj([self.works[n - 1] for n in rounds], profile, HIGHEST_WITHOUT_RADIO)
        return None if spent is None else [millijoule / 1000 for millijoule in spent]


def course(network: NetworkOperations, rounds: Sequence[RoundRecord]) -> Course:
    """The course of a run of this network; its records are gone through once."""
    accuracy, sent_bytes, durations = list[float](), list[int](), list[float]()
    works, trainings = Works(network, rounds), 0
    for round in rounds:
        works.add(round)
        accuracy.append(round.accuracy)
        sent_bytes.append(round.uplink_bytes + round.downlink_bytes)
        durations += [] if round.duration_s is None else [round.duration_s]
        trainings += len(round.activity)
    seconds = [*accumulate(durations)] if len(durations) == len(accuracy) else None
    return Course(accuracy, [*accumulate(sent_bytes)], works, seconds, trainings)
