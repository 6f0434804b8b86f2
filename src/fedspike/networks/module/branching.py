"""From the layers that were seen in a module to what a device does, where they are no chain.

Branches that meet, feedback and normalisations leave no order by which neurons belong to a layer. So each
layer with weights has its synapses alone, and neurons that the module names stand beside them, with the
spikes that they fired: what "enters" them here. A module of values has a ReLU behind each layer.
"""

from collections.abc import Mapping

from msgspec.structs import replace
from torch import Tensor

from fedspike.layers.beside import Beside, Neurons, Norm
from fedspike.layers.operations import LayerOperations, NetworkOperations, Place, Table, joined
from fedspike.layers.shapes import Layer, Synapses
from fedspike.networks.layer_operations import (
    asked,
    made_of,
    of_constant_input,
    of_events,
    of_values,
    parts_of,
    without_inputs,
)
from fedspike.networks.module.adopt import RELATIVES
from fedspike.networks.module.counting import CONSTANTS
from fedspike.part import fields_of
from fedspike.parts.codes import Code
from fedspike.parts.neurons import CurrentBasedLIF, Neuron
from fedspike.parts.read_outs import ReadOut

Seen = Mapping[str, Layer | Beside]


def of_branching_values(layers: Seen) -> NetworkOperations:
    """A module of values."""
    made: dict[str, LayerOperations] = {}
    for name, layer in layers.items():
        if isinstance(layer, Neurons):
            continue
        table = of_values(layer) if isinstance(layer, Synapses) else layer.operations(spiking=False)
        made[name] = made_of(layer, table if made else without_inputs(table))
    return NetworkOperations(layers=made)


def of_branching_spikes(
    layers: Seen,
    time_steps: int,
    code: Code,
    neurons: Mapping[str, Neuron],
    read_out: ReadOut,
    real: frozenset[str],
) -> NetworkOperations:
    """A module of spikes with these neurons; `real` are the layers that other numbers enter."""
    first = next(name for name, layer in layers.items() if isinstance(layer, Synapses))
    last = [name for name, layer in layers.items() if isinstance(layer, Neurons)][-1]
    coded = asked(code)
    not_counted = {} if coded is not None else {"code": None}
    gathers = int(code.step_weights(time_steps) is not None)
    made: dict[str, LayerOperations] = {}
    normalised = False  # then what is added to a potential is no single weight
    for name, layer in layers.items():
        if isinstance(layer, Neurons):
            place = Place(name != last or read_out.spiking, added=normalised, bias=False)
            normalised = False
            parts, missing = parts_of(neurons[name], place)
            not_counted |= dict.fromkeys(missing)
            keeps = layer.values * neurons[name].words(place)
            table = joined((_fired(part), 1) for part in parts)
            made[name] = made_of(
                layer, table, spikes=True, keeps=keeps, fires=place.fires, fired=True
            )
        elif isinstance(layer, Synapses):
            constant = not made and not code.binary  # of the first layer, where it is no pool
            spikes = not constant and name not in real
            own = of_constant_input() if constant else of_events("ac" if spikes else "mac")
            bias = {"add": int(layer.bias), "read_bias": int(layer.bias)}
            behind: list[Table] = [{"neuron": {"output and step": bias}}]
            if name == first:
                behind.append({k: rows for k, rows in (coded or {}).items() if k != "encode"})
            table = joined((each, 1) for each in (own, *behind))
            made[name] = made_of(
                layer,
                without_inputs(table) if name == first else table,
                spikes=spikes,
                constant=constant,
                keeps=layer.outputs * gathers if name == first else 0,
            )
        else:
            normalised |= isinstance(layer, Norm)
            made[name] = made_of(layer, layer.operations(spiking=True), spikes=name not in real)
    encode = {"encode": dict(coded["encode"])} if coded and "encode" in coded else {}
    return NetworkOperations(
        layers=made, time_steps=time_steps, encoder=encode, not_counted=tuple(not_counted)
    )


def neuron_of(name: str, kind: str, usual: Neuron, learned: Mapping[str, Tensor]) -> Neuron:
    """What neurons of a class are in the bill: the usual ones, or those with a current of their own.

    Constants of theirs are learned where they are among the `learned` parameters.
    """
    neuron = CurrentBasedLIF(alpha=0.9) if RELATIVES.get(kind) else usual
    how = {
        f"learn_{constant}": "per-layer" if weight.numel() == 1 else "per-neuron"
        for constant in CONSTANTS
        if (weight := learned.get(f"{name}.{constant}")) is not None
    }
    names = {field.name for field in fields_of(type(neuron))}
    return replace(neuron, **{field: one for field, one in how.items() if field in names})


def _fired(table: Table) -> Table:
    """Of neurons with an entry of their own, what they do when they fire is by what "enters" it."""
    return {
        phase: {"event in" if per == "event out" else per: row for per, row in rows.items()}
        for phase, rows in table.items()
    }
