"""A name or a path becomes arrays in memory, checked; nothing here knows about clients."""

from fedspike.datasets.checking import Facts, Split, check
from fedspike.datasets.dataset import Dataset
from fedspike.datasets.loading import load
from fedspike.datasets.npz import load_own

__all__ = ["Dataset", "Facts", "Split", "check", "load", "load_own"]
