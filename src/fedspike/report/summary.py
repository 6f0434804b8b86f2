"""Reads what the report is made from: the summary of an experiment, or of a single run.

Only the fields that the report shows are named here; a summary may hold more.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import numpy as np
from jaxtyping import Bool, Float, UInt8
from msgspec import Meta, Struct

from fedspike.errors import InputError

T = TypeVar("T")
SCHEMA = 1
Fraction = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0)]
Size = Annotated[int, Meta(ge=1)]
ClassCounts = Annotated[list[Count], Meta(min_length=1)]
NotNegative = Annotated[float, Meta(ge=0)]
# A name becomes a folder, so it must not be able to leave its parent.
FolderName = Annotated[str, Meta(pattern=r"^[^/\\\x00]*[^/\\\x00.][^/\\\x00]*\Z", max_length=255)]


class Dataset(Struct, frozen=True, kw_only=True):
    """The data set that the experiment used."""

    name: str
    source: str
    sha256: dict[str, str]
    train_samples: Count
    test_samples: Count


class HiddenWeights(Struct, frozen=True, kw_only=True):
    """The first layer's weights, one image per neuron, in 8-bit integers times a scale."""

    shape: Annotated[list[Size], Meta(min_length=2)]
    scale: Annotated[float, Meta(gt=0, lt=1e30)]
    int8_base64: bytes


class Raster(Struct, frozen=True, kw_only=True):
    """The spikes of one image under a run's code, a bit for each time step and each pixel in turn."""

    shape: tuple[Size, Size]
    time_steps: Size
    image_base64: bytes
    spikes_base64: bytes


class RateLimit(Struct, frozen=True, kw_only=True):
    """The firing rate below, or above, which a layer is ill, and what usually helps."""

    rate: Fraction
    usual_fix: str


class Energy(Struct, frozen=True, kw_only=True):
    """Modelled energy in millijoule."""

    low_mj: NotNegative
    nominal_mj: NotNegative
    high_mj: NotNegative


class Billed(Energy, frozen=True, kw_only=True):
    """The energy of a mean round; of the rounds until the target accuracy; of the whole run."""

    not_priced: list[str]
    to_target: Energy | None = None
    run: Energy


Bills = dict[str, dict[str, Billed]]
"""profile -> level ("communication:lte" for a radio) -> energy."""


class Tested(Energy, frozen=True, kw_only=True):
    """What the tests of a mean round cost the server."""

    not_priced: list[str]


class BillBy(Struct, frozen=True, kw_only=True):
    """Profile -> phase, or layer, -> millijoule of a round, at the level "training"."""

    phase: dict[str, dict[str, NotNegative]]
    layer: dict[str, dict[str, NotNegative]]


class Activity(Struct, frozen=True, kw_only=True):
    """What was seen: events are spikes, or an ANN's non-zero values."""

    samples: Count
    steps: Count
    events_in: dict[str, Count]
    events_out: Count
    synapses_met: dict[str, Count] = msgspec.field(default_factory=dict)


class NeuroBench(Struct, frozen=True, kw_only=True):
    """NeuroBench's metrics of the trained model, operations per test sample."""

    footprint_bytes: Count
    connection_sparsity: Fraction
    activation_sparsity: Fraction | None
    effective_macs: NotNegative | None
    effective_acs: NotNegative | None
    dense_operations: NotNegative


class Interval(Struct, frozen=True, kw_only=True):
    """A mean over windows with the ends of its 95 % interval, if there were windows enough."""

    mean: float
    low: float | None = None
    high: float | None = None


class Measured(Struct, frozen=True, kw_only=True):
    """What a sensor of the simulating host read, or why it read nothing."""

    sensor: str
    unavailable: str | None = None
    domain: str = ""
    joules: float | None = None
    joules_per_round: Interval | None = None
    above_idle_joules_per_round: Interval | None = None
    idle_watts: float | None = None
    seconds: float | None = None
    windows: Count | None = None
    note: str = ""


class Node(Struct, frozen=True, kw_only=True):
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


class Run(Struct, frozen=True, kw_only=True):
    """One finished training. Energies are modelled; older runs have only the founding rule's."""

    name: FolderName
    network: Literal["ann", "snn", "qann"]
    partition: dict[str, Any]
    classes_per_client: Count | None
    centralised: bool
    seed: int
    algorithm: str
    accuracy: Annotated[list[Fraction], Meta(min_length=1)]
    final_accuracy: Fraction
    final_accuracy_mean_last_10: Fraction
    parameters: Count
    layers: list[Count]
    network_operations: dict[str, Any] = msgspec.field(default_factory=dict)
    time_steps: Count | None
    samples_per_round: Count | NotNegative  # whole where all rounds are alike
    forward_operations_per_sample: NotNegative
    study_energy_mj_per_round: NotNegative
    uplink_bytes_per_round: float
    downlink_bytes_per_round: float
    seconds: float
    class_counts: Annotated[list[ClassCounts], Meta(min_length=1)]
    model_sha256: str
    config: dict[str, Any]
    weights: dict[str, float | None]
    hidden_weights: HiddenWeights | None = None
    raster: Raster | None = None
    firing_rates: dict[str, list[Fraction | None]] = msgspec.field(default_factory=dict)
    ill_layers: dict[str, dict[str, Count]] = msgspec.field(default_factory=dict)
    rate_limits: dict[str, RateLimit] = msgspec.field(default_factory=dict)
    rejected: dict[str, Count] = msgspec.field(default_factory=dict)
    skipped_rounds: Count = 0
    activity: Activity | None = None
    bill: Bills | None = None
    bill_skip_zeros: Bills | None = None
    bill_by: BillBy | None = None
    bill_evaluation: dict[str, Tested] | None = None
    target_accuracy: Fraction | None = None
    rounds_to_target: Count | None = None
    neurobench: NeuroBench | None = None
    measured: list[Measured] | None = None
    nodes: list[Node] = msgspec.field(default_factory=list)
    round_seconds: dict[str, NotNegative] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        priced = (self.forward_operations_per_sample, self.study_energy_mj_per_round)
        if self.network != "snn" and min(priced) <= 0:
            raise ValueError("an ANN without operations or energy")


