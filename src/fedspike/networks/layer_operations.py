"""From the layers and parts of a network to what a device does for it: one table for each layer.

For layers with weights the rules are here, for what is between them in `layers/shapes.py`, for codes, neurons
and surrogates in their own files.

The first layer has no `backward_inputs`: nobody needs the gradient of a sample. Averages of spikes are real
values: a layer that they enter makes a `mac` in place of each `ac`. Without a bias none is read. Learned
constants of neurons are parameters of their layer.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import get_args

from fedspike.errors import InputError
from fedspike.layers.beside import Beside, Norm
from fedspike.layers.operations import (
    LayerOperations,
    NetworkOperations,
    Place,
    Table,
    demand_table,
    joined,
)
from fedspike.layers.shapes import (
    BatchNorm,
    Dense,
    Layer,
    Pooling,
    Sliding,
    Synapses,
    fan_out,
    is_entered,
)
from fedspike.part import fields_of
from fedspike.parts.codes import Code
from fedspike.parts.neurons import LIF, Neuron
from fedspike.parts.read_outs import ReadOut, SpikeCount
from fedspike.parts.surrogates import Surrogate


def of_values(layer: Synapses) -> Table:
    """Conventional: products, biases and ReLUs."""
    return {
        "forward": {"product": {"mac": 1, "read_weight": 1}, "input": {"read_input": 1}},
        "neuron": {"output": {"compare": 1, "read_bias": int(layer.bias), "write_output": 1}},
        "backward_weights": {"product": {"mac": 1}},
        "backward_inputs": {"synapse": {"mac": 1}},
        "surrogate": {"output": {"multiply": 1}},
    }


def of_events(product: str) -> Table:
    """Spiking: a `product`, "ac" or "mac", at each synapse that an event meets."""
    access = {"address": 1, "read_weight": 1, "read_potential": 1, "write_potential": 1}
    return {
        "forward": {"synapse met": {product: 1, **access}, "event in": {"read_input": 1}},
        "backward_weights": {"synapse met": {product: 1}},
        "backward_inputs": {"synapse and step": {"mac": 1}},
    }


def of_constant_input() -> Table:
    """The same input at each step, in a first layer: its current is made once, and kept.

    The current is written once and already holds the bias, which is what is read in its place later. The
    gradient of the weights is that of the current's sum over time.
    """
    return {
        "forward": {
            "product": {"mac": 1, "read_weight": 1},
            "input": {"read_input": 1},
            "output": {"write_output": 1},
        },
        "backward_weights": {"product": {"mac": 1}, "output and step": {"add": 1}},
    }


def conventional(layers: Mapping[str, Layer]) -> NetworkOperations:
    """A network of values. Raises InputError where the layers are no chain."""
    _demand_chain(layers, 1)
    made: dict[str, LayerOperations] = {}
    for name, layer in layers.items():
        table = of_values(layer) if isinstance(layer, Synapses) else layer.operations(spiking=False)
        made[name] = made_of(layer, table if made else without_inputs(table))
    return NetworkOperations(layers=made)


def spiking(
    layers: Mapping[str, Layer],
    time_steps: int,
    code: Code,
    neuron: Neuron | None = None,
    read_out: ReadOut | None = None,
) -> NetworkOperations:
    """A network of spikes over so many time steps. Raises InputError where the layers are no chain."""
    _demand_chain(layers, time_steps)
    neuron, read_out = neuron or LIF(), read_out or SpikeCount()
    names = [name for name, layer in layers.items() if is_entered(layer)]
    first, last = names[0], names[-1]
    coded = asked(code)
    on_first = {phase: rows for phase, rows in (coded or {}).items() if phase != "encode"}
    not_counted = {} if coded is not None else {"code": None}
    normalised = {a for a, b in pairwise(layers) if isinstance(layers[b], BatchNorm)}
    pooled = _pools_of_currents(layers)
    of_neurons: dict[str, tuple[list[Table], int]] = {}  # what is done behind a pool of currents
    made: dict[str, LayerOperations] = {}
    before: Layer | None = None
    for name, layer in layers.items():
        if isinstance(layer, Pooling | BatchNorm):
            tables, keeps = of_neurons.get(name, ([], 0))
            table = joined((each, 1) for each in (layer.operations(spiking=True), *tables))
            made[name] = made_of(layer, table, spikes=_is_spike(before), keeps=keeps)
            before = layer if isinstance(layer, Pooling) and is_entered(layer) else before
            continue
        constant = name == first and not code.binary
        spikes = not constant and _is_spike(before)
        added = layer.bias or name in normalised or name in pooled
        place = Place(fires=name != last or read_out.spiking, added=added, bias=layer.bias)
        synapses = of_constant_input() if constant else of_events("ac" if spikes else "mac")
        parts, missing = parts_of(neuron, place)
        not_counted |= dict.fromkeys(missing)
        behind = [*parts, *([on_first] if name == first else [])]
        gathers = int(name == first and code.step_weights(time_steps) is not None)
        neurons, keeps = layer.outputs, layer.outputs * (neuron.words(place) + gathers)
        if name in pooled:
            pool, neurons = pooled[name]
            behind, at_pool = _parted(behind, layer.bias)
            of_neurons[pool] = (at_pool, neurons * (neuron.words(place) + gathers))
            keeps = layer.outputs  # the currents that its synapses gather in a step
        table = joined((each, 1) for each in (synapses, *behind))
        made[name] = made_of(
            layer,
            without_inputs(table) if name == first else table,
            spikes=spikes,
            constant=constant,
            fires=place.fires,
            normalised=name in normalised,
            neurons=neurons if name in pooled else 1 if neuron.competes else None,
            keeps=keeps,
            constants=sum(c.numel() for c in neuron.initial(neurons, place.fires).values()),
        )
        before = layer
    encode = {"encode": dict(coded["encode"])} if coded and "encode" in coded else {}
    return NetworkOperations(
        layers=made, time_steps=time_steps, encoder=encode, not_counted=tuple(not_counted)
    )


def _pools_of_currents(layers: Mapping[str, Layer]) -> dict[str, tuple[str, int]]:
    """The layers with weights whose currents are pooled: by which pool last, and how many are left."""
    pooled, weighted = {}, ""
    for name, layer in layers.items():
        weighted = name if isinstance(layer, Synapses) else weighted
        if isinstance(layer, Pooling) and layer.currents:
            pooled[weighted] = (name, layer.outputs)
    return pooled


def _parted(tables: list[Table], bias: bool) -> tuple[list[Table], list[Table]]:
    """Of neurons behind a pool: what they do when they fire, which their layer counts, and all the rest."""

    def rows(table: Table, fires: bool) -> Table:
        return {
            phase: {per: row for per, row in rows.items() if (per == "event out") == fires}
            for phase, rows in table.items()
        }

    rest = [rows(table, fires=False) for table in tables]
    firing = [rows(table, fires=True) for table in tables]
    return firing, [*rest, {"neuron": {"output and step": {"add": int(bias)}}}]


def parts_of(neuron: Neuron, place: Place) -> tuple[list[Table], list[str]]:
    """The tables of a neuron and, where it fires, of its surrogate, and which of them have none."""
    tables = {"neuron": asked(neuron, place)}
    values = (getattr(neuron, field.name) for field in fields_of(type(neuron)))
    surrogate = next((value for value in values if isinstance(value, Surrogate)), None)
    if place.fires and surrogate is not None:
        tables["surrogate"] = asked(surrogate)
    elif place.fires and "surrogate" not in (tables["neuron"] or {}):
        tables["surrogate"] = None
    counted = [table for table in tables.values() if table is not None]
    return counted, [name for name, table in tables.items() if table is None]


def asked(part: Code | Neuron | Surrogate, *place: Place) -> Table | None:
    """The table of a part; raises InputError, with the part's name, where it is none."""
    table: Table | None = part.operations(*place)
    if table is not None:
        demand_table(table, type(part).__name__)
    return table


