"""Who is there in a round; a file for each."""

from fedspike import part
from fedspike.federation.availabilities.always import Always as Always
from fedspike.federation.availabilities.availability import Availability as Availability
from fedspike.federation.availabilities.availability import Moment as Moment
from fedspike.federation.availabilities.by_class import ByClass as ByClass
from fedspike.federation.availabilities.daily import Daily as Daily
from fedspike.federation.availabilities.trace import Trace as Trace

AVAILABILITIES = part.kinds(Availability, vars(), usual=Always)
