"""Power-of-Choice: of a few clients drawn by their data, those with the largest losses.

    1. d candidates are drawn without replacement, with p_k = n_k / n
    2. the server looks up their losses
    3. the m candidates with the largest losses are asked

Source: Cho, Wang, Joshi, "Towards Understanding Biased Client Selection in Federated Learning", AISTATS 2022
(first as arXiv:2010.01243, 2020). In step 2 this is their pi_rpow-d, which costs no traffic and no work: the
loss is the one that the client said when it last trained, the mean over its steps, and that of a client that
never did is infinite. The paper averages the answers with equal weights, `rule.by = "clients"`.
"""

from typing import Annotated

import numpy as np
from jaxtyping import Int64
from msgspec import Meta

from fedspike.errors import InputError
from fedspike.federation.selections.selection import Selection, There
from fedspike.federation.selections.weighted import Weighted


class PowerOfChoice(Selection, tag="power-of-choice"):
    """Of d candidates, drawn by their samples, the clients with the largest last losses.

    With as many candidates as are asked it is selection by data alone. The more candidates, the faster it
    learns at first and the more it is biased towards clients with large losses.
    """

    candidates: Annotated[
        int, Meta(ge=1, lt=2**31, description="d, from those asked in a round to all clients")
    ]

    @property
    def by_loss(self) -> bool:
        """It is."""
        return True

    def demand(self, asked: int, clients: int) -> None:
        """Raise InputError where d is below m, or above all clients."""
        if not asked <= self.candidates <= clients:
            raise InputError(
                f"candidates = {self.candidates}, of which {asked} of {clients} clients are asked",
                expected=f"a whole number from {asked} to {clients}",
                fix=f"set candidates = {min(clients, 2 * asked)}",
                keys=("candidates", "clients_per_round"),
            )

    def select(
        self, there: There, wanted: int, generator: np.random.Generator
    ) -> Int64[np.ndarray, " wanted"]:
        """The m largest; of equal losses who was drawn first."""
        drawn = there.clients
        if self.candidates < len(drawn):
            drawn = Weighted().select(there, self.candidates, generator)
        else:
            drawn = generator.permutation(drawn)
        loss = np.array([there.losses.get(client, np.inf) for client in drawn.tolist()])
        return drawn[np.argsort(-loss, kind="stable")[:wanted]]
