"""Whether a trained network works: dead and saturated layers, and whether it beats a constant answer.

A firing rate is the share of a layer's neurons that spike at a time step, on average over the samples that a
round trained on. A layer that hardly ever fires passes nothing on and, through the surrogate's tail, hardly
learns; one that nearly always fires does not tell its inputs apart. The limits are ours: on the presets'
networks that learn, rates lie between 0.01 and 0.5.
"""

import math
from collections.abc import Mapping, Sequence

from fedspike.records.schema import RateLimit

DEAD, SATURATED = 0.001, 0.9
NORMAL_975 = 1.96  # 97.5 % quantile of the standard normal distribution

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
    return None if wrong is None else f"{finding(layer, rate)}. Usual fix: {CURES[wrong]}"


def finding(layer: str, rate: float) -> str:
    """What is wrong with a layer, in a sentence.

    >>> finding("hidden", 0.0)
    'layer hidden is dead: 0.00% of its neurons spike at a step'
    """
    return f"layer {layer} is {state(rate)}: {rate:.2%} of its neurons spike at a step"


def unfit(
    accuracy: float, tested: Sequence[Sequence[int]], rates: Mapping[str, Sequence[float | None]]
) -> list[str]:
    """Why the energy of a run is not to be compared with another's: its network does not work.

    That is so where one that always names the most frequent class could have its accuracy by chance, with a
    probability above 2.5 %, or where a layer was dead or saturated in the last round with training. `tested`
    are the test samples of each class, of each model that was tested: clients' own models name one each.

    >>> unfit(0.17, [[100] * 6], {"output": [0.2, 0.0]})
    ['accuracy 17.0% on 600 test samples: naming the most frequent class would do as well (16.7%)', \
'layer output is dead: 0.00% of its neurons spike at a step']
    >>> unfit(0.62, [[100] * 6], {"output": [0.0, 0.2]})
    []
    >>> unfit(0.5, [[100, 100, 0], [0, 0, 100]], {})
    ['accuracy 50.0% on 300 test samples: naming the most frequent class would do as well (66.7%)']
    """
    samples, reasons = sum(map(sum, tested)), []
    share = sum(map(max, tested)) / samples
    if accuracy <= share + NORMAL_975 * math.sqrt(share * (1 - share) / samples):
        reasons.append(
            f"accuracy {accuracy:.1%} on {samples} test samples: naming the most frequent class would do as "
            f"well ({share:.1%})"
        )
    last = {layer: [r for r in by_round if r is not None][-1:] for layer, by_round in rates.items()}
    for layer, rate in ((layer, rate) for layer, of_last in last.items() for rate in of_last):
        if state(rate):
            reasons.append(finding(layer, rate))
    return reasons


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
