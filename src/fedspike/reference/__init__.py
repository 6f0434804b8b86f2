"""The founding study written the way it reads: snnTorch modules, one client after another, plain loops.

This room is the oracle. It is never optimised and never deleted; the batched engine is held against it. It
shares with the engine only what must be the same for a comparison to mean anything: who holds what and who
sees what when (`devices`), the initial weights, the input spikes, and the algorithm.
"""

from fedspike.reference.loop import federated_learning as federated_learning
