"""Networks to count, and what the tests of energy ask of counts, profiles and bills."""

from collections.abc import Mapping
from typing import Any

from fedspike.energy.counts import BYTES_PER_WORD, Counts, entries, words_sent
from fedspike.energy.profiles import Profile, profile
from fedspike.layers.operations import NetworkOperations
from fedspike.layers.shapes import Dense
from fedspike.networks.layer_operations import conventional, spiking
from fedspike.parts.codes import Code, Rate
from fedspike.parts.neurons import Neuron
from fedspike.parts.optimisers import Adam, Optimiser
from fedspike.parts.read_outs import ReadOut

STEPS = 5
RATE, ADAM = Rate(), Adam()
SMALL = {"hidden": Dense(4, 3), "output": Dense(3, 2)}
STUDY = {"hidden": Dense(784, 100), "output": Dense(100, 10)}


def network(
    layers: Mapping[str, Any] = SMALL,
    time_steps: int | None = None,
    *,
    code: Code = RATE,
    neuron: Neuron | None = None,
    read_out: ReadOut | None = None,
    optimiser: Optimiser = ADAM,
) -> NetworkOperations:
    """The operations of these layers; of a conventional network without time steps."""
    made = (
        conventional(layers)
        if time_steps is None
        else spiking(layers, time_steps, code, neuron, read_out)
    )
    return made.trained_by(optimiser.operations())


def whole(counts: Counts) -> dict[tuple[str, str, str], int]:
    """All counts that are not 0."""
    return {(p, layer, op): number for p, layer, op, number in entries(counts) if number}


def exchange(made: NetworkOperations, clients: int) -> Counts:
    """The bytes of a round in which each client receives the model and sends it once."""
    sent = clients * BYTES_PER_WORD * words_sent(made)
    return {"exchange": {"radio": {"uplink_bytes": sent, "downlink_bytes": sent}}}


def profile_of(prices_pj: Mapping[str, float], word_pj: float | None = None) -> Profile:
    """A profile that prices these operations, and every 32-bit word alike if it has a price."""
    text = (
        'name = "p"\ntitle = "p"\nunit = "pJ"\n[every_price]\nsource = "s"\nnode_nm = 1\n'
        'voltage_v = 1\ndata_type = "d"\nevidence = "assumed"\n'
        + "".join(f'[price."{name}"]\nvalue_pj = {pj}\n' for name, pj in prices_pj.items())
    )
    if word_pj is not None:
        text += f"[[memory]]\nbytes = 1\naccess_bits = 32\nvalue_pj = {word_pj}\n"
    return profile(text, "p.toml")
