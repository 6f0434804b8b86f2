"""Networks as the account counts them, from the shapes of their layers, and what clients send of them."""

from collections.abc import Mapping

from fedspike.energy.counts import BYTES_PER_WORD, Counts, entries, words_sent
from fedspike.energy.profiles import Profile, profile
from fedspike.layers.operations import NetworkOperations
from fedspike.layers.shapes import Dense, Layer
from fedspike.networks.layer_operations import conventional, spiking
from fedspike.parts.codes import Code, Rate
from fedspike.parts.neurons import Neuron
from fedspike.parts.optimisers import Adam, Optimiser
from fedspike.parts.read_outs import ReadOut
from parts_example import CODES, NEURONS, OPTIMISERS, READ_OUTS

STUDY = {"hidden": Dense(784, 100), "output": Dense(100, 10)}
SMALL = {"hidden": Dense(4, 3), "output": Dense(3, 2)}
STEPS = 5
ADAM = Adam()


def counted(
    layers: Mapping[str, Layer] = SMALL,
    time_steps: int | None = None,
    *,
    code: Code | None = None,
    neuron: Neuron | None = None,
    read_out: ReadOut | None = None,
    optimiser: Optimiser = ADAM,
) -> NetworkOperations:
    """A conventional network, or with `time_steps` a spiking one, under the rate code unless it is said."""
    network = (
        conventional(layers)
        if time_steps is None
        else spiking(layers, time_steps, code or Rate(), neuron, read_out)
    )
    return network.trained_by(optimiser.operations())


# Spiking networks that together have every example of every part, each beside different ones.
EVERY_KIND = [
    counted(
        SMALL,
        CODES[i % len(CODES)][1],
        code=CODES[i % len(CODES)][0],
        neuron=NEURONS[i % len(NEURONS)],
        read_out=READ_OUTS[i // 2 % len(READ_OUTS)],
        optimiser=OPTIMISERS[i % len(OPTIMISERS)],
    )
    for i in range(max(len(NEURONS), len(CODES), 2 * len(READ_OUTS), len(OPTIMISERS)))
]


def exchanged(network: NetworkOperations, clients: int) -> Counts:
    """The bytes of one round: each client sends and receives the model once."""
    sent = clients * words_sent(network) * BYTES_PER_WORD
    return {"exchange": {"radio": {"uplink_bytes": sent, "downlink_bytes": sent}}}


def whole(counts: Counts) -> dict[tuple[str, str, str], int]:
    """All counts that are not 0: phase, layer and operation -> number."""
    return {(p, layer, op): number for p, layer, op, number in entries(counts) if number}


def profile_of(prices_pj: Mapping[str, float], word_pj: float = 0.0) -> Profile:
    """A profile that prices these operations, and every 32-bit word alike."""
    text = (
        'name = "p"\ntitle = "p"\nunit = "pJ"\n[every_price]\nsource = "s"\nnode_nm = 1\n'
        'voltage_v = 1\ndata_type = "d"\nevidence = "assumed"\n'
        + "".join(f'[price."{name}"]\nvalue_pj = {pj}\n' for name, pj in prices_pj.items())
        + f"[[memory]]\nbytes = 1\naccess_bits = 32\nvalue_pj = {word_pj}\n"
    )
    return profile(text, "p.toml")
