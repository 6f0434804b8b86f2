"""Cross-entropy with distillation of what a client has no samples of.

    L = CE(z + log p, y)  +  theta sum over c of p_c log((1/B) sum over i of exp(s_ic))  +  lambda KL
    s_ic = z_ic - log p_c + log(1/C),  and 0 where c is the label y_i
    KL   = (1/B) sum over i of sum over vacant c of q_ic (log q_ic - log r_ic)

p are the shares of the C classes in the client's samples; a class is vacant where p_c = 0. q and r are the
softmax over the vacant classes, of the received model's scores and of the model's. The first term is the
calibrated cross-entropy; the second makes the scores of classes small for samples of others; the third keeps
what the received model says of the vacant ones.

Sources: Guo et al., "Exploring Vacant Classes in Label-Skewed Federated Learning" (FedVLS), AAAI 2025; Yu et
al., "Exploiting Label Skewness for Spiking Neural Networks in Federated Learning" (FedLEC), IJCAI 2025. The
loss is that of their implementations (github.com/krumpguo/FedVLS, github.com/AmazingDD/FedLEC), the same in
both, with FedLEC's theta and lambda; log p is at least log 1e-9. Where a learner takes a minibatch in parts,
the second term is of each part.
"""

import math
from typing import Annotated

import torch
from msgspec import Meta

from fedspike.parts.losses.calibrated_cross_entropy import log_prior
from fedspike.parts.losses.cross_entropy import CrossEntropy
from fedspike.parts.losses.loss import Calibration, mean
from fedspike.parts.sums import total
from fedspike.parts.tensors import Held, Labels, PerClient, Present, Scores

OUT = -1e9  # a score that is left out of a softmax; infinite ones would make no number of nothing


class VacantClasses(CrossEntropy, tag="vacant-classes"):
    """Calibrated cross-entropy that keeps what the received model says of classes that the client lacks."""

    distillation: Annotated[float, Meta(ge=0, description="lambda")] = 0.1
    suppression: Annotated[float, Meta(ge=0, description="theta")] = 0.005

    def calibration(self, held: Held) -> Calibration:
        """log p is added to the scores."""
        return Calibration(torch.ones_like(held), log_prior(held))

    def penalty(
        self, scores: Scores, received: Scores, labels: Labels, present: Present, held: Held
    ) -> PerClient:
        """The second and the third term."""
        suppressed = self._suppressed(scores, labels, present, held)
        vacant = (held == 0).unsqueeze(1)
        log_q, log_r = (
            torch.log_softmax(z.masked_fill(~vacant, OUT), 2) for z in (received, scores)
        )
        divergence = total(vacant * log_q.exp() * (log_q - log_r), 2)
        return self.suppression * suppressed + self.distillation * mean(divergence, present)

    def _suppressed(
        self, scores: Scores, labels: Labels, present: Present, held: Held
    ) -> PerClient:
        """The sum of the second term."""
        p = held / held.sum(1, keepdim=True).clamp(min=1)
        s = scores - log_prior(held).unsqueeze(1) - math.log(scores.shape[2])
        s = s.scatter(2, labels.unsqueeze(2), 0.0).masked_fill(~present.unsqueeze(2), OUT)
        largest = s.detach().amax(1)
        sums = total((s - largest.unsqueeze(1)).exp(), 1).log() + largest
        samples = present.sum(1, keepdim=True).clamp(min=1)
        return total(p * (sums - samples.to(sums).log()), 1) * present.any(1)
