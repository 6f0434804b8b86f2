"""Whether the spiking layers of a run still tell anything: dead and saturated layers.

A firing rate is the share of a layer's neurons that spike at a time step, on average over the samples that a
round trained on. A layer that hardly ever fires passes nothing on and, through the surrogate's tail, hardly
learns; one that nearly always fires does not tell its inputs apart. The limits are ours: on the presets'
networks that learn, rates lie between 0.01 and 0.5.
"""

from collections.abc import Mapping, Sequence

from fedspike.records.schema import RateLimit

DEAD, SATURATED = 0.001, 0.9

CURES = {
    "dead": "lower neuron.threshold or raise neuron.beta, so that inputs add up; give more time steps or a "
    "code with more spikes; read the membrane (read_out.kind) instead of counts",
    "saturated": 'raise neuron.threshold or lower neuron.beta; use reset = "subtract"; lower the '
    "learning rate",
}
# stored with a run, so that its report does not depend on the limits of a later version
LIMITS = {
    state: RateLimit(rate=rate, usual_fix=CURES[state])
    for state, rate in (("dead", DEAD), ("saturated", SATURATED))
}


def state(rate: float) -> str | None:
    """What is wrong with a layer of this firing rate, if anything.

    >>> state(0.0002), state(0.12), state(0.95)
    ('dead', None, 'saturated')
    """
    return "dead" if rate < DEAD else "saturated" if rate > SATURATED else None


def complaint(layer: str, rate: float) -> str | None:
    """A sentence for whoever watches, with the usual cures.

    >>> complaint("hidden", 0.12) is None
    True
    """
    wrong = state(rate)
    if wrong is None:
        return None
    return f"layer {layer} is {wrong}: {rate:.2%} of its neurons spike at a step. Usual fix: {CURES[wrong]}"


def ill(rates: Mapping[str, Sequence[float | None]]) -> dict[str, dict[str, int]]:
    """layer -> state -> rounds in which it was so, from the rates of all rounds; None: nobody trained.

    >>> ill({"hidden": [0.0, None, 0.3], "output": [0.1, None, 0.2]})
    {'hidden': {'dead': 1}}
    """
    ill_layers: dict[str, dict[str, int]] = {}
    for layer, by_round in rates.items():
        for wrong in filter(None, (state(rate) for rate in by_round if rate is not None)):
            rounds = ill_layers.setdefault(layer, {})
            rounds[wrong] = rounds.get(wrong, 0) + 1
    return ill_layers
