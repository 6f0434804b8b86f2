"""What one run is made of, typed. The defaults are the founding study's settings.

A table of the TOML file is a struct here; a table with a `kind` is one struct for each kind. Names
become the library's objects in `build.py`, so nothing in this file imports torch.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=1, lt=2**31)]
Bits = Annotated[int, Meta(ge=1, le=16)]
Learned = Literal["no", "per-layer", "per-neuron"]
Seed = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
BelowOne = Annotated[float, Meta(ge=0, lt=1)]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Concentration = Annotated[float, Meta(gt=0, le=1e9)]
# A name becomes a folder, so it must not be able to leave its parent.
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")]


class Table(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A TOML table in which every key is known."""


class KindTable(Table, frozen=True, tag_field="kind"):
    """A TOML table whose key `kind` says which other keys it has."""


class Data(Table, frozen=True):
    """The data set: a known name or the path of an `.npz` file, and where to look first."""

    name: Annotated[str, Meta(min_length=1)] = "fashion-mnist"
    data_dir: str | None = None


class IID(KindTable, frozen=True, tag="iid"):
    """Every client holds a random, equal share of every class."""


class Classes(KindTable, frozen=True, tag="classes"):
    """Every client holds this many classes."""

    classes: Count


class Dirichlet(KindTable, frozen=True, tag="dirichlet"):
    """Class shares drawn from a Dirichlet distribution; a small alpha is a strong skew."""

    alpha: Concentration
    min_samples: Count = 1


class Shards(KindTable, frozen=True, tag="shards"):
    """Samples sorted by class, cut into shards, this many dealt to each client."""

    shards_per_client: Count


class Quantity(KindTable, frozen=True, tag="quantity"):
    """Clients of unequal size, each with the same mix of classes."""

    alpha: Concentration
    min_samples: Count = 1


class Centralised(KindTable, frozen=True, tag="centralised"):
    """No federation: one client holds everything."""


class Devices(KindTable, frozen=True, tag="devices"):
    """Every client is a real device with data of its own: nothing is dealt out, nor simulated."""


Partition = IID | Classes | Dirichlet | Shards | Quantity | Centralised | Devices


class Fleet(Table, frozen=True):
    """How many clients there are, how much of their data is trained on in a round, and who fails to come.

    `dropout` is the probability that a client of a round drops out of it, `quorum` the share of a round's
    clients whose replies the server must accept, or it keeps its model.
    """

    clients: Count = 10
    clients_per_round: Count | Literal["all"] = "all"
    samples_per_round: Count | Literal["all"] = "all"
    dropout: BelowOne = 0.0
    quorum: Fraction = 0.0


class DenseLayers(KindTable, frozen=True, tag="dense"):
    """Fully connected hidden layers; input and output follow from the data set."""

    hidden: Annotated[tuple[Count, ...], Meta(min_length=1, max_length=100)] = (100,)


class Convolutional(KindTable, frozen=True, tag="convolutional"):
    """Convolutions of 3 x 3 with so many channels and pools of 2 x 2, then fully connected hidden layers."""

    features: Annotated[tuple[Count | Literal["pool"], ...], Meta(min_length=1, max_length=100)] = (
        *(16, "pool", 32, "pool"),
    )
    hidden: Annotated[tuple[Count, ...], Meta(max_length=100)] = (128,)
    pool: Literal["average", "max"] = "average"


Architecture = DenseLayers | Convolutional


class SNN(Table, frozen=True):
    """The spiking network: its time, the constants that all its neurons have, and how it is read.

    Beta and threshold are where they start if they are learned.
    """

    time_steps: Count = 50
    beta: Fraction = 0.9
    threshold: Positive = 1.0
    reset: Literal["subtract", "zero", "none"] = "subtract"
    surrogate: Literal["atan", "fast-sigmoid", "sigmoid", "triangular"] = "atan"
    learn_beta: Learned = "no"
    learn_threshold: Learned = "no"
    read_out: Literal["count", "membrane", "first-spike"] = "count"


class Rate(KindTable, frozen=True, tag="rate"):
    """A pixel's brightness is how probable a spike is, at every time step."""


class Latency(KindTable, frozen=True, tag="latency"):
    """A pixel spikes once, the sooner the brighter; below the threshold never."""

    scale: Literal["linear", "logarithmic"] = "linear"
    threshold: Annotated[float, Meta(gt=0, lt=1)] = 0.01


class Phase(KindTable, frozen=True, tag="phase"):
    """A pixel's binary digits, as many as the period has steps; "auto": 8, or all steps if fewer."""

    period: Bits | Literal["auto"] = "auto"


