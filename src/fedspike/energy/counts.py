"""Operation counts: whole numbers, additive over samples, clients and rounds.

`count` says what a network did, from its table of operations (`layers/operations.py`) and what was really
seen (`Activity`): by phase, layer and operation. docs/energy.md has the whole table.

Memory accesses are of 32-bit words. They follow Lemaire et al., "An Analytical Estimation of Spiking Neural
Networks Energy Efficiency", ICONIP 2022, without the factor I that its Eq. 2.4 has too much; training follows
Yin et al., "SATA: Sparsity-Aware Training Accelerator for Spiking Neural Networks", IEEE TCAD 2023. Ours are
the rows of the encoder, of pooling, of all neurons but LIF, and the selection of the surrogate, counted as a
comparison. The rows of a spiking network hold for all its steps: who stops at the first spike of the output
does less than is counted. Not counted: memory accesses of training, gradients of biases, the loss, the sum of
a read-out over time, the search for the best score.
"""

from collections.abc import Iterable, Iterator, Mapping

from fedspike.errors import InputError
from fedspike.layers.activity import Activity
from fedspike.layers.operations import (
    BETWEEN,
    INFERENCE,
    TRAINING,
    LayerOperations,
    NetworkOperations,
    Operations,
    Table,
)

Counts = dict[str, dict[str, Operations]]
"""phase -> layer -> operation -> how often."""

ARITHMETIC = ("mac", "ac", "multiply", "add", "compare", "sqrt", "exp", "draw", "address")
READS = ("read_input", "read_weight", "read_bias", "read_potential")
MEMORY = (*READS, "write_potential", "write_output")
BYTES = ("uplink_bytes", "downlink_bytes")
DONE = (*ARITHMETIC, *MEMORY)
PHASES = (*INFERENCE, *TRAINING, "aggregation", "exchange")
ENCODER = "input"  # what the phase `encode` has in place of a layer's name
BYTES_PER_WORD = 4


def count(
    network: NetworkOperations,
    activity: Activity,
    *,
    skip_zeros: bool = False,
    training: bool = True,
) -> Counts:
    """What `network` did while it showed `activity`.

    `skip_zeros` is hardware that leaves out a conventional layer's products with a zero input, forward
    and in the gradient of the weights. Without `training` only inference is counted, as in evaluation.

    Raises InputError where the activity cannot be that of the network.

    >>> output = LayerOperations(inputs=4, outputs=2, synapses=8, least_met=2, most_met=2, enters="spikes",
    ...     trained={"forward": {"synapse met": {"ac": 1}}})
    >>> seen = Activity(samples=1, steps=0, events_in={"output": 3})
    >>> count(NetworkOperations(layers={"output": output}, time_steps=5), seen)["forward"]
    {'output': {'ac': 6}}
    """
    demand_possible(network, activity)
    phases = (*INFERENCE, *TRAINING) if training else INFERENCE
    tables = {name: _table(layer, training) for name, layer in network.layers.items()}
    present = {phase for table in tables.values() for phase in table}
    counts: Counts = {p: {} for p in phases if p not in BETWEEN or p in present}
    first = network.entered[0]
    for phase, rows in network.encoder.items():
        counts[phase][ENCODER] = _times(rows, quantities(network, activity, first))
    for name, table in tables.items():
        how_many = quantities(network, activity, name, skip_zeros=skip_zeros)
        for phase in phases:
            if phase in table:
                counts[phase][name] = _times(table[phase], how_many)
    return counts


def quantities(
    network: NetworkOperations, activity: Activity, name: str, *, skip_zeros: bool = False
) -> dict[str, int]:
    """How much a layer saw of each thing that operations are counted by."""
    layer, samples, batches = network.layers[name], activity.samples, activity.steps
    steps = samples * (network.time_steps or 1)
    enters = name in activity.events_in
    met = activity.met(network, name) if enters else 0
    return {
        "input": samples * layer.inputs,
        "output": samples * layer.outputs,
        "synapse": samples * layer.synapses,
        "input and step": steps * layer.inputs,
        "output and step": steps * layer.outputs,
        "synapse and step": steps * layer.synapses,
        "product": met if skip_zeros else samples * layer.synapses,
        "event in": activity.events_in[name] if enters else 0,
        "synapse met": met,
        "event out": activity.left(network)[name] if enters else 0,
        "update": activity.updates.get(name, 0),
        "parameter and batch": batches * layer.parameters,
        "group and batch": batches * layer.groups,
    }


