"""Where samples come from."""

from collections.abc import Callable

from fedspike.data.dataset import Dataset, ignore
from fedspike.part import Part, abstractmethod


class Source(Part):
    """A description of a data set, which is read when it is needed."""

    @abstractmethod
    def load(self, say: Callable[[str], None] = ignore) -> Dataset:
        """The data set, checked; `say` hears each place that is tried. InputError where it cannot be had."""
