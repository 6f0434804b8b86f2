"""From what the output layer did over time to one score per class.

| read-out | the output layer | score of a class | loss |
|---|---|---|---|
| `SpikeCount` | fires | its spikes | `SpikeCountMSE` or `CrossEntropy` |
| `MeanMembrane` | only leaks and adds | its mean membrane | `CrossEntropy` |
| `MembraneSum` | only leaks and adds | the sum of its membranes | `CrossEntropy` |
| `FirstSpike` | fires | minus the time of its first spike | `CrossEntropy` |

The class with the highest score is the answer.
"""

from typing import ClassVar

from fedspike.errors import InputError
from fedspike.part import Part, abstractmethod
from fedspike.parts.tensors import Now, Output, Scores


class ReadOut(Part):
    """What makes scores; `spiking` says whether the output layer fires, or else only leaks and adds.

    `counts` says whether the scores are spike counts.
    """

    spiking: ClassVar[bool] = True
    counts: ClassVar[bool] = False

    @abstractmethod
    def scores(self, flow: Output) -> Scores:
        """Scores of the output layer's spikes or membranes: [client, batch, class]."""

    def share(self, flow: Now, step: int, time_steps: int) -> Scores:
        """What a step adds to the scores, where these are a sum over the steps."""
        del flow, step, time_steps
        raise InputError(
            f"{type(self).__name__}, whose scores are no sum over the time steps",
            expected="a read-out to which every step adds its share, for whoever learns step by step",
            fix="take SpikeCount, MeanMembrane or MembraneSum, or learn by backpropagation",
            keys=("learner", "read_out"),
        )
