"""From a start and a device's samples to a trained model: a file for each learner."""

from fedspike import part
from fedspike.learning.backpropagation import Backpropagation as Backpropagation
from fedspike.learning.learner import Correction as Correction
from fedspike.learning.learner import Learner as Learner
from fedspike.learning.learner import Shown as Shown
from fedspike.learning.learner import Trained as Trained

LEARNERS = part.kinds(Learner, vars(), usual=Backpropagation)