def made_of(
    layer: Layer | Beside,
    trained: Table,
    *,
    spikes: bool = False,
    constants: int = 0,
    **others: int | bool | None,
) -> LayerOperations:
    """A layer's sizes beside its table; `constants` are the learned ones of its neurons."""
    least, most = 0, 0
    if isinstance(layer, Dense):
        least = most = layer.outputs
    elif isinstance(layer, Sliding):
        met = fan_out(layer)
        least, most = int(met.min()), int(met.max())
    groups = layer.groups if isinstance(layer, BatchNorm) else 0
    parameters = layer.parameters + constants
    fixed = layer.statistics if isinstance(layer, Norm) else 0
    return LayerOperations(
        inputs=layer.inputs,
        outputs=layer.outputs,
        synapses=layer.synapses if isinstance(layer, Dense | Sliding) else 0,
        parameters=parameters,
        groups=groups,
        least_met=least,
        most_met=most,
        enters="nothing" if not is_entered(layer) else ("spikes" if spikes else "values"),
        stores=2 * groups if isinstance(layer, BatchNorm) else parameters + fixed,
        sends=2 * groups if isinstance(layer, BatchNorm) and layer.pooled else 0,
        trained=joined([(trained, 1)]),
        tested=joined([(layer.tested(), 1)]) if isinstance(layer, BatchNorm) else {},
        **others,  # type: ignore[arg-type]
    )


def _is_spike(before: Layer | None) -> bool:
    """Whether what comes out of a layer is spikes: averages of spikes are real values."""
    return not (isinstance(before, Pooling) and before.kind == "average")


def without_inputs(table: Table) -> Table:
    """Of a first layer: nobody needs the gradient of a sample."""
    return {phase: rows for phase, rows in table.items() if phase != "backward_inputs"}


def _demand_chain(layers: Mapping[str, Layer], time_steps: int) -> None:
    """Raise InputError where there is no rule for a layer, or none for it behind the one before."""
    before: Layer | None = None
    for name, layer in layers.items():
        _demand_fits(name, layer, before, time_steps)
        before = layer
    entered = [layer for layer in layers.values() if is_entered(layer)]
    if not entered or not all(isinstance(layer, Synapses) for layer in (entered[0], entered[-1])):
        raise InputError(
            f"layers {', '.join(layers) or 'none'}",
            expected="weights in the layer that is entered first and in the one entered last",
            fix="pool in between",
        )


def _demand_fits(name: str, layer: object, before: Layer | None, time_steps: int) -> None:
    if not isinstance(layer, Layer):
        raise InputError(
            f"layer {name} is a {type(layer).__name__}",
            expected=f"a layer with a rule: {', '.join(kind.__name__ for kind in get_args(Layer))}",
            fix="leave the energy of this network out, or add a rule to networks/layer_operations.py",
        )
    if before is not None and layer.inputs != before.outputs:
        raise InputError(
            f"layer {name} has {layer.inputs} inputs behind {before.outputs} outputs",
            expected="as many inputs as the layer before has outputs",
            fix="correct the sizes",
        )
    if isinstance(layer, BatchNorm) and (
        not isinstance(before, Synapses) or layer.time_steps not in (1, time_steps)
    ):
        raise InputError(
            f"layer {name}: {layer} behind {before}, in a network of {time_steps} time steps",
            expected="a layer with weights before it, and statistics for all steps or for each",
            fix="put it between the weights and the neurons; time_steps is 1 or the network's",
        )