class Experiment(Struct, frozen=True, kw_only=True):
    """All finished runs of one command, and the names of those that are not finished."""

    name: str
    runs: Annotated[tuple[Run, ...], Meta(min_length=1)]
    command: str = ""
    created: str = ""
    environment: dict[str, Any] = msgspec.field(default_factory=dict)
    dataset: Dataset | None = None
    missing: tuple[str, ...] = ()


class _Header(Struct):
    schema: Any = None
    runs: Any = None


def read(directory: Path) -> Experiment:
    """The experiment in a directory; a directory of one run is an experiment of one.

    Raises InputError where `summary.json` is not there, is no JSON, has another schema or a field
    that is missing or wrong.
    """
    path = directory / "summary.json"
    text = _text(path)
    header = _decode(path, text, _Header)
    if header.schema != SCHEMA:
        raise InputError(
            f"{path}: schema {header.schema!r}",
            expected=f"schema {SCHEMA}, the only one that this version reads",
            fix="make the report with the version of fedspike that made the runs, or run again",
        )
    if header.runs is None:
        run = _decode(path, text, Run)
        return Experiment(name=run.name, runs=(run,))
    found = _decode(path, text, Experiment)
    twice = {run.name for run in found.runs if [r.name for r in found.runs].count(run.name) > 1}
    if twice:
        raise InputError(
            f"{path}: two runs are named {min(twice)!r}",
            expected="every run once",
            fix="start the experiment's command again: it writes the summary anew",
        )
    finished = {run.name for run in found.runs}
    unfinished = [
        name for name in (*found.missing, *_unfinished(directory)) if name not in finished
    ]
    return msgspec.structs.replace(found, missing=tuple(dict.fromkeys(unfinished)))


def in_full(directory: Path, run: Run) -> Run:
    """The run with its images, which only its own summary has; as it is where that is not there."""
    path = directory / run.name / "summary.json"
    if run.hidden_weights is not None or run.raster is not None or not path.exists():
        return run
    return _decode(path, _text(path), Run)


def weight_images(run: Run) -> Float[np.ndarray, "image height width"] | None:
    """The first layer's weights as images; None if the run has none.

    Neurons without an image shape become images one pixel high; channels become separate images.
    """
    if run.hidden_weights is None:
        return None
    hidden = run.hidden_weights
    values = _filling(run, "hidden_weights", hidden.int8_base64, np.dtype(np.int8), hidden.shape)
    height, width = (1, *hidden.shape[1:])[-2:]
    return values.reshape(-1, height, width) * hidden.scale


def raster_of(
    run: Run,
) -> tuple[UInt8[np.ndarray, "height width"], Bool[np.ndarray, "time pixel"]] | None:
    """An image, from 0 to 255, and its spikes; None if the run has none."""
    if run.raster is None:
        return None
    raster, byte = run.raster, np.dtype(np.uint8)
    image = _filling(run, "raster", raster.image_base64, byte, raster.shape)
    size = raster.time_steps * image.size
    packed = _filling(run, "raster", raster.spikes_base64, byte, [-(-size // 8)])
    spikes = np.unpackbits(packed, count=size).reshape(raster.time_steps, image.size)
    return image, spikes.astype(bool)


def _filling(
    run: Run, field: str, content: bytes, kind: np.dtype[Any], shape: Sequence[int]
) -> np.ndarray:
    """The numbers of a field, as many as its shape says."""
    values = np.frombuffer(content, dtype=kind)
    if values.size != np.prod(shape, dtype=object):
        raise InputError(
            f"run {run.name}: {field} holds {values.size} numbers",
            expected=" x ".join(map(str, shape)) + ", its shape",
            fix="start the experiment's command again: it writes the summary anew",
        )
    return values.reshape(shape)


def _unfinished(directory: Path) -> list[str]:
    """Folders that hold a run's configuration and no summary yet."""
    configurations = sorted(directory.glob("*/config.toml"))
    return [p.parent.name for p in configurations if not (p.parent / "summary.json").exists()]


def _text(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror})",
            expected="the summary.json that a finished run or experiment leaves",
            fix="name the folder of an experiment or of a run, for example runs/study",
        ) from error


def _decode(path: Path, text: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(
            f"{path}: {error}",
            expected=f"a summary of schema {SCHEMA}, as `fedspike run` writes it",
            fix="start the experiment's command again: it writes the summary anew",
        ) from error
