"""Dropout: in training a share of what hidden layers hand on is left out, and the rest counts for more.

    d ~ Bernoulli(1 - p),    x <- x d / (1 - p)

for each value of a fully connected hidden layer or, of spikes, anew at each time step; a test leaves nothing
out. What is left out hangs on the seed, the round, the client and the sample, as spikes of the rate code do.

Source: Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov, "Dropout: A Simple Way to Prevent Neural
Networks from Overfitting", JMLR 15, 2014, scaled in training as torch.nn.Dropout.
"""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from fedspike.layers.shapes import Dense, Layer
from fedspike.networks.batch import Batch
from fedspike.parts.codes import Address, Rate

PURPOSE = "dropout"


def dropped(layers: Mapping[str, Layer]) -> dict[str, int]:
    """The fully connected hidden layers, behind which values are left out, and their neurons."""
    *inner, _ = [(name, layer) for name, layer in layers.items() if isinstance(layer, Dense)]
    return {name: layer.outputs for name, layer in inner}


def drawing(batch: Batch) -> tuple[Rate, Address]:
    """The code by which ones become 1 where a value stays, and its address."""
    return Rate(gain=1 - batch.dropout), replace(batch.address, purpose=PURPOSE)


def factors(batch: Batch, layers: Mapping[str, Layer], time_steps: int) -> dict[str, Tensor]:
    """0 or 1 / (1 - p) for each value of the layers that have dropout: [time, client, batch, neuron].

    {} where nothing is left out.
    """
    if not batch.dropout:
        return {}
    sizes = dropped(layers)
    code, address = drawing(batch)
    ones = torch.ones(*batch.positions.shape, sum(sizes.values()), dtype=batch.dtype)
    stays = code.spikes(ones, address, time_steps).to(batch.pixels.device) / (1 - batch.dropout)
    ends = torch.tensor([0, *sizes.values()]).cumsum(0).tolist()
    return {n: stays[..., a:b] for n, (a, b) in zip(sizes, pairwise(ends), strict=True)}
