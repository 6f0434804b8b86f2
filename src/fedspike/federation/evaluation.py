"""What a model says of the test samples."""

import torch
from jaxtyping import Int64
from torch import Tensor

from fedspike.engine.choice import engine_for
from fedspike.federation.cohort import Samples
from fedspike.layers.activity import Activity
from fedspike.learning.activities import activities, counted
from fedspike.networks import Batch, Parameters, SizedNetwork
from fedspike.parts.codes import Address


def evaluate(
    network: SizedNetwork, model: Parameters, test_set: Samples, seed: int, round: int
) -> tuple[float, Activity]:
    """Share of samples whose label has the highest score, and what was done to find out; see `predict`."""
    predicted, activity = predict(network, model, test_set, seed, round)
    return int((predicted == test_set[1]).sum()) / len(predicted), activity


def predict(
    network: SizedNetwork, model: Parameters, test_set: Samples, seed: int, round: int
) -> tuple[Int64[Tensor, " sample"], Activity]:
    """The class with the highest score of each sample, and what was done to find out.

    Test spikes are drawn anew each round. The `model` has the running statistics too, if there are any.
    """
    pixels, labels = test_set
    parameters = {name: w.unsqueeze(0).to(pixels.device) for name, w in model.items()}
    predicted, batches = [], []
    engine = engine_for(pixels.device, pixels.dtype)
    size = engine.samples_at_once(network)
    for first in range(0, len(labels), size):
        positions = torch.arange(first, min(first + size, len(labels)))
        wanted = labels[first : first + size].unsqueeze(0)
        address = Address(seed, "encode-test", round, clients=(0,), first_samples=(first,))
        positions = positions.unsqueeze(0).to(pixels.device)
        batch = Batch(pixels, positions, wanted, address)
        forward = engine.forward(network, parameters, batch)
        predicted.append(forward.scores.argmax(2)[0])
        batches.append(counted(forward))
    (activity,) = activities([len(labels)], [0], batches)
    return torch.cat(predicted), activity
