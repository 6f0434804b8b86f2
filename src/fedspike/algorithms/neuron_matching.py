"""Neurons are matched before they are averaged.

A neuron's place in its layer means nothing: what one client learned in the third, another has in the ninth.
So each client's neurons are first put in the order of the others', by the assignment that makes the cosines
between incoming weights largest in all (the Hungarian method), and then averaged, all clients alike.

    pi_k = argmax over permutations of sum over j of cos(m_j, w_k,pi(j)),    m <- mean of the matched so far
    w_j = mean over k of w_k,pi_k(j)

Source: Singh, Jaggi, "Model Fusion via Optimal Transport", NeurIPS 2020, for models of one size, which aligns
by a transport plan; Wang et al., "Federated Learning with Matched Averaging", ICLR 2020, lets the model grow.
"""

import torch

from fedspike.algorithms.algorithm import Tree
from fedspike.algorithms.neurons import OverNeurons, chosen, directions, layers


class NeuronMatching(OverNeurons, tag="neuron-matching"):
    """Averages hidden neurons that are alike, wherever clients have them; takes one hidden layer."""

    def next_state(self, server: Tree, joined: Tree, participation: float) -> Tree:
        """The equations, one client after the other."""
        del participation
        trained = {name: server["model"][name] + u for name, u in joined["update"].items()}
        hidden, _ = layers(trained)
        weight = f"{hidden}.weight"
        total = {name: tensor[0].double() for name, tensor in trained.items()}
        for k in range(1, len(trained[weight])):
            own = {name: tensor[k].double() for name, tensor in trained.items()}
            order = _assignment(directions(total[weight]) @ directions(own[weight]).T)
            matched = chosen(own, order)
            total = {name: tensor + matched[name] for name, tensor in total.items()}
        clients = len(trained[weight])
        return {"model": {n: (t / clients).to(trained[n].dtype) for n, t in total.items()}}


def _assignment(gain: torch.Tensor) -> torch.Tensor:
    """For each row the column that is assigned to it, so that the gains are largest in all."""
    # SciPy takes a while to import, and only this needs it.
    from scipy.optimize import linear_sum_assignment

    return torch.from_numpy(linear_sum_assignment(gain.numpy(), maximize=True)[1])
