"""What a run says of itself: the one schema of all that is written to a run directory and read from it.

    rounds.jsonl                a `RoundRecord` a line
    summary.json                of a run: `RunSummary`; of an experiment: `ExperimentSummary`
    environment.json            `Environment`
    agenda.json                 of an experiment: `Agenda`
    checkpoint/*/manifest.json  `Manifest`

Whoever changes a field here raises `VERSION`; other versions are refused, not converted. Nothing here needs
torch. JSON has no name for nan and infinity: where one may come up, a field can be None.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from fedspike.data.partition.likeness import AccuracyOf
from fedspike.energy.account import Account, RoundCounts
from fedspike.energy.counts import ENCODER
from fedspike.energy.description import Count, Fraction, NotNegative, Size
from fedspike.energy.pairing import EnergyComparison
from fedspike.federation.clocks.clock import Spent

VERSION: Literal[7] = 7
Schema = Literal[7]
# Of a file in a run's folder, or in a folder there: a name must not be able to leave it.
FileName = Annotated[
    str, Meta(pattern=r"^([A-Za-z0-9_-]+/)?[^/\\\x00.][^/\\\x00]*\Z", max_length=300)
]


class Record(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A JSON object with exactly these fields."""


class Rejected(Record, frozen=True, kw_only=True):
    """A reply that the guard refused, and why."""

    sender: int
    reason: str
    detail: str


class NodeRound(Record, frozen=True, kw_only=True):
    """What a node of a real fleet did in a round that it was asked in, or the error that came instead.

    One without clients was asked nothing: it is refused, or asks at the door in vain, and the error says why.
    """

    node: str
    clients: list[Count]
    downlink_bytes: Count
    uplink_bytes: Count = 0
    seconds: dict[str, NotNegative] = {}
    joules: dict[str, float] = {}
    error: str | None = None


class RoundRecord(RoundCounts, frozen=True, kw_only=True):
    """One round. All but `seconds` and what `nodes` measured is a function of configuration and data.

    `training_loss` is None if it was not finite. `spikes`, `operations` and, by layer, `firing_rates` are of
    all clients that took part together. `at_work` are the clients that the round did not wait for, and
    `staleness` says how many rounds ago an accepted client received its model, where not in this round.
    `sizes` has the accuracy of what the clients of each size but the whole network's hold. Where there is
    simulated time, the round took `duration_s`, and `spent` has the seconds of each client that answered.
    Where there is no server, `consensus_distance` says how far the clients' models are from their mean.
    """

    round: Size
    training_loss: float | None
    clients: list[Count]
    samples: Count
    spikes: dict[str, Count]
    operations: dict[str, Count]
    firing_rates: dict[str, Fraction]
    seconds: dict[str, NotNegative]
    rejected: list[Rejected]
    missing: list[Count]
    at_work: list[Count]
    staleness: dict[Count, Size]
    skipped: bool
    nodes: list[NodeRound]
    sizes: dict[str, Fraction] = msgspec.field(default_factory=dict)
    spent: dict[Count, Spent] = msgspec.field(default_factory=dict)
    duration_s: NotNegative | None = None
    consensus_distance: NotNegative | None = None


class HiddenWeights(Record, frozen=True, kw_only=True):
    """The first layer's weights, one image per neuron, in 8-bit integers times a scale."""

    shape: Annotated[list[Size], Meta(min_length=2)]
    scale: Annotated[float, Meta(gt=0, lt=1e30)]
    int8_base64: bytes


class Raster(Record, frozen=True, kw_only=True):
    """The spikes of one image under a run's code, a bit for each time step and each pixel in turn."""

    shape: tuple[Size, Size]
    time_steps: Size
    image_base64: bytes
    spikes_base64: bytes


class Predictions(Record, frozen=True, kw_only=True):
    """The label of each test sample and what the final model said: whole numbers, the low byte first."""

    bytes_each: Literal[1, 2, 4]
    labels_base64: bytes
    predicted_base64: bytes


class RateLimit(Record, frozen=True, kw_only=True):
    """The firing rate below, or above, which a layer is dead or saturated, and the usual fix."""

    rate: Fraction
    usual_fix: str


class Interval(Record, frozen=True, kw_only=True):
    """A mean over windows, with the ends of its 95 % interval if there were enough windows."""

    mean: float
    low: float | None
    high: float | None

    def __post_init__(self) -> None:
        low, high = (self.mean if end is None else end for end in (self.low, self.high))
        if not -1e30 <= low <= self.mean <= high <= 1e30:
            raise ValueError("an interval whose mean is not between its ends")


class Measured(Record, frozen=True, kw_only=True, omit_defaults=True):
    """What a sensor of the simulating host read, or why it read nothing."""

    sensor: str
    unavailable: str | None = None
    domain: str = ""
    joules: float | None = None
    joules_per_round: Interval | None = None
    above_idle_joules_per_round: Interval | None = None
    idle_watts: float | None = None
    seconds: float | None = None
    rounds: Count | None = None
    windows: Count | None = None
    note: str = ""


class Node(Record, frozen=True, kw_only=True):
    """A device of a real fleet, or a machine that hosts many clients, over all rounds."""

    node: str
    clients: list[Count]
    rounds: Count
    failed: Count
    samples: Count
    operations: dict[str, Count]
    uplink_bytes: Count
    downlink_bytes: Count
    training_seconds: float | None
    joules: dict[str, float]


class Disturbed(Record, frozen=True, kw_only=True):
    """The accuracy on test samples in noise or blur of this standard deviation."""

    kind: Literal["noise", "blur"]
    amount: Annotated[float, Meta(gt=0, le=100)]
    accuracy: Fraction