class Burst(KindTable, frozen=True, tag="burst"):
    """The brighter a pixel, the more spikes and the closer; "auto": 5, or as many as the steps hold."""

    most_spikes: Count | Literal["auto"] = "auto"


class Delta(KindTable, frozen=True, tag="delta"):
    """A pixel spikes where it has become brighter by the threshold."""

    threshold: Annotated[float, Meta(gt=0, le=1)] = 0.1


class Direct(KindTable, frozen=True, tag="direct"):
    """A pixel is a constant current, not spikes."""


Code = Rate | Latency | Phase | Burst | Delta | Direct


class LIF(KindTable, frozen=True, tag="lif"):
    """Leaky integrate-and-fire neurons; all their constants are in `SNN`."""


class CurrentBased(KindTable, frozen=True, tag="current-based"):
    """LIF neurons behind synapses whose current decays by alpha in a step."""

    alpha: Fraction


class Adaptive(KindTable, frozen=True, tag="adaptive"):
    """LIF neurons whose threshold rises with each spike and then sinks by rho in a step."""

    adaptation: NotNegative
    rho: Fraction


Neuron = LIF | CurrentBased | Adaptive


class Unnormalised(KindTable, frozen=True, tag="none"):
    """What the synapses give goes to the neurons as it is."""


class BNTT(KindTable, frozen=True, tag="bntt"):
    """Batch normalisation through time, behind all layers but the last."""

    statistics: Literal["pooled", "local"] = "pooled"
    momentum: Annotated[float, Meta(gt=0, le=1)] = 0.1
    epsilon: Positive = 1e-4


Normalisation = Unnormalised | BNTT


class SpikeCount(KindTable, frozen=True, tag="spike-count"):
    """The SNN's target spike counts, as fractions of the time steps."""

    correct_rate: Fraction = 0.8
    incorrect_rate: Fraction = 0.2


class CrossEntropy(KindTable, frozen=True, tag="cross-entropy"):
    """Of the SNN's scores, whatever is read out. The ANN's loss too."""


Loss = SpikeCount | CrossEntropy


class QANN(Table, frozen=True):
    """Values in few levels; bits = "snn": as many as spike counts have, ceil(log2(time_steps + 1))."""

    bits: Bits | Literal["snn"] = "snn"
    ceiling: Positive = 4.0


class Training(Table, frozen=True):
    """What a client does in a round."""

    epochs: Count = 1
    batch_size: Count = 128


class Adam(KindTable, frozen=True, tag="adam"):
    """Adam, started afresh in every round."""

    learning_rate: Positive = 1e-3
    beta1: BelowOne = 0.9
    beta2: BelowOne = 0.999
    epsilon: Positive = 1e-8


class SGD(KindTable, frozen=True, tag="sgd"):
    """Plain gradient descent."""

    learning_rate: Positive = 0.1


Optimiser = Adam | SGD


class FedAvg(KindTable, frozen=True, tag="fedavg"):
    """The mean of the clients' models, weighted by samples."""


class FedProx(KindTable, frozen=True, tag="fedprox"):
    """FedAvg whose clients are held near the model that they received."""

    mu: NotNegative = 0.01


class Scaffold(KindTable, frozen=True, tag="scaffold"):
    """Control variates correct the drift of the clients."""

    server_learning_rate: Positive = 1.0


class FedAdam(KindTable, frozen=True, tag="fedadam"):
    """Adam on the server, applied to the mean update."""

    learning_rate: Positive = 0.01
    beta1: Fraction = 0.9
    beta2: Fraction = 0.99
    tau: Positive = 1e-3


Algorithm = FedAvg | FedProx | Scaffold | FedAdam


# Which of the tables below only a spiking network has; a new one belongs here.
SPIKING = ("snn", "code", "neuron", "normalisation", "loss")


class Configuration(Table, frozen=True):
    """Everything that decides the result of one run, and the accuracy until which its energy is summed.

    Only a spiking network has the tables `SPIKING`, so for the others they are None: two ANN runs that differ
    only there are one run. Only a quantised one has `qann`.
    """

    name: Name
    network: Literal["ann", "snn", "qann"] = "ann"
    seed: Seed = 0
    rounds: Count = 100
    target_accuracy: Fraction = 0.85
    data: Data = Data()
    partition: Partition = IID()
    fleet: Fleet = Fleet()
    architecture: Architecture = DenseLayers()
    snn: SNN | None = None
    code: Code | None = None
    neuron: Neuron | None = None
    normalisation: Normalisation | None = None
    loss: Loss | None = None
    qann: QANN | None = None
    training: Training = Training()
    optimiser: Optimiser = Adam()
    algorithm: Algorithm = FedAvg()
