"""Samples in memory, checked; nothing here but the partitions knows about clients."""

from fedspike.data.arrays import from_arrays
from fedspike.data.checking import Facts, Split, check
from fedspike.data.dataset import Dataset
from fedspike.data.fashion_mnist import FashionMNIST, FashionMNISTSample
from fedspike.data.loading import SOURCES, load
from fedspike.data.npz import NPZ, load_own
from fedspike.data.source import Source

__all__ = [
    "NPZ",
    "SOURCES",
    "Dataset",
    "Facts",
    "FashionMNIST",
    "FashionMNISTSample",
    "Source",
    "Split",
    "check",
    "from_arrays",
    "load",
    "load_own",
]
