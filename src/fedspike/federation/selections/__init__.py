"""Who of those that are there is asked in a round; a file for each."""

from fedspike import part
from fedspike.federation.selections.power_of_choice import PowerOfChoice as PowerOfChoice
from fedspike.federation.selections.selection import Selection as Selection
from fedspike.federation.selections.uniform import Uniform as Uniform
from fedspike.federation.selections.weighted import Weighted as Weighted

SELECTIONS = part.kinds(Selection, vars(), usual=Uniform)
