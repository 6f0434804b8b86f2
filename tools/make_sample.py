"""Make the sample of Fashion-MNIST that ships with the package: `python tools/make_sample.py`.

It takes the first 200 training and 50 test images of each class and keeps their order; no chance
is involved, so anybody gets the same content, whose SHA-256 fashion_mnist.py knows.
"""

import gzip
import struct
from pathlib import Path

import numpy as np

from fedspike.data import fashion_mnist

FOLDER = Path(fashion_mnist.__file__).with_name("fashion_mnist_sample")


def first_of_each_class(labels: np.ndarray, count: int) -> np.ndarray:
    """The indices of the first `count` samples of every class, in ascending order."""
    return np.sort(np.concatenate([np.flatnonzero(labels == c)[:count] for c in range(10)]))


def write(name: str, array: np.ndarray) -> None:
    """One gzipped IDX file of unsigned bytes, without a time, so that it can be made again."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    content = header + array.astype(np.uint8).tobytes()
    (FOLDER / f"{name}.gz").write_bytes(gzip.compress(content, 9, mtime=0))


if __name__ == "__main__":
    full = fashion_mnist.load()
    train = first_of_each_class(full.y_train, 200)
    test = first_of_each_class(full.y_test, 50)
    FOLDER.mkdir(exist_ok=True)
    write(fashion_mnist.X_TRAIN, np.rint(full.x_train[train] * 255))
    write(fashion_mnist.Y_TRAIN, full.y_train[train])
    write(fashion_mnist.X_TEST, np.rint(full.x_test[test] * 255))
    write(fashion_mnist.Y_TEST, full.y_test[test])
