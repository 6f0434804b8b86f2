"""From the name or the path that a user types to the data set."""

import os
from collections.abc import Callable
from pathlib import Path

from fedspike import part
from fedspike.data.csv_table import CSVTable as CSVTable
from fedspike.data.dataset import Dataset, ignore, warned
from fedspike.data.events.cochlea import Cochlea as Cochlea
from fedspike.data.events.event_folder import EventFolder as EventFolder
from fedspike.data.events.tonic_sets import TonicSet as TonicSet
from fedspike.data.fashion_mnist import FashionMNIST as FashionMNIST
from fedspike.data.fashion_mnist import FashionMNISTSample as FashionMNISTSample
from fedspike.data.gtsrb import GTSRB as GTSRB
from fedspike.data.image_folder import ImageFolder as ImageFolder
from fedspike.data.npz import NPZ as NPZ
from fedspike.data.signs import Signs as Signs
from fedspike.data.source import Source
from fedspike.data.torchvision_sets import TorchvisionSet as TorchvisionSet
from fedspike.errors import InputError
from fedspike.reading import nearest

SOURCES = part.kinds(Source, vars(), usual=FashionMNIST)


def source(name_or_path: str | Path | Source, data_dir: Path | None = None) -> Source:
    """The source of that kind, or of that .npz file, or this one; InputError where there is none.

    `data_dir` is the folder with the files of Fashion-MNIST.
    """
    if isinstance(name_or_path, Source):
        return name_or_path
    part.demand_fit(
        "data set",
        name_or_path,
        isinstance(name_or_path, str | Path),
        expected="a name or a path",
        fix='write load_data("fashion-mnist-sample")',
    )
    name_or_path = str(name_or_path)
    named = {
        part.tag(kind): kind
        for kind in SOURCES
        if not any(f.required for f in part.fields_of(kind))
    }
    if data_dir is not None:
        if named.get(name_or_path) is FashionMNIST:
            return FashionMNIST(str(data_dir))
        raise InputError(
            f"data_dir = {data_dir} together with the data set {name_or_path}",
            expected=f"data_dir only with {part.tag(FashionMNIST)}",
            fix="leave data_dir out",
        )
    if name_or_path in named:
        return named[name_or_path]()
    if name_or_path.endswith(".npz") or os.sep in name_or_path:
        return NPZ(name_or_path)
    raise InputError(
        f"data set {name_or_path!r}",
        expected=f"{', '.join(named)}, or the path of an .npz file; other data are said in a .toml file",
        fix=nearest(name_or_path, named, otherwise="choose one of these"),
    )


def load_data(
    name_or_path: str | Path | Source,
    *,
    data_dir: Path | None = None,
    say: Callable[[str], None] = ignore,
) -> Dataset:
    """The data set of that name, or in that .npz file; InputError if it is not there or not sound.

    >>> load_data("fashion-mnist-sample").x_train.shape
    (2000, 28, 28)
    """
    return warned(source(name_or_path, data_dir).load(say))
