"""Devices with little memory train in fewer time steps.

    client k sees a sample for T_k of the T steps
    decays "same"       beta_k = beta                   as if it was shown for a shorter time
    decays "longer"     beta_k = beta^(T/T_k)           as if its steps were longer, all fades as fast

with every other decay as beta. Output membranes that are read get currents so much larger that a constant one
has the same score as in T steps, which is the mean membrane. A code has as many spikes as it makes in T_k
steps, and a loss of spike counts the targets of T_k steps. All clients train all weights.

No source; this is ours, and so is the choice of the default: with longer steps neurons that fire do so less
in each step, because more of a membrane fades before they do, and the next layer lives of spikes per step.
What came of each stands in docs/configuration.md.
"""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta
from msgspec.structs import replace

from fedspike.algorithms import Algorithm, Changed
from fedspike.networks import SizedNetwork
from fedspike.remedies.by_client import ByClient

Steps = Annotated[int, Meta(ge=1)]


class FewerSteps(ByClient, tag="fewer-steps"):
    """Client k trains in `steps[k mod n]` time steps.

    Where devices have a `fleet.memory_kb`, each trains in the most of these that fit. A network without time
    is trained as it is.
    """

    steps: Annotated[
        tuple[Steps, ...],
        Meta(min_length=1, max_length=10**6, description="T_k, in turn for clients 0, 1, 2, ..."),
    ]
    decays: Annotated[
        Literal["same", "longer"],
        Meta(
            description="of neurons in fewer steps: as they were, or those of steps so much longer"
        ),
    ] = "same"

    listed: ClassVar[str] = "steps"

    def over(self, algorithm: Algorithm) -> Algorithm:
        """For any algorithm."""
        return _Fewer(algorithm, self.steps, self.decays == "longer")


class _Fewer(Changed):
    steps: tuple[Steps, ...]
    longer: bool
    most: int = 0

    def fitted(self, network: SizedNetwork) -> Algorithm:
        """Raises InputError where the network cannot have so many time steps."""
        algorithm, T = self.algorithm.fitted(network), network.time_steps
        for steps in dict.fromkeys(self.steps):
            network.in_steps(steps, longer=self.longer)
        if network.code is None or {*self.steps} == {T}:
            return algorithm
        return replace(self, algorithm=algorithm, most=T)

    def sub_network(self, network: SizedNetwork, client: int) -> SizedNetwork:
        whole = self.algorithm.sub_network(network, client)
        return whole.in_steps(self._of(client), longer=self.longer)

    def own_size(self, client: int) -> str:
        steps = self._of(client)
        return "" if steps == self.most else f"{steps} steps"

    def _of(self, client: int) -> int:
        return self.steps[client % len(self.steps)]
