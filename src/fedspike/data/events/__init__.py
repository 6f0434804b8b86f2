"""Recordings of events: of cameras that tell changes, and of artificial cochleas; a file for each source."""

from fedspike.data.events.event_source import Events as Events
from fedspike.data.events.event_source import EventSource as EventSource
