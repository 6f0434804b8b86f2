"""From a start and a device's samples to a trained model: a file for each learner."""

from fedspike import part
from fedspike.learning.backpropagation import Backpropagation as Backpropagation
from fedspike.learning.comparison import Comparison as Comparison
from fedspike.learning.eprop import EProp as EProp
from fedspike.learning.labels import RECEIVED as RECEIVED
from fedspike.learning.labels import Labels as Labels
from fedspike.learning.learner import Correction as Correction
from fedspike.learning.learner import Learner as Learner
from fedspike.learning.learner import Shown as Shown
from fedspike.learning.learner import Together as Together
from fedspike.learning.learner import Trained as Trained
from fedspike.learning.learner import uncorrected as uncorrected
from fedspike.learning.minibatches import Minibatches as Minibatches
from fedspike.learning.online import Online as Online
from fedspike.learning.ottt import OTTT as OTTT
from fedspike.learning.stdp import STDP as STDP

LEARNERS = part.kinds(Learner, vars(), usual=Backpropagation)
