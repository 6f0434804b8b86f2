"""What a network does, as data: for each layer a table of whole numbers, and what was seen of it.

    phase -> per what -> operation -> how many

`{"forward": {"synapse met": {"ac": 1}}}` is a layer that makes one accumulate at each synapse that an event
meets. Counts are that table times what was seen (`energy/counts.py`). The parts of a network give the tables
(`operations()` of a code, a neuron, a surrogate, an optimiser ...), the record of a run keeps them, so a bill
is made again without the part. Per what, for a layer with I inputs, O outputs, S synapses, P learned numbers
and G groups of a normalisation, of a network of T time steps (a conventional one: 1) that saw n samples in B
batches, and a layer into which theta events went, which met sigma synapses, and theta_out events came out:

    input, output, synapse                     n*I, n*O, n*S
    input and step, output and step, ...       n*T*I, n*T*O, n*T*S
    product                                    n*S, or sigma on hardware that skips products with zero
    event in, synapse met, event out           theta, sigma, theta_out
    parameter and batch, group and batch       B*P, B*G
"""

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

Operations = dict[str, int]
"""How often each kind of operation was done, e.g. {"mac": 79400, "ac": 0}."""
Per = Literal[
    "input",
    "output",
    "synapse",
    "input and step",
    "output and step",
    "synapse and step",
    "product",
    "event in",
    "synapse met",
    "event out",
    "parameter and batch",
    "group and batch",
]
BACKWARD = ("backward_weights", "backward_inputs", "surrogate")  # phases of a backward pass
Table = Mapping[str, Mapping[str, Operations]]
"""phase -> per what (`Per`) -> operation -> how many."""


class LayerOperations(msgspec.Struct, frozen=True, kw_only=True):
    """A layer as the energy bill has it: its sizes, and what is done in it.

    `enters` says what an event is that enters: a spike, or a real value; nothing enters a normalisation one
    by one. A `constant` input is the same at each time step, and its events are counted once. An event meets
    `least_met` to `most_met` synapses. `keeps` are the words of all its neurons from step to step, `stores`
    those of its parameters in a device's memory, `sends` those of its statistics that clients send beside
    the parameters. `trained` is done in training, `tested` in a test.
    """

    inputs: int
    outputs: int
    synapses: int = 0
    parameters: int = 0
    groups: int = 0
    least_met: int = 0
    most_met: int = 0
    enters: Literal["spikes", "values", "nothing"] = "values"
    constant: bool = False
    fires: bool = False
    normalised: bool = False
    keeps: int = 0
    stores: int = 0
    sends: int = 0
    trained: dict[str, dict[str, Operations]] = {}
    tested: dict[str, dict[str, Operations]] = {}

    @property
    def is_dense(self) -> bool:
        """Whether each event meets all outputs."""
        return self.least_met == self.most_met == self.outputs > 0


class NetworkOperations(msgspec.Struct, frozen=True, kw_only=True):
    """A network as the energy bill has it: its layers from input to output.

    `time_steps` is None for a conventional network. `encoder` is what turns samples into spikes. What a
    network or its training does that nobody gave a table for is named in `not_counted`.
    """

    layers: dict[str, LayerOperations]
    time_steps: int | None = None
    encoder: dict[str, dict[str, Operations]] = {}
    not_counted: tuple[str, ...] = ()

    @property
    def entered(self) -> list[str]:
        """The layers that events enter: all but the normalisations, which every value goes through."""
        return [name for name, layer in self.layers.items() if layer.enters != "nothing"]

    @property
    def parameters(self) -> int:
        """Learned numbers of all layers and their neurons."""
        return sum(layer.parameters for layer in self.layers.values())

    def trained_by(self, learner: Table | None, backward: bool = True) -> "NetworkOperations":
        """With what a learner does to each parameter; None where nobody has counted that.

        A learner without `backward` passes leaves out what the network counts for them.
        """
        not_counted = self.not_counted if learner is not None else (*self.not_counted, "optimiser")
        layers = {}
        for name, layer in self.layers.items():
            tables: list[tuple[Table, int]] = [
                ({p: rows for p, rows in layer.trained.items() if backward or p not in BACKWARD}, 1)
            ]
            if learner is not None and layer.parameters:
                tables.append((learner, 1))
            layers[name] = msgspec.structs.replace(layer, trained=joined(tables))
        return msgspec.structs.replace(self, layers=layers, not_counted=not_counted)


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
