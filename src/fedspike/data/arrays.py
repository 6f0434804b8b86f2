"""Arrays of a user's own, in memory or in an .npz file, as a data set takes them."""

from typing import Any

import numpy as np
from jaxtyping import Int64

from fedspike.data.layout import Layout
from fedspike.errors import InputError


def read_as(layout: Layout, arrays: dict[str, np.ndarray], source: str) -> dict[str, Any]:
    """What a data set has of four arrays, by their names; `source` is what errors call it."""
    for split in ("train", "test"):
        if arrays[f"x_{split}"].dtype.kind in "SUOV":  # said before anything is asked about it
            layout.images(arrays[f"x_{split}"], f"{source}: x_{split}")
    y_train = labels(arrays["y_train"], f"{source}: y_train")
    y_test = labels(arrays["y_test"], f"{source}: y_test")
    x_train, x_test = arrays["x_train"], arrays["x_test"]
    classes = int(y_train.max(initial=0)) + 1
    present = np.unique(y_train)
    if y_train.size and (present[0] < 0 or len(present) != classes):
        absent = next(number for number, label in enumerate(present) if number != label)
        raise InputError(
            f"{source}: y_train holds labels from {present[0]} to {present[-1]}, "
            f"and no image is of class {absent}",
            expected="class numbers 0, 1, 2, ... without a gap",
            fix=f"{BEFORE}{RENUMBER}",
        )
    if x_train.dtype != x_test.dtype:
        raise InputError(
            f"{source}: x_train holds {x_train.dtype}, x_test {x_test.dtype}",
            expected="training and test samples prepared in the same way",
            fix=f"{BEFORE}x_test = x_test.astype(x_train.dtype)  # if both are on one scale",
        )
    understood = layout.understood(x_train)
    # Both parts are read alike: bytes of a test set need not reach 255 where those of training do.
    layout = layout.settled(x_train, f"{source}: x_train")
    return {
        "x_train": layout.images(x_train, f"{source}: x_train"),
        "y_train": y_train,
        "x_test": layout.images(x_test, f"{source}: x_test"),
        "y_test": y_test,
        "classes": classes,
        "source": source,
        "signed": layout.signed,
        "understood": understood,
    }


def as_array(values: Any, what: str) -> np.ndarray:
    """What NumPy takes as an array; InputError for all else."""
    try:
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:  # ragged, on a GPU, with a gradient
        raise InputError(
            f"{what} is no array: {error}",
            expected="an array of numbers of one shape",
            fix="give a NumPy array; of a tensor, tensor.detach().cpu().numpy()",
        ) from error


BEFORE = "before np.savez: "
RENUMBER = (
    "y_train, y_test = np.split(np.unique(np.concatenate([y_train, y_test]), "
    "return_inverse=True)[1], [len(y_train)])"
)


def labels(
    array: np.ndarray, what: str, *, renumber: str = RENUMBER
) -> Int64[np.ndarray, " sample"]:
    """Class numbers; InputError, with the line that mends them, for anything else."""
    name = what.split()[-1]
    if array.dtype == object:
        fix = f"{name} = np.array({name}.tolist())"
    elif array.ndim == 2 and array.shape[1] > 1 and array.dtype.kind in "biuf":
        fix = f"{name} = {name}.argmax(axis=1)"
    elif array.ndim > 1:
        fix = f"{name} = {name}.ravel()"
    elif array.dtype.kind in "iu":
        return array.astype(np.int64)
    elif array.dtype.kind in "SU":
        fix = renumber
    elif array.dtype.kind in "bf" and np.isfinite(array).all() and (array % 1 == 0).all():
        fix = f"{name} = {name}.astype(np.int64)"
    else:
        fix = f"{name} = np.digitize({name}, [0.5])  # 0 below 0.5, 1 above"
    raise InputError(
        f"{what} holds {array.dtype} of shape {array.shape}",
        expected="whole numbers, one class number for each image, shape (samples,)",
        fix=BEFORE + fix,
    )