class Fingerprint(Record, frozen=True, kw_only=True):
    """The length and the hash of a file."""

    bytes: Count
    sha256: str


class RunSummary(Account, frozen=True, kw_only=True):
    """One finished training: its description, its account (both in energy/), and what became of it.

    What is `LARGE` is in a run's own summary alone, not in its experiment's. All its accuracies are
    `accuracy_of` these models, on these test samples. `files` are the
    others in the run's folder, by their names, and `seal` is the own summary's (records/seal.py).
    """

    schema: Schema = VERSION
    layers: list[Count]
    parameters: Count
    rounds: Size
    accuracy: Annotated[list[Fraction], Meta(min_length=1)]
    final_accuracy: Fraction
    final_accuracy_mean_last_10: Fraction
    disturbed: list[Disturbed]
    training_loss: list[float | None]
    samples_per_round: Count | NotNegative  # a whole number where all rounds are alike
    operations: dict[str, Count]
    forward_operations_per_sample: NotNegative
    spikes_per_sample: dict[str, NotNegative]
    study_energy_mj_per_round: NotNegative
    firing_rates: dict[str, list[Fraction | None]]
    ill_layers: dict[str, dict[str, Count]]
    rate_limits: dict[str, RateLimit]
    rejected: dict[str, Count]
    missing: Count
    skipped_rounds: Count
    uplink_bytes_per_round: Count | NotNegative
    downlink_bytes_per_round: Count | NotNegative
    seconds: NotNegative
    round_seconds: dict[str, NotNegative]
    nodes: list[Node]
    measured: list[Measured] | None
    model_sha256: str
    weights: dict[str, NotNegative | None]
    hidden_weights: HiddenWeights | None
    raster: Raster | None
    predictions: Predictions | None
    files: dict[FileName, Fingerprint]
    sizes: dict[str, list[Fraction]] = msgspec.field(default_factory=dict)
    accuracy_of: AccuracyOf = "global model"
    simulated_s: NotNegative | None = None
    training_bytes: dict[str, Count] = msgspec.field(default_factory=dict)
    seal: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        counted = (self.forward_operations_per_sample, self.study_energy_mj_per_round)
        if self.time_steps is None and min(counted) <= 0:
            raise ValueError("a conventional network without operations or energy")
        lengths = {
            len(self.accuracy),
            len(self.training_loss),
            *map(len, self.firing_rates.values()),
            *map(len, self.sizes.values()),
        }
        if lengths != {self.rounds}:
            raise ValueError(f"numbers of {max(lengths - {self.rounds})} of {self.rounds} rounds")
        if self.accuracy[-1] != self.final_accuracy:
            raise ValueError("a final accuracy that is not the last round's")
        named = {*self.firing_rates, *self.ill_layers, *self.spikes_per_sample}
        named |= {*self.activity.events_in, *self.tested.events_in}
        named |= {layer for own in self.bill_by.layer.values() for layer in own if layer != ENCODER}
        if unknown := named - self.network_operations.layers.keys():
            raise ValueError(f"a layer {min(unknown)} that the network does not have")


LARGE = ("hidden_weights", "raster", "predictions")
"""The fields of a run's summary that its experiment's summary leaves out."""


class Dataset(Record, frozen=True, kw_only=True):
    """The data set that an experiment used."""

    name: str
    source: str
    sha256: dict[str, str]
    train_samples: Count
    test_samples: Count
    class_names: list[str] = []  # in the order of their numbers; none where classes are numbers


class Environment(Record, frozen=True, kw_only=True):
    """What a result may depend on besides its configuration: versions and hardware, never names."""

    python: str
    fedspike: str
    torch: str
    numpy: str
    engine: str
    git_commit: str | None
    platform: str
    cpu: str
    cores: int | None
    threads: int


class PlannedRun(Record, frozen=True, kw_only=True):
    """A run that is to be done; those that differ in the seed alone have the same `variant`, a hash.

    `network` is its kind; empty where an older fedspike did not say it.
    """

    rounds: Size
    variant: str
    network: str = ""


class Agenda(Record, frozen=True, kw_only=True):
    """What an experiment is going to do, all its runs in turn; it is stored before the first one begins."""

    schema: Schema = VERSION
    name: str
    command: str
    runs: dict[str, PlannedRun]


class ExperimentSummary(Record, frozen=True, kw_only=True):
    """All finished runs of one command, and which of their networks needs less energy.

    `missing` names the runs of the command that are not finished. A single run that is read as an experiment
    has no command, no environment and no data set of its own.
    """

    schema: Schema = VERSION
    name: str
    command: str
    created: str
    environment: Environment | None
    dataset: Dataset | None
    runs: Annotated[tuple[RunSummary, ...], Meta(min_length=1)]
    comparisons: list[EnergyComparison]
    missing: tuple[str, ...] = ()
    seal: str = ""

    def __post_init__(self) -> None:
        runs = {run.name: run for run in self.runs}
        for one in self.comparisons:
            both = [runs.get(name) for pair in one.runs for name in pair]
            for verdict in (*one.verdicts, *one.verdicts_skip_zeros):
                bills = [
                    run and run.bill.get(verdict.profile, {}).get(verdict.level) for run in both
                ]
                if verdict.ratio is not None and not all(b and b.is_comparable for b in bills):
                    raise ValueError(f"a verdict on {one.setting} without the bills that it is of")


class Manifest(Record, frozen=True, kw_only=True):
    """What a checkpoint consists of. `about` is what must not change before the run goes on.

    `memories` is of what clients remember: all bytes, and the exclusive or of the hashes of all records.
    """

    schema: Schema = VERSION
    round: Size
    about: dict[str, str]
    state: Fingerprint
    rounds: Fingerprint
    memories: Fingerprint | None = None
    seal: str = ""
