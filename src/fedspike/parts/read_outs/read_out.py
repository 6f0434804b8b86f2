"""From what the output layer did over time to one score per class.

| read-out | the output layer | score of a class | loss |
|---|---|---|---|
| `SpikeCount` | fires | its spikes | `SpikeCountMSE` or `CrossEntropy` |
| `MeanMembrane` | only leaks and adds | its mean membrane | `CrossEntropy` |
| `FirstSpike` | fires | minus the time of its first spike | `CrossEntropy` |

The class with the highest score is the answer.
"""

from typing import ClassVar

from fedspike.part import Part, abstractmethod
from fedspike.parts.tensors import Output, Scores


class ReadOut(Part):
    """What makes scores; `spiking` says whether the output layer fires, or else only leaks and adds.

    `counts` says whether the scores are spike counts.
    """

    spiking: ClassVar[bool] = True
    counts: ClassVar[bool] = False

    @abstractmethod
    def scores(self, flow: Output) -> Scores:
        """Scores of the output layer's spikes or membranes: [client, batch, class]."""
