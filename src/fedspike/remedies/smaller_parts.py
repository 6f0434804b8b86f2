"""Devices with little memory go through a minibatch in parts, and add their gradients up.

    sum over the parts p of n_p/n times the gradient of p's mean loss = the gradient of the mean loss

Of backpropagation a step keeps what the samples did that are in memory together. In parts it keeps less, and
does nothing twice, as it would where activations are made again (Chen, Xu, Zhang, Guestrin, "Training Deep
Nets with Sublinear Memory Cost", 2016). The sum is known as gradient accumulation; nobody's idea.
"""

from typing import Annotated, ClassVar

from msgspec import Meta

from fedspike.algorithms import Algorithm, Changed
from fedspike.learning import Learner, Together
from fedspike.remedies.by_client import ByClient


class SmallerParts(ByClient, tag="smaller-parts"):
    """Client k has `samples[k mod n]` samples of a minibatch in memory together, in backpropagation.

    Where devices have a `fleet.memory_kb`, each has the first of these that fits.
    """

    samples: Annotated[
        tuple[Together, ...],
        Meta(min_length=1, max_length=10**6, description="in turn for clients 0, 1, 2, ..."),
    ] = ("all", 32, 8)

    listed: ClassVar[str] = "samples"

    def over(self, algorithm: Algorithm) -> Algorithm:
        """For any algorithm."""
        return _InParts(algorithm, self.samples)


class _InParts(Changed):
    samples: tuple[Together, ...]

    def learner(self, learner: Learner, client: int) -> Learner:
        return self.algorithm.learner(learner, client).in_parts(self._of(client))

    def own_size(self, client: int) -> str:
        samples = self._of(client)
        return "" if samples == "all" else f"{samples} at once"

    def _of(self, client: int) -> Together:
        return self.samples[client % len(self.samples)]
