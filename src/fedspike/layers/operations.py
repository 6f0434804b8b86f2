"""What a network does, as data: for each layer a table of whole numbers, and what was seen of it.

    phase -> per what -> operation -> how many

`{"forward": {"synapse met": {"ac": 1}}}` is a layer that makes one accumulate at each synapse that an event
meets. Counts are that table times what was seen (`energy/counts.py`). The parts of a network give the tables
(`operations()` of a code, a neuron, a surrogate, an optimiser ...), the record of a run keeps them, so a bill
is made again without the part. docs/energy.md has the tables of all parts that ship.
"""

from collections.abc import Container, Iterable, Mapping
from typing import Annotated, Literal

import msgspec

from fedspike.errors import InputError

Operations = dict[str, int]
"""How often each kind of operation was done, e.g. {"mac": 79400, "ac": 0}."""
Table = Mapping[str, Mapping[str, Operations]]
"""phase -> per what (`PER`) -> operation -> how many."""

Times = Annotated[int, msgspec.Meta(ge=0)]

BETWEEN = ("pool", "normalise")  # phases that only networks with such layers have
INFERENCE = ("encode", "forward", *BETWEEN, "neuron")
BACKWARD = ("backward_weights", "backward_inputs", "surrogate")  # phases of a backward pass
TRAINING = (*BACKWARD, "optimiser")
SYMBOLS = """\
A layer has I inputs, O outputs, S synapses, P learned numbers and, if it is a normalisation, G groups of
one mean and one variance. A spiking network has T time steps; for a conventional one T is 1. It saw n
samples in B batches. Over all steps of all samples, theta events went into the layer, these met sigma
synapses, and theta_out events came out. A local rule changed weights upsilon times.
"""
PER = {
    "input": "n*I",
    "output": "n*O",
    "synapse": "n*S",
    "input and step": "n*T*I",
    "output and step": "n*T*O",
    "synapse and step": "n*T*S",
    "product": "n*S; sigma on hardware that skips products with zero",
    "event in": "theta",
    "synapse met": "sigma",
    "event out": "theta_out",
    "update": "upsilon",
    "parameter and batch": "B*P",
    "group and batch": "B*G",
}


def each_output(*, spiking: bool) -> str:
    """Per what an operation is done for every output: a spiking network does it at every step."""
    return "output and step" if spiking else "output"


"""What operations are counted by, and how many there are of it; see `SYMBOLS`."""


class LayerOperations(msgspec.Struct, frozen=True, kw_only=True):
    """A layer as the energy bill has it: its sizes, and what is done in it.

    `enters` says what an event is that enters: a spike, or a real value; nothing enters a normalisation one
    by one. A `constant` input is the same at each time step, and its events are counted once. An event meets
    `least_met` to `most_met` synapses. Of its neurons `neurons` may spike at a step where these are not its
    `outputs`: those behind a pool, and one of those that compete. Of neurons that stand beside layers the
    events are those that they `fired`. `keeps` are the words of all its neurons from step to step, `stores`
    those of its parameters in a device's memory, `sends` those of its statistics that clients send beside the
    parameters. `trained` is done in training, `tested` in a test.
    """

    inputs: Times
    outputs: Times
    synapses: Times = 0
    parameters: Times = 0
    groups: Times = 0
    least_met: Times = 0
    most_met: Times = 0
    enters: Literal["spikes", "values", "nothing"] = "values"
    constant: bool = False
    fires: bool = False
    neurons: Times | None = None
    fired: bool = False
    normalised: bool = False
    keeps: Times = 0
    stores: Times = 0
    sends: Times = 0
    trained: dict[str, dict[str, Operations]] = {}
    tested: dict[str, dict[str, Operations]] = {}

    def __post_init__(self) -> None:
        for table in (self.trained, self.tested):
            _demand_names(table)

    @property
    def is_weighted(self) -> bool:
        """Whether there are weights at its synapses: those of windows that overlap have none."""
        return self.synapses > 0 and self.parameters > 0

    @property
    def is_dense(self) -> bool:
        """Whether each event meets all outputs."""
        return self.least_met == self.most_met == self.outputs > 0


