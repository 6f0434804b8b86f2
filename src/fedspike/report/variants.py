"""What sets the spiking networks of a sweep apart, in as few words as do it."""

from collections.abc import Sequence
from typing import Any

SAID_FIRST = ("code.kind", "snn.time_steps", "snn.read_out", "neuron.kind", "normalisation.kind")
SPEAKING = ("kind", "read_out")  # keys whose value needs no word before it


def names(networks: Sequence[dict[str, Any]]) -> list[str]:
    """A name for each network, from its configuration under dotted keys; one alone needs none.

    A key is said only if the keys before it leave two networks alike: not the loss, say, where it
    follows from what is read out.

    >>> both = [{"code.kind": "rate", "snn.time_steps": 5}, {"code.kind": "phase", "snn.time_steps": 10}]
    >>> names(both), names([both[0], both[0] | {"snn.time_steps": 10, "snn.beta": 0.8}])
    (['rate', 'phase'], ['T = 5', 'T = 10'])
    """
    others = dict.fromkeys(key for network in networks for key in network)
    keys: list[str] = []
    apart = 1
    for key in dict.fromkeys((*SAID_FIRST, *others)):
        told = len({repr([network.get(k) for k in (*keys, key)]) for network in networks})
        if told > apart:
            keys, apart = [*keys, key], told
    return [", ".join(_said(key, own[key]) for key in keys if key in own) for own in networks]


def _said(key: str, value: object) -> str:
    """A setting in words.

    >>> _said("code.kind", "phase"), _said("snn.time_steps", 10), _said("code.most_spikes", 3)
    ('phase', 'T = 10', 'code most spikes 3')
    >>> _said("normalisation.kind", "none")
    'no normalisation'
    """
    table, _, leaf = key.rpartition(".")
    if leaf in SPEAKING:
        return f"no {table}" if value == "none" else str(value)
    if key == "snn.time_steps":
        return f"T = {value}"
    words = key.removeprefix("snn.").replace(".", " ").replace("_", " ")
    return f"{words} {value}"
