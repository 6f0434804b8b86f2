"""What a network costs one device: model, operations, latency, energy of a year, battery life; modelled.

    of a round     all that the devices did to train, over how often one of them trained; so for the radio
    of a year      365.25 (inferences a day * an inference + rounds a day * a round) + a year idle
    battery life   battery / (energy of a day + what the battery loses by itself in a day)

The server's mean is nothing that a device pays for. Latency is by operations: arithmetic and 32-bit words,
one after the other.
"""

from collections.abc import Sequence

from msgspec import Struct

from fedspike.energy.account import RoundCounts, Work
from fedspike.energy.bill import PICOJOULES_IN_A_MILLIJOULE, highest_level
from fedspike.energy.counts import ARITHMETIC, BYTES_PER_WORD, MEMORY, Counts, entries
from fedspike.energy.duties import Duty, Given
from fedspike.energy.levels import HIGHEST_OF_INFERENCE, HIGHEST_WITHOUT_RADIO
from fedspike.energy.profiles import Profile, Radio
from fedspike.energy.units import DAYS_A_YEAR, SECONDS_A_DAY
from fedspike.errors import InputError

JOULES_A_WATT_HOUR = 3600
# Of what is said of a device.
BASE_UNITS = {
    "model_bytes": "bytes",
    "operations": "",
    "words": "",
    "latency_s": "s",
    "inference_j": "J",
    "round_j": "J",
    "radio_j": "J",
    "year_j": "J",
    "battery_days": "days",
}
NOT_A_DEVICES = ("aggregation", "exchange")  # phases of the server, and of the radio


class OnDevice(Struct, frozen=True, kw_only=True):
    """A network on a device. What cannot be said is None: no price, or no number in the duty.

    Operations, words, seconds and `inference_j` are of one inference; `round_j`, without the radio, and
    `radio_j` of one round of training. `not_priced` is work that is missing in the energy.
    """

    model_bytes: int
    operations: float
    words: float
    latency_s: float | None
    inference_j: float | None
    round_j: float | None
    radio_j: float
    year_j: float | None
    battery_days: float | None
    not_priced: list[str]


def on_device(
    whole: Work,
    trainings: int,
    profile: Profile,
    radio: Radio,
    duty: Duty,
    *,
    skip_zeros: bool = False,
) -> OnDevice:
    """What a run's work says of one device, which trained `trainings` times in it, at nominal prices.

    A profile that does not price training (`scope = "all-in"`) says nothing of a round. Raises InputError
    where no model was tested.
    """
    tested, samples = whole.evaluation(skip_zeros=skip_zeros), whole.tested.activity.samples
    if not samples:
        raise InputError(
            "rounds in which no sample was tested",
            expected="an inference, at least",
            fix="give the experiment a test set",
        )
    level = highest_level(profile, HIGHEST_OF_INFERENCE)
    inference = whole.tested.bill(tested, profile, level)
    inference_j = inference.nominal_mj / 1000 / samples if inference.is_comparable else None
    not_priced = inference.not_priced
    round_j = None
    if highest_level(profile) == HIGHEST_WITHOUT_RADIO:
        counts = whole.training(skip_zeros=skip_zeros)
        own = {phase: of for phase, of in counts.items() if phase not in NOT_A_DEVICES}
        training = whole.trained.bill(own, profile, HIGHEST_WITHOUT_RADIO)
        round_j = training.nominal_mj / 1000 / trainings if training.is_comparable else None
        not_priced = list(dict.fromkeys(not_priced + training.not_priced))
    radio_j = _sent_pj(whole, radio) / PICOJOULES_IN_A_MILLIJOULE / 1000 / trainings
    operations, words = (_how_many(tested, of) / samples for of in (ARITHMETIC, MEMORY))
    speed = duty.operations_per_second
    day_j = _of_a_day(duty, inference_j, None if round_j is None else round_j + radio_j)
    return OnDevice(
        model_bytes=BYTES_PER_WORD * whole.trained.network.parameters,
        operations=operations,
        words=words,
        latency_s=None if speed is None else (operations + words) / speed.value,
        inference_j=inference_j,
        round_j=round_j,
        radio_j=radio_j,
        year_j=None if day_j is None else DAYS_A_YEAR * day_j,
        battery_days=None if day_j is None else _life(duty, day_j),
        not_priced=not_priced,
    )


def trainings(rounds: Sequence[RoundCounts]) -> int:
    """How often a device trained in these rounds."""
    return sum(len(round.activity) for round in rounds)


def _sent_pj(whole: Work, radio: Radio) -> float:
    """What all devices pay for their bytes."""
    sent = ((whole.uplink_bytes, radio.uplink_bit), (whole.downlink_bytes, radio.downlink_bit))
    return float(sum(8 * number * bit.pj.nominal for number, bit in sent))


def _how_many(counts: Counts, operations: tuple[str, ...]) -> int:
    return sum(number for _, _, operation, number in entries(counts) if operation in operations)


def _of_a_day(duty: Duty, inference_j: float | None, round_j: float | None) -> float | None:
    """The joule of a day; None where something that is done has no price."""
    total = _value(duty.idle_mw) / 1000 * SECONDS_A_DAY
    for often, joule in ((duty.inferences_per_day, inference_j), (duty.rounds_per_day, round_j)):
        if often.value and joule is None:
            return None
        total += often.value * (joule or 0.0)
    return total


def _life(duty: Duty, day_j: float) -> float | None:
    """The days that a battery lasts; it loses the same part of its full energy each year.

    None without a battery, and where nothing draws on it.
    """
    if duty.battery_wh is None:
        return None
    full = duty.battery_wh.value * JOULES_A_WATT_HOUR
    lost = full * _value(duty.self_discharge_percent_per_year) / 100 / DAYS_A_YEAR
    return full / (day_j + lost) if day_j + lost else None


def _value(given: Given | None) -> float:
    return 0.0 if given is None else given.value