class NetworkOperations(msgspec.Struct, frozen=True, kw_only=True):
    """A network as the energy bill has it: its layers from input to output.

    `time_steps` is None for a conventional network. `encoder` is what turns samples into spikes. What a
    network or its training does that nobody gave a table for is named in `not_counted`.

    Where clients train networks of different size, those that are not the whole one are among the `smaller`,
    by the names of their sizes, and `sizes[client]` says which is a client's.
    """

    layers: dict[str, LayerOperations]
    time_steps: int | None = None
    encoder: dict[str, dict[str, Operations]] = {}
    not_counted: tuple[str, ...] = ()
    smaller: dict[str, "NetworkOperations"] = {}
    sizes: dict[Times, str] = {}

    def __post_init__(self) -> None:
        _demand_names(self.encoder)
        if unknown := {*self.sizes.values()} - self.smaller.keys():
            raise ValueError(f"a client with a network of the unknown size {min(unknown)}")

    def of(self, client: int) -> "NetworkOperations":
        """The network that a client trains."""
        return self.smaller[self.sizes[client]] if client in self.sizes else self

    @property
    def entered(self) -> list[str]:
        """The layers that events enter: all but the normalisations, which every value goes through."""
        return [name for name, layer in self.layers.items() if layer.enters != "nothing"]

    @property
    def parameters(self) -> int:
        """Learned numbers of all layers and their neurons."""
        return sum(layer.parameters for layer in self.layers.values())

    def trained_by(
        self,
        learner: Table | None,
        backward: Container[str] = BACKWARD,
        layers: Container[str] | None = None,
    ) -> "NetworkOperations":
        """With what a learner does to each parameter; None where nobody has counted that.

        Of what the network counts for a backward pass the phases that are not in `backward` are left out.
        `layers` are those that it trains so, None all. Raises InputError where its table is none.
        """
        demand_table(learner or {}, "learner")
        not_counted = self.not_counted if learner is not None else (*self.not_counted, "optimiser")
        trained = {}
        for name, layer in self.layers.items():
            if layers is not None and name not in layers:
                trained[name] = layer
                continue
            kept = {p: x for p, x in layer.trained.items() if p in backward or p not in BACKWARD}
            tables: list[tuple[Table, int]] = [(kept, 1)]
            if learner is not None and layer.parameters:
                tables.append((learner, 1))
            trained[name] = msgspec.structs.replace(layer, trained=joined(tables))
        return msgspec.structs.replace(self, layers=trained, not_counted=not_counted)

    def seen_again(self, times: int, without: Container[str] = ()) -> "NetworkOperations":
        """With so many more forward passes in training, of models that an algorithm compares and that do not
        learn. Each is counted as that of the one that learns, as if as many events went through, up to the
        last layer. What makes spikes of samples makes them once.
        """
        layers = {}
        for name, layer in self.layers.items():
            again = {p: rows for p, rows in layer.trained.items() if p in INFERENCE}
            tables = [(layer.trained, 1), (again, 0 if name in without else times)]
            layers[name] = msgspec.structs.replace(layer, trained=joined(tables))
        return msgspec.structs.replace(self, layers=layers)

    def left_out(self, layers: Container[str]) -> "NetworkOperations":
        """With dropout behind these layers in training: a number is drawn and compared for each value."""
        drawn: Table = {"neuron": {"output and step": {"draw": 1, "compare": 1}}}
        made = {
            name: msgspec.structs.replace(
                layer,
                trained=joined([(layer.trained, 1), (drawn, 1)]),
                tested=layer.tested or layer.trained,
            )
            if name in layers
            else layer
            for name, layer in self.layers.items()
        }
        return msgspec.structs.replace(self, layers=made)


def _demand_names(table: Table) -> None:
    """Raise ValueError, for whoever decodes a record, where a phase or what is counted by is unknown."""
    unknown = [phase for phase in table if phase not in (*INFERENCE, *TRAINING)]
    unknown += [per for rows in table.values() for per in rows if per not in PER]
    if unknown:
        raise ValueError(f"operations in, or per, {unknown[0]}")


def demand_table(table: object, owner: str) -> None:
    """Raise InputError where operations are of no known phase, counted by nothing known, or no whole numbers.

    >>> demand_table({"encode": {"pixel": {"compare": 1}}}, "Mine")
    Traceback (most recent call last):
    fedspike.errors.InputError: Mine: operations() says {'compare': 1} per pixel in phase encode
      expected: whole numbers per input, output, synapse, input and step, output and step, synapse and step, \
product, event in, synapse met, event out, update, parameter and batch or group and batch, in phase encode, \
forward, pool, normalise, neuron, backward_weights, backward_inputs, surrogate or optimiser
      fix: return for example {"encode": {"input and step": {"compare": 1}}}
    """
    phases = (*INFERENCE, *TRAINING)
    try:
        tables = msgspec.convert(table, dict[str, dict[str, dict[str, Times | bool]]])
    except msgspec.ValidationError:
        passed = f"{table}"
    else:
        wrong = (
            f"{operations} per {per} in phase {phase}"
            for phase, rows in tables.items()
            for per, operations in rows.items()
            if phase not in phases or per not in PER
        )
        passed = next(wrong, "")
    if passed:
        raise InputError(
            f"{owner}: operations() says {passed}",
            expected=f"whole numbers per {_listed(PER)}, in phase {_listed(phases)}",
            fix='return for example {"encode": {"input and step": {"compare": 1}}}',
        )


def _listed(names: Iterable[str]) -> str:
    *before, last = names
    return f"{', '.join(before)} or {last}"


def joined(tables: Iterable[tuple[Table, int]]) -> dict[str, dict[str, Operations]]:
    """The sum of tables, each so many times.

    >>> one = {"neuron": {"output": {"add": 1}}}
    >>> joined([(one, 2), ({"neuron": {"output": {"compare": 1}}}, 1)])
    {'neuron': {'output': {'add': 2, 'compare': 1}}}
    """
    total: dict[str, dict[str, Operations]] = {}
    for table, times in tables:
        for phase, rows in table.items():
            for per, operations in rows.items():
                row = total.setdefault(phase, {}).setdefault(per, {})
                for operation, number in operations.items():
                    row[operation] = row.get(operation, 0) + number * times
    return total


class Place(msgspec.Struct, frozen=True):
    """Where in the network the neurons of a layer are.

    They fire, or else their membrane is read out. At each step something may be `added` to a potential beside
    what spikes bring: a `bias`, which is read then, or a normalised current.
    """

    fires: bool = True
    added: bool = True
    bias: bool = True
