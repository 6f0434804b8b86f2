"""Learning rates over the rounds: a file for each."""

from fedspike import part
from fedspike.parts.schedules.constant import Constant as Constant
from fedspike.parts.schedules.cosine import Cosine as Cosine
from fedspike.parts.schedules.exponential import Exponential as Exponential
from fedspike.parts.schedules.schedule import Schedule as Schedule

SCHEDULES = part.kinds(Schedule, vars(), usual=Constant)
