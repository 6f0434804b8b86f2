"""What competing neurons stand for, made of the responses of all clients to one model.

    m_c,j = mean response of neuron j to the samples of class c, over all clients

    assigned     w_c,j = 1 / (neurons of class c) if m_c,j is the largest of j, else 0
    share        w_c,j = m_c,j / (sum over classes of m_c,j)

Sources: Diehl, Cook, "Unsupervised learning of digit recognition using spike-timing-dependent plasticity",
Frontiers in Computational Neuroscience 9, 2015; shares are the "proportion weighting" of Hazan et al.,
"BindsNET", Frontiers in Neuroinformatics 12, 2018.
"""

from dataclasses import dataclass

import torch

from fedspike.networks import Parameters
from fedspike.parts.plasticity import Plasticity

RECEIVED = "received."
"""What the names of a received model begin with, where clients train other tensors than these."""


@dataclass(frozen=True)
class Labels:
    """How the output layer of competing neurons follows from responses; `hard` is one class a neuron."""

    inner: str
    outer: str
    plasticity: Plasticity
    hard: bool

    def nothing(self, model: Parameters) -> Parameters:
        """Responses of nobody: the sum of those to each class, and the samples of each class, over all."""
        weight = model[f"{self.outer}.weight"]
        response, share = torch.zeros_like(weight), torch.zeros_like(weight[..., 0])
        return {f"{self.outer}.response": response, f"{self.outer}.share": share}

    def settled(self, model: Parameters) -> Parameters:
        """The model as competing neurons learn from it."""
        return settled(self.plasticity, self.inner, model)

    def labelled(self, model: Parameters, responses: Parameters) -> Parameters:
        """The model with the output layer of the responses to it."""
        weight, bias = f"{self.outer}.weight", f"{self.outer}.bias"
        return model | {
            weight: self._weights(responses).to(model[weight].dtype),
            bias: torch.zeros_like(model[bias]),
        }

    def _weights(self, responses: Parameters) -> torch.Tensor:
        sums, share = (responses[f"{self.outer}.{name}"].double() for name in ("response", "share"))
        mean = sums / share.masked_fill(share == 0, 1.0).unsqueeze(1)
        if not self.hard:
            all_classes = mean.sum(0)
            return mean / all_classes.masked_fill(all_classes == 0, 1.0)
        theirs = torch.zeros_like(mean).scatter_(0, mean.argmax(0, keepdim=True), 1.0)
        theirs *= mean.amax(0) > 0  # a neuron that never fires stands for nothing
        return theirs / theirs.sum(1, keepdim=True).clamp(min=1)


def settled(plasticity: Plasticity, inner: str, model: Parameters) -> Parameters:
    """The model with the weights of the inner layer as its rule has them, and no bias."""
    weight, bias = f"{inner}.weight", f"{inner}.bias"
    return model | {
        weight: plasticity.settled(model[weight]),
        bias: torch.zeros_like(model[bias]),
    }
