"""What an accuracy is of, and whose a test sample is like, or who is dealt it by chance.

The test set belongs to nobody. To see what a client has of a model, its samples are dealt to the clients as
the training samples are: of n test samples of a class client k gets the share that it has of the class in
training, by largest remainders, in the order of the test set. A class that nobody has is dealt evenly. So
every sample has one client.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Int

from fedspike.randomness import stream

AccuracyOf = Literal["global model", "own models, own samples", "own models, all samples"]
"""Of the one model for all, or of each client's own: on the samples that are like the client's own, or on
samples of all, dealt evenly. Accuracies of different kinds answer different questions: where a client has few
classes, its own samples are the easier ones."""


def like_whom(
    labels: Int[np.ndarray, " sample"], class_counts: Int[np.ndarray, "client class"]
) -> Int[np.ndarray, " sample"]:
    """The client that each test sample is dealt to.

    >>> like_whom(np.array([0, 1, 0, 1]), np.array([[5, 0], [5, 8]])).tolist()
    [0, 1, 1, 1]
    """
    clients = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        held = class_counts[:, label] if label < class_counts.shape[1] else 0
        shares = dealt(len(of_class), held * np.ones(len(class_counts), np.int64))
        clients[of_class] = np.repeat(np.arange(len(shares)), shares)
    return clients


def dealt(samples: int, held: Int[np.ndarray, " client"]) -> Int[np.ndarray, " client"]:
    """So many samples to clients, as they hold them, by largest remainders; evenly where nobody does.

    >>> dealt(10, np.array([6, 3, 3])), dealt(5, np.array([0, 0]))
    (array([5, 3, 2]), array([3, 2]))
    """
    held = held if held.sum() else np.ones_like(held)
    shares, remainders = np.divmod(samples * held, held.sum())
    left = samples - shares.sum()
    shares[np.argsort(-remainders, kind="stable")[:left]] += 1
    return shares


def evenly(
    samples: int, clients: Sequence[int] | Int[np.ndarray, " client"], seed: int
) -> Int[np.ndarray, " sample"]:
    """The client that each test sample is dealt to by chance, as many to each, or one more.

    So the share that is right is the accuracy to expect of any client's model on any sample.

    >>> np.bincount(evenly(7, [0, 2, 3], seed=0)).tolist()
    [3, 0, 2, 2]
    """
    turns = np.resize(np.array(clients, np.int64), samples)
    return stream(seed, "tested by").permutation(turns)
