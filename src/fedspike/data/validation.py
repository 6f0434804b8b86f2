"""Training samples that are held out to choose settings by, so that no choice is made by test samples."""

from dataclasses import replace

from fedspike.data.dataset import Dataset
from fedspike.data.splitting import drawn_apart
from fedspike.errors import InputError


def held_out(data: Dataset, share: float) -> Dataset:
    """The data set with a share of its training samples in the place of its test samples.

    What is held out trains nobody, and the test samples are not in it at all. Of each class the same share
    is held out, to the nearest sample, drawn by an address of its own and so the same for every seed; one
    sample of each class, at least, is left. The new test samples then have the classes of the fleet as a
    whole, as test samples have, whichever way the rest is divided among clients. Samples are drawn one by
    one: of frames of one scene some train and some test.

    Raises InputError where nothing would be held out.

    >>> import numpy as np
    >>> x, y = np.zeros((10, 1), np.float32), np.array([0, 1] * 5)
    >>> data = Dataset("toy", x, y, x[:2], y[:2], classes=2, source="toy", sha256={})
    >>> [split.tolist() for split in (held_out(data, 0.4).y_train, held_out(data, 0.4).y_test)]
    [[1, 0, 1, 0, 1, 0], [0, 0, 1, 1]]
    """
    kept, held = drawn_apart(data.y_train, share, "validation")
    if not len(held):
        raise InputError(
            f"validation = {share}: none of {len(data.y_train)} training samples",
            expected="a share that is a sample, at least",
            fix=f"set validation = {min(0.5, 10 * share):g}",
            keys=("tune.validation",),
        )
    return replace(
        data,
        x_train=data.x_train[kept],
        y_train=data.y_train[kept],
        owners=data.owners and data.owners.at(kept),
        x_test=data.x_train[held],
        y_test=data.y_train[held],
        source=f"{data.source}, {share:g} of the training samples held out",
    )
