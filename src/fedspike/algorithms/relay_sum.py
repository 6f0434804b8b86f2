"""RelaySum: sums of models are relayed over a tree, so that each client's model reaches everybody once.

    on client i:             x_i <- local training from x_i
    to each neighbour j:     m_ij' = x_i + sum over k of m_ki,    c_ij' = 1 + sum over k of c_ki
                             k: the neighbours of i but j; m, c: what came in the round before, at first 0
    from its neighbours j:   x_i <- (1 / n) ((n - sum over j of c_ji') x_i + sum over j of m_ji')

So x_i becomes the mean of all clients' models, that of one at distance d being of d - 1 rounds ago. For
what has not come yet, in the first rounds, a client takes its own model. Where one is away, the messages over
its links are 0, and so are their counts: what it would have relayed is missing until it has come again.

Source: Vogels, He, Koloskova, Karimireddy, Lin, Stich, Jaggi, "RelaySum for Decentralized Deep Learning on
Heterogeneous Data", NeurIPS 2021, Algorithm 1 (RelaySGD), in the form of the authors' code (its README; lost
messages as in its `RelayMechanism`). The paper makes one step in a round. FLSNN (Yang, Wang, Cai, Shi, Jiang,
Kuang, arXiv 2501.15995) has it as Eq. 8.
"""

from collections.abc import Collection

import torch
from jaxtyping import Float64, Int64, Num
from msgspec.structs import replace
from torch import Tensor

from fedspike.algorithms.algorithm import Algorithm, Tree, zeros
from fedspike.algorithms.decentralised import MODELS, Decentralised
from fedspike.algorithms.graphs import FleetGraph
from fedspike.networks import Parameters

MESSAGES, COUNTS = "messages", "counts"  # groups of the server's state: [link and way, ...]
COUNT_BYTES = 4


class RelaySum(Decentralised, tag="relay-sum", kw_only=True):
    """No server: over a tree each client relays the sum of the models behind it, and how many these are.

    Of a graph that is no tree only the links of a spanning tree are used, of shortest ways from its centre.
    """

    def on(self, graph: FleetGraph) -> Algorithm:
        """On the spanning tree."""
        return replace(self, graph=graph.spanning_tree())

    def carried(
        self, client: int, there: Collection[int], received: int, sent: int
    ) -> tuple[int, int]:
        """A sum of models and a count each way over each link."""
        return super().carried(client, there, received, sent + COUNT_BYTES)

    def start(self, model: Parameters) -> Tree:
        """Nothing has come yet."""
        ways = 2 * len(self.fleet_graph.pairs)
        messages = {n: w.expand(ways, *w.shape) for n, w in zeros(model).items()}
        counts = {"models": torch.zeros(ways, dtype=torch.int64)}
        return {**super().start(model), MESSAGES: messages, COUNTS: counts}

    def exchanged(self, server: Tree, models: Parameters, there: list[int]) -> Tree:
        """The second and the third equation; of who is away no message, and to nobody who is."""
        carries = torch.isin(self._ways(), torch.tensor(there, dtype=torch.int64)).all(0).double()
        one = torch.ones(self.fleet_graph.clients, dtype=torch.float64)
        c = carries * self._relayed(one, server[COUNTS]["models"])
        n, own = self.fleet_graph.clients, self.fleet_graph.clients - self._heard(c)
        messages, after = {}, {}
        for name, x in models.items():
            before = server[MESSAGES][name]
            m = _along(carries, x) * self._relayed(x, before)
            mean = (_along(own, x) * x + self._heard(m)) / n
            messages[name] = m.to(before.dtype)
            after[name] = mean.to(server[MODELS][name].dtype)
        return {MODELS: after, MESSAGES: messages, COUNTS: {"models": c.long()}}

    def _ways(self) -> Int64[Tensor, "end way"]:
        """From whom each message goes, and to whom: over all links one way, then over all the other."""
        pairs = torch.tensor(self.fleet_graph.pairs, dtype=torch.int64).reshape(-1, 2).T
        return torch.cat([pairs, pairs.flip(0)], 1)

    def _heard(self, messages: Float64[Tensor, "way *shape"]) -> Float64[Tensor, "client *shape"]:
        """The sum of what each client was sent."""
        nothing = messages.new_zeros(self.fleet_graph.clients, *messages.shape[1:])
        return nothing.index_add(0, self._ways()[1], messages)

    def _relayed(
        self, own: Float64[Tensor, "client *shape"], messages: Num[Tensor, "way *shape"]
    ) -> Float64[Tensor, "way *shape"]:
        """What each client has to say itself, and what it heard, but from the one to whom it says it."""
        sender, messages = self._ways()[0], messages.double()
        back = messages.roll(len(messages) // 2, 0)
        return own[sender] + (self._heard(messages)[sender] - back)


def _along(factors: Float64[Tensor, " row"], rows: Tensor) -> Tensor:
    """The factors, so that they multiply whole rows."""
    return factors.reshape(-1, *[1] * (rows.dim() - 1))
