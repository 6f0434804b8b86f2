"""From the name a user types to the data set."""

import difflib
import os
from collections.abc import Callable
from pathlib import Path

from fedspike.data import fashion_mnist, npz
from fedspike.data.dataset import Dataset, ignore
from fedspike.errors import InputError

NAMES = (fashion_mnist.NAME, fashion_mnist.SAMPLE)


def load(
    name_or_path: str,
    *,
    data_dir: Path | None = None,
    say: Callable[[str], None] = ignore,
) -> Dataset:
    """The data set of that name, or in that .npz file; InputError if it is not there or not sound.

    `data_dir` is the folder with the files of "fashion-mnist"; then they are taken from there or
    not at all. `say` hears each place that is tried.

    >>> load("fashion-mnist-sample").x_train.shape
    (2000, 28, 28)
    """
    if name_or_path == fashion_mnist.NAME:
        return fashion_mnist.load(data_dir=data_dir, say=say)
    if data_dir is not None:
        raise InputError(
            f"data_dir = {data_dir} together with the data set {name_or_path}",
            expected=f"data_dir only with {fashion_mnist.NAME}",
            fix="leave data_dir out",
        )
    if name_or_path == fashion_mnist.SAMPLE:
        return fashion_mnist.load_sample()
    if name_or_path.endswith(".npz") or os.sep in name_or_path:
        return npz.load(Path(name_or_path))
    nearest = difflib.get_close_matches(name_or_path, NAMES, n=1, cutoff=0.5)
    raise InputError(
        f"data set {name_or_path!r}",
        expected=f"{', '.join(NAMES)}, or the path of an .npz file",
        fix=f"did you mean {nearest[0]}?" if nearest else "choose one of these",
    )
