"""Devices with little memory learn online, step by step, while the others have the experiment's learner.

Both kinds make gradients of the same loss for the same weights, which the same optimiser follows: OTTT's and
e-prop's are estimates of those of backpropagation, see `learning/online.py`. What they save of memory there
is where a backward pass through time keeps floats: in plain torch. Where the kernels take a network in one
pass, backpropagation needs less, see docs/local-learning.md.

No source; this is ours.
"""

from typing import Annotated, ClassVar

from msgspec import Meta

from fedspike.algorithms import Algorithm, Changed
from fedspike.errors import InputError
from fedspike.learning import LEARNERS, OTTT, Backpropagation, Learner, Minibatches, Online
from fedspike.networks import SizedNetwork
from fedspike.part import tag
from fedspike.remedies.by_client import ByClient

OWN = "own"
ONLINE = {tag(kind): kind for kind in LEARNERS if issubclass(kind, Online)}


class MixedLearners(ByClient, tag="mixed-learners"):
    """Client k learns by `learners[k mod n]`, online or by the experiment's own learner.

    Loss, optimiser, epochs and minibatches are those of that one for all. Where devices have a
    `fleet.memory_kb`, each has the first of these that fits. A network without time has that one alone.
    """

    learners: Annotated[
        tuple[str, ...],
        Meta(
            min_length=1,
            max_length=10**6,
            description=f"one of {', '.join((OWN, *ONLINE))}, in turn for clients 0, 1, 2, ...",
        ),
    ] = (OWN, tag(OTTT))

    listed: ClassVar[str] = "learners"

    def check(self) -> None:
        """Raise InputError for a learner that is not online."""
        if unknown := [name for name in self.learners if name not in (OWN, *ONLINE)]:
            raise InputError(
                f"{type(self).__name__}: learners = {unknown[0]}",
                expected=f"names of {', '.join((OWN, *ONLINE))}",
                fix="take one of these, or leave it out",
                keys=("learners",),
            )

    def over(self, algorithm: Algorithm) -> Algorithm:
        """For any algorithm."""
        return _Mixed(algorithm, self.learners)


class _Mixed(Changed):
    learners: tuple[str, ...]

    def fitted(self, network: SizedNetwork) -> Algorithm:
        if network.code is None or {*self.learners} == {OWN}:
            return self.algorithm.fitted(network)
        unfit = [n for n in self.learners if n != OWN and not ONLINE[n].takes_comparisons]
        if self.algorithm.models_compared and unfit:
            raise InputError(
                f"{self.kind} with mixed-learners, {unfit[0]} among them",
                expected="a learner with the gradient of what enters the last layer, on all devices",
                fix=f'leave the remedy out, or set learners = ["{OWN}"]',
                keys=("learners", "remedies"),
            )
        return super().fitted(network)

    def learner(self, learner: Learner, client: int) -> Learner:
        """Raises InputError where the experiment's learner has no minibatches, whose settings it takes."""
        own, kind = self.algorithm.learner(learner, client), self._of(client)
        if kind == OWN:
            return own
        if not isinstance(own, Minibatches):
            raise InputError(
                f"{kind} beside the learner {own.kind}",
                expected="a learner with a loss, an optimiser and minibatches, which both have alike",
                fix=f'set learner.kind = "{tag(Backpropagation)}"',
                keys=("learners", "learner"),
            )
        alike = {name: getattr(own, name) for name in Minibatches.__struct_fields__}
        return ONLINE[kind](**alike)

    def own_size(self, client: int) -> str:
        kind = self._of(client)
        return "" if kind == OWN else kind

    def _of(self, client: int) -> str:
        return self.learners[client % len(self.learners)]
