"""The tensors that go from part to part, by what they hold; every client has a place of its own in each."""

from jaxtyping import Bool, Float, Int64, Real
from torch import Tensor

Frames = Real[Tensor, "client batch *time pixel"]
"""Samples, still or as a frame for each time step, or trains of spikes as bits of whole numbers."""
Trains = Float[Tensor, "time client batch input"]
"""What a code lets in: spikes, 0.0 and 1.0, or numbers."""
Flow = Float[Tensor, "time client batch neuron"]
"""Currents into neurons, their membranes, their spikes."""
Winners = Int64[Tensor, "client batch time"]
"""Which neuron of a layer that competes fired at each step, -1 for none."""
Now = Float[Tensor, "client batch neuron"]
"""The same at one time step: currents, membranes, spikes, pixels as they enter."""
Output = Float[Tensor, "time client batch class"]
"""Spikes or membranes of the last layer."""
Scores = Float[Tensor, "client batch class"]
Representations = Float[Tensor, "client batch value"]
"""What enters the last layer of a network; of one with time the mean over its steps."""
Labels = Int64[Tensor, "client batch"]
Positions = Int64[Tensor, "client batch"]
"""Which samples of a data set a batch is made of; -1 where it is padded."""
Present = Bool[Tensor, "client batch"]
"""Where a batch is not padded."""
PerClient = Float[Tensor, " client"]
Held = Float[Tensor, "client class"]
"""How many samples of each class a client is shown in an epoch of the round."""
Counts = Int64[Tensor, " client"]
