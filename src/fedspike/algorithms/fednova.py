"""FedNova: updates count by the step, so that clients that make more steps do not pull harder.

    on client k:   u_k = (w_k - w) / t_k                        t_k local steps
    on the server: w <- w + t sum over k of (n_k / n) u_k,      t = sum over k of (n_k / n) t_k

Source: Wang, Liu, Liang, Joshi, Poor, "Tackling the Objective Inconsistency Problem in Heterogeneous
Federated Optimization", NeurIPS 2020, Eqs. 8 and 13, with plain SGD's a_k = (1, ..., 1). With another local
optimiser the steps stand for its |a_k|.
"""

from collections.abc import Mapping

from fedspike.algorithms.algorithm import Algorithm, Client, LocalModel, Tree, added, difference
from fedspike.rules import Mean, Rule

MOST_STEPS = 2.0**32  # of any client; who says more would make the model infinite


class FedNova(Algorithm, tag="fednova", kw_only=True):
    """FedAvg of the updates per step. Where all clients make as many steps it is FedAvg."""

    rule: Rule = Mean()

    def joining(self) -> Mapping[str, Rule]:
        """The updates per step, and the steps."""
        return {"update": self.rule, "steps": Mean()}

    def next_state(self, server: Tree, joined: Tree, participation: float) -> Tree:
        """The server's equation."""
        del participation
        steps = min(max(float(joined["steps"]["steps"]), 0.0), MOST_STEPS)
        return {"model": added(server["model"], joined["update"], steps)}

    def answer(self, client: Client, trained: LocalModel) -> tuple[Tree, Tree]:
        """The client's equation, and its steps."""
        change = difference(trained.parameters, client.received["model"])
        update = {
            name: d / trained.steps.clamp(min=1).reshape(-1, *[1] * (d.dim() - 1))
            for name, d in change.items()
        }
        like = next(iter(change.values()))
        steps = {"steps": trained.steps.to(like).reshape(-1, 1)}
        return {"update": update, "steps": steps}, client.memory
