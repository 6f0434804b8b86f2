"""FedRep: each client keeps its last layers, and trains them before the others.

    on client k:   v_k <- training of v_k alone, with the received w
                   w_k <- training of w alone, with the new v_k

Source: Collins, Hassani, Mokhtari, Shakkottai, "Exploiting Shared Representations for Personalized Federated
Learning", ICML 2021, Algorithm 1. Both trainings take all epochs of the learner, so a round costs twice as
much; the paper's have numbers of steps of their own.
"""

from fedspike.algorithms.algorithm import Client
from fedspike.algorithms.fedper import FedPer
from fedspike.networks import Parameters


class FedRep(FedPer, tag="fedrep", kw_only=True):
    """FedPer whose clients train their own layers first, and then the shared ones."""

    @property
    def trainings(self) -> int:
        """Of the client's own layers, and of the shared ones."""
        return 2

    def begin(self, client: Client) -> Parameters:
        """As received and remembered, then with the client's own layers trained."""
        return client.trained[0] if client.trained else super().begin(client)

    def correct(self, gradients: Parameters, parameters: Parameters, client: Client) -> Parameters:
        """Of the layers that are trained."""
        del parameters
        own, shared_next = client.memory["own"], bool(client.trained)
        return {name: g for name, g in gradients.items() if (name in own) != shared_next}
