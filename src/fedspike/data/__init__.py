"""Samples in memory, checked; nothing here but the partitions knows about clients."""

from fedspike.data.cameras import Cameras as Cameras
from fedspike.data.checking import Facts as Facts
from fedspike.data.checking import Split as Split
from fedspike.data.checking import check as check
from fedspike.data.checking import remarks as remarks
from fedspike.data.csv_table import CSVTable as CSVTable
from fedspike.data.dataset import Dataset as Dataset
from fedspike.data.events.cochlea import Cochlea as Cochlea
from fedspike.data.events.event_folder import EventFolder as EventFolder
from fedspike.data.events.tonic_sets import TonicSet as TonicSet
from fedspike.data.fashion_mnist import FashionMNIST as FashionMNIST
from fedspike.data.fashion_mnist import FashionMNISTSample as FashionMNISTSample
from fedspike.data.gtsrb import GTSRB as GTSRB
from fedspike.data.image_folder import ImageFolder as ImageFolder
from fedspike.data.layout import Layout as Layout
from fedspike.data.loading import SOURCES as SOURCES
from fedspike.data.loading import load_data as load_data
from fedspike.data.npz import NPZ as NPZ
from fedspike.data.npz import load_own as load_own
from fedspike.data.owners import Owners as Owners
from fedspike.data.signs import Signs as Signs
from fedspike.data.source import Source as Source
from fedspike.data.torchvision_sets import TorchvisionSet as TorchvisionSet