def aggregation(network: NetworkOperations, clients: int) -> Counts:
    """The server's weighted mean of the clients' models: a MAC per client and parameter.

    Statistics of a BatchNorm take three for each mean and variance: the variance needs the mean's.
    """
    return {
        "aggregation": {
            name: {"mac": clients * (layer.parameters + 3 * (layer.sends // 2))}
            for name, layer in network.layers.items()
            if layer.parameters
        }
    }


def words_sent(network: NetworkOperations) -> int:
    """Words that a client sends: its model and, if they are pooled, the statistics of BatchNorms."""
    return sum(layer.parameters + layer.sends for layer in network.layers.values())


def merge(counts: Iterable[Counts]) -> Counts:
    """The sum of counts, whatever phases, layers and operations each has."""
    total: Counts = {}
    for part in counts:
        for phase, layer, operation, number in entries(part):
            operations = total.setdefault(phase, {}).setdefault(layer, {})
            operations[operation] = operations.get(operation, 0) + number
    return total


def entries(counts: Counts) -> Iterator[tuple[str, str, str, int]]:
    """Phase, layer, operation and number, one after the other."""
    for phase, layers in counts.items():
        for layer, operations in layers.items():
            for operation, number in operations.items():
                yield phase, layer, operation, number


def synaptic(network: NetworkOperations, activity: Activity) -> Operations:
    """Synaptic operations of forward passes, as the founding study counts them.

    A conventional layer makes a MAC for each synapse and sample (its Eq. 2), a spiking one an AC for each
    synapse that a spike meets (its Eq. 3, T*R counted).
    """
    forward = count(network, activity, training=False)["forward"].values()
    return {kind: sum(layer.get(kind, 0) for layer in forward) for kind in ("mac", "ac")}


def _table(layer: LayerOperations, training: bool) -> Table:
    if not training and layer.tested:
        return layer.tested
    return layer.trained


def _times(rows: Mapping[str, Operations], how_many: Mapping[str, int]) -> Operations:
    """operation -> how often, each row times what was seen."""
    total: Operations = {}
    for per, operations in rows.items():
        for operation, number in operations.items():
            total[operation] = total.get(operation, 0) + number * how_many[per]
    return total


def demand_possible(network: NetworkOperations, activity: Activity) -> None:
    """Raise InputError where an activity is not of this network, or more than all neurons can show."""
    steps = activity.samples * (network.time_steps or 1)
    entered = {name: network.layers[name] for name in network.entered}
    if not entered:
        raise InputError(
            "a network of which no layer is counted",
            expected="a layer that events enter",
            fix="see docs/own-networks.md for what is counted",
        )
    shown = {n: activity.samples if x.constant else steps for n, x in entered.items()}
    most = {name: n * entered[name].inputs for name, n in shown.items()}
    last = list(entered.values())[-1]
    silent = network.time_steps is not None and not last.fires
    most_out = 0 if silent else steps * last.outputs
    meeting = {name: x for name, x in entered.items() if x.synapses and not x.is_dense}
    met_by = activity.synapses_met.keys()
    weighted = {name for name, x in entered.items() if x.synapses}
    if (
        activity.events_in.keys() != most.keys()
        or not meeting.keys() <= met_by <= weighted
        or not activity.updates.keys() <= weighted
        or min(activity.samples, activity.steps, *activity.updates.values()) < 0
        or any(not 0 <= activity.events_in[name] <= most[name] for name in most)
        or not 0 <= activity.events_out <= most_out
    ):
        raise InputError(
            f"{activity}",
            expected=f"events into each layer of at most {most}, at most {most_out} out, and synapses_met "
            f"of {list(meeting) or 'no layer'}",
            fix="count the events of the samples that `samples` counts, at every time step",
        )
    for name, met in activity.synapses_met.items():
        layer, events = entered[name], activity.events_in[name]
        most_met = min(shown[name] * layer.synapses, events * layer.most_met)
        if not events * layer.least_met <= met <= most_met:
            raise InputError(
                f"{events} events that met {met} synapses of layer {name}",
                expected=f"{layer.least_met} to {layer.most_met} each, and at most {most_met}",
                fix="weight each event with its place in fan_out(layer), summed over all events",
            )
