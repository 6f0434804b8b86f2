"""The bill: counts x prices, modelled energy in millijoule.

Each level (`energy/levels.py`) adds something to the one before:

    study           multiply-accumulates and accumulates of the forward pass, the founding study's rule
    compute         all arithmetic of encoding, forward pass and neurons
    memory          their reads and writes
    training        backward passes, optimiser, the server's aggregation
    communication   the bytes that devices send and receive
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Literal

from msgspec import Meta, Struct
from msgspec.structs import asdict

from fedspike.energy.counts import BYTES, BYTES_PER_WORD, MEMORY, Counts, entries
from fedspike.energy.levels import HIGHEST_OF_ALL_IN, HIGHEST_WITHOUT_RADIO, Level, includes
from fedspike.energy.profiles import NOTHING, SYNAPTIC, Profile, Radio, Range, shipped
from fedspike.errors import InputError
from fedspike.layers.operations import INFERENCE, NetworkOperations

PICOJOULES_IN_A_MILLIJOULE = 10**9
UNCOUNTED = "{} (not counted)"
NOT_COUNTED = UNCOUNTED.format("training.memory")
OF_TRAINING = ("surrogate", "optimiser")  # parts that do nothing in an inference
WORK = {"forward.mac", "forward.ac"}
Millijoule = Annotated[float, Meta(ge=0, le=1e30)]


@dataclass(frozen=True)
class Footprint:
    """The sizes of a network's memories in bytes; which of them an operation reads or writes."""

    parameters: int
    potentials: int
    activations: int

    def accessed_by(self, operation: str) -> int:
        """The size of the memory that an operation such as `read_weight` goes to."""
        if operation in ("read_weight", "read_bias"):
            return self.parameters
        return self.potentials if operation.endswith("potential") else self.activations


def footprint(network: NetworkOperations) -> Footprint:
    """One memory for all weights and biases, one for all potentials, one for all inputs and outputs.

    A 32-bit word for each; a conventional network has no potentials, some neurons have two. The mean and
    variance of a normalisation are in the scale and shift that a test uses, two words for each group.
    """
    entered = [network.layers[name] for name in network.entered]
    values = entered[0].inputs + sum(layer.outputs for layer in entered)
    return Footprint(
        parameters=BYTES_PER_WORD * sum(layer.stores for layer in network.layers.values()),
        potentials=BYTES_PER_WORD * sum(layer.keeps for layer in network.layers.values()),
        activations=BYTES_PER_WORD * values,
    )


class Energy(Struct, frozen=True, kw_only=True):
    """Modelled energy; low and high are what the prices leave open."""

    low_mj: Millijoule
    nominal_mj: Millijoule
    high_mj: Millijoule

    def __add__(self, other: "Energy") -> "Energy":
        return Energy(
            low_mj=self.low_mj + other.low_mj,
            nominal_mj=self.nominal_mj + other.nominal_mj,
            high_mj=self.high_mj + other.high_mj,
        )


class Bill(Energy, frozen=True, kw_only=True, omit_defaults=True):
    """Modelled energy and its parts. A key of `terms`, `not_priced` and `included` is `phase.operation`.

    `not_priced` was done but has no price, or nobody has counted it, so the energy is short of it; `included`
    was done and is inside the price of another operation.
    """

    not_priced: list[str]
    included: list[str] = []
    terms: dict[str, Energy] = {}

    @property
    def energy(self) -> Energy:
        """The energy alone."""
        return Energy(low_mj=self.low_mj, nominal_mj=self.nominal_mj, high_mj=self.high_mj)

    @property
    def is_comparable(self) -> bool:
        """Whether every synaptic operation that was done has a price; if not, the energy says nothing."""
        return WORK.isdisjoint(self.not_priced)


Bills = Mapping[str, Mapping[str, Bill]]
"""profile -> name of the level (`levels.key`) -> bill."""


@dataclass(frozen=True)
class Cost:
    """The exact energy of each term, and the terms without one, as in a `Bill`."""

    terms: dict[str, Range]
    not_priced: list[str]
    included: list[str]

    def energy(self, rounds: int = 1) -> Energy:
        """The energy of all terms, the mean of so many rounds."""
        return _millijoule(sum(self.terms.values(), NOTHING), rounds)


