"""How long a client takes; a file for each."""

from fedspike import part
from fedspike.federation.clocks.by_operations import ByOperations as ByOperations
from fedspike.federation.clocks.clock import Clock as Clock
from fedspike.federation.clocks.untimed import Untimed as Untimed

CLOCKS = part.kinds(Clock, vars(), usual=Untimed)
