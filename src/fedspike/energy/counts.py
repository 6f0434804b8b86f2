"""Operation counts: integers, additive over samples, clients and rounds."""

from collections.abc import Mapping

Operations = dict[str, int]
"""How often each kind of operation was done, e.g. {"mac": 79400, "ac": 0}."""


def forward_operations(
    sizes: Mapping[str, tuple[int, int]], samples: int, spikes_in: Mapping[str, int]
) -> Operations:
    """Synaptic operations of forward passes, as the founding study counts them.

        ANN:  samples * sum over layers of I*O     multiply-accumulates (its Eq. 2)
        SNN:  sum over layers of spikes_in * O     accumulates           (its Eq. 3, T*R counted)

    `sizes[layer]` is (inputs I, outputs O); `spikes_in[layer]` counts the spikes that entered the layer
    over all time steps of all samples, and is empty for an ANN.

    >>> sizes = {"hidden": (784, 100), "output": (100, 10)}
    >>> forward_operations(sizes, samples=1, spikes_in={})
    {'mac': 79400, 'ac': 0}
    >>> forward_operations(sizes, samples=1, spikes_in={"hidden": 11215, "output": 4850})
    {'mac': 0, 'ac': 1170000}
    """
    if not spikes_in:
        return {"mac": samples * sum(i * o for i, o in sizes.values()), "ac": 0}
    return {"mac": 0, "ac": sum(spikes_in[layer] * o for layer, (_, o) in sizes.items())}
