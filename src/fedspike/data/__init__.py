"""A name or a path becomes arrays in memory, checked; nothing here knows about clients."""

from fedspike.data.checking import Facts, Split, check
from fedspike.data.dataset import Dataset
from fedspike.data.loading import load
from fedspike.data.npz import load_own

__all__ = ["Dataset", "Facts", "Split", "check", "load", "load_own"]