def bill(
    counts: Counts,
    profile: Profile,
    level: Level,
    *,
    footprint: Footprint | None = None,
    radio: Radio | None = None,
    rounds: int = 1,
    not_counted: Sequence[str] = (),
) -> Bill:
    """What `counts` cost at the prices of `profile`, up to and with `level`; the mean of so many `rounds`.

    Memory has a price where `footprint` says how large it is, a byte where `radio` says how it is sent.
    Counts of a phase or a layer alone give the bill of that phase or layer. What is `not_counted` of a
    network has no price either, from the level on at which it would be paid for.

    Raises InputError if `profile` is all-in and `level` adds to it what is in its prices already.

    >>> counts = {"forward": {"hidden": {"mac": 79_400 * 20_000}}}
    >>> bill(counts, shipped()["founding-study"], "study").nominal_mj
    4.9228
    """
    priced = cost(
        *(counts, profile, level), footprint=footprint, radio=radio, not_counted=not_counted
    )
    return Bill(
        **asdict(priced.energy(rounds)),
        not_priced=priced.not_priced,
        included=priced.included,
        terms={term: _millijoule(energy, rounds) for term, energy in priced.terms.items()},
    )


def cost(
    counts: Counts,
    profile: Profile,
    level: Level,
    *,
    footprint: Footprint | None = None,
    radio: Radio | None = None,
    not_counted: Sequence[str] = (),
) -> Cost:
    """The exact cost of all rounds, of which `bill` is the rounded mean; raises as `bill` does."""
    _refuse_to_pay_twice(profile, level)
    terms: dict[str, Range] = {}
    unpriced: dict[str, None] = {}
    included: dict[str, None] = {}
    for phase, _, operation, number in entries(counts):
        added_at = level_of(phase, operation)
        if number == 0 or not includes(level, added_at):
            continue
        term = f"{phase}.{operation}"
        price = price_of(profile, phase, operation, footprint, radio)
        if price == "included":
            included[term] = None
        elif price is None:
            unpriced[term] = None
        else:
            terms[term] = terms.get(term, NOTHING) + price * number
        if added_at == "training":
            unpriced[NOT_COUNTED] = None
    for part in not_counted:
        if includes(level, "training" if part in OF_TRAINING else "compute"):
            unpriced[UNCOUNTED.format(part)] = None
    return Cost(terms, not_priced=list(unpriced), included=list(included))


def highest_level(profile: Profile, at_most: Level = HIGHEST_WITHOUT_RADIO) -> Level:
    """The highest level that a profile allows; without `at_most`, the highest that needs no radio."""
    if profile.scope == "all-in" and includes(at_most, HIGHEST_OF_ALL_IN):
        return HIGHEST_OF_ALL_IN
    return at_most


def price_of(
    profile: Profile,
    phase: str,
    operation: str,
    footprint: Footprint | None = None,
    radio: Radio | None = None,
) -> Range | Literal["included"] | None:
    """What one operation costs, in pJ; "included" inside another price, or None: it has no price."""
    if operation in BYTES:
        if radio is None:
            return None
        bit = radio.uplink_bit if operation == "uplink_bytes" else radio.downlink_bit
        return bit.pj * 8
    price = profile.price.get(f"{phase}.{operation}") or profile.price.get(operation)
    if price is not None:
        return price.pj
    if {f"{phase}.{operation}", operation} & profile.included:
        return "included"
    # The price of a synaptic operation has its neuron in it, but not an encoder outside the chip.
    if profile.scope == "all-in" and phase in ("forward", "neuron") and operation not in SYNAPTIC:
        return "included"
    if operation in MEMORY and footprint is not None:
        return profile.word_pj(footprint.accessed_by(operation))
    return None


def level_of(phase: str, operation: str) -> Level:
    """The first level at which an operation is paid for."""
    if phase == "exchange":
        return "communication"
    if phase not in INFERENCE:
        return "training"
    if operation in MEMORY:
        return "memory"
    return "study" if phase == "forward" and operation in SYNAPTIC else "compute"


def prices_pj(profile: str) -> dict[str, float]:
    """The prices of a shipped profile: operation -> picojoule."""
    return {key: float(price.pj.nominal) for key, price in shipped()[profile].price.items()}


def study_energy_mj(operations: Mapping[str, int]) -> float:
    """Modelled energy of the counted operations under the founding study's rule.

    The study's round of the ANN, 10 clients x 2,000 samples x 79,400 multiply-accumulates at 3.1 pJ:

    >>> study_energy_mj({"mac": 79_400 * 20_000, "ac": 0})
    4.9228
    """
    counts = {"forward": {"all layers": dict(operations)}}
    return bill(counts, shipped()["founding-study"], "study").nominal_mj


def _millijoule(energy: Range, rounds: int) -> Energy:
    """From exact picojoule of all rounds to the nearest float of one."""
    one = energy * Fraction(1, PICOJOULES_IN_A_MILLIJOULE * rounds)
    return Energy(low_mj=float(one.low), nominal_mj=float(one.nominal), high_mj=float(one.high))


def _refuse_to_pay_twice(profile: Profile, level: Level) -> None:
    if not includes(highest_level(profile, level), level):
        raise InputError(
            f"level {level} under the profile {profile.name}",
            expected="study or compute: in an all-in profile a synaptic operation's price includes the rest",
            fix=f'choose one of these levels, or a profile whose scope is "per-term" for {level}',
        )
