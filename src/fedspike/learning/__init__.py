"""From a start and a device's samples to a trained model: a file for each learner."""

from fedspike.learning.backpropagation import Backpropagation
from fedspike.learning.learner import Correction, Learner, Shown, Trained

LEARNERS: tuple[type[Learner], ...] = (Backpropagation,)

__all__ = ["LEARNERS", "Backpropagation", "Correction", "Learner", "Shown", "Trained"]
