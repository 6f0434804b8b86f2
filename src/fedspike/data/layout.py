"""What the numbers of an array mean: which axis is which, and from where to where the values go.

Neither is guessed. What needs no word is listed at `Layout`; for all else an error asks, with the line.
"""

from math import inf
from typing import Annotated, Any

import msgspec
import numpy as np
from jaxtyping import Float32, UInt8, UInt16
from msgspec import Meta, Struct

from fedspike.errors import InputError
from fedspike.part import demand_limits

IMAGE, FEATURES = ["sample", "height", "width"], ["sample", "feature"]
COLOURS = ["sample", "channel", "height", "width"]
WHERE = "into [data], Layout(...), or beside the arrays, np.savez(FILE, axes=..., range=..., x_train=...)"
WORDS = {*COLOURS, *FEATURES, "time"}
Axes = Annotated[
    str,
    Meta(
        description="what each axis of x is, as in sample height width channel, or sample feature"
    ),
]
Bounds = Annotated[
    tuple[float, float], Meta(description="the least and the greatest value there can be: 0 and 1")
]
Signed = Annotated[
    bool,
    Meta(description="values keep their sign, from -1 to 1: for an ANN or the direct code"),
]


class Layout(Struct, frozen=True, forbid_unknown_fields=True):
    """What is said of the arrays x: `axes`, `range` and `signed`, each None or False where nothing is said.

    No word need the axes of [sample, feature] and of bytes [sample, height, width] of which one is 255, grey
    images; and the range of bytes of which one is 255, of truth values, 0 and 1, and of floats from 0 to 1. A
    value v of the range from a to b becomes (v - a) / (b - a), or, signed, v / max(|a|, |b|).

    Raises InputError for axes that are no sample's, a range without extent, and an axis of time: nothing
    trains on frames yet.

    >>> digits = np.array([[[0, 16], [8, 4]]], np.uint8)
    >>> Layout(axes="sample height width", range=(0, 16)).images(digits, "x")[0, 0].tolist()
    [0.0, 1.0]
    >>> Layout(range=(0, 16)).images(digits[:, 0], "x").tolist()
    [[0.0, 1.0]]
    """

    axes: Axes | None = None
    range: Bounds | None = None
    signed: Signed = False

    def __post_init__(self) -> None:
        demand_limits(self)
        if self.axes is not None:
            _demand_axes(self.axes)
        if self.range is not None and not 0 < self.range[1] - self.range[0] < inf:
            raise InputError(
                f"range = {list(self.range)}",
                expected="the least value and then a greater one",
                fix="write range = [0, 255] for bytes from black to white",
                keys=("range",),
            )
        if self.signed and (self.range is None or self.range[0] >= 0):
            raise InputError(
                f"signed = true with range = {self.range and list(self.range)}",
                expected="a range that begins below 0",
                fix="write range = [-1, 1], with the least and the greatest value there can be",
                keys=("signed", "range"),
            )

    def also(self, stored: dict[str, Any], what: str) -> "Layout":
        """With what the file says of itself. Raises InputError where the two contradict each other."""
        own = {key: value for key, value in msgspec.structs.asdict(self).items() if value}
        inside = msgspec.structs.asdict(Layout(**stored))
        for key in stored.keys() & own.keys():
            if inside[key] != own[key]:
                raise InputError(
                    f"{key} = {own[key]!r}, but {what} says {inside[key]!r} of itself",
                    expected="one of the two",
                    fix=f"leave {key} out, or save the file again",
                )
        return Layout(**stored | own)

    def settled(self, array: np.ndarray, what: str) -> "Layout":
        """With what needs no word filled in from the training samples: a test set need not reach 255."""
        if array.ndim < 2 or array.size == 0 or array.dtype.kind not in "biuf":
            return self  # `images` and `Dataset` say what is wrong with it
        axes = " ".join(self._words(array, what))
        fills = self.range is None and array.dtype == np.uint8 and array.max() == 255
        return Layout(axes, (0, 255) if fills else self.range, self.signed)

    def understood(self, array: np.ndarray) -> str:
        """What is read without a word though it may mean something else; "" where there is no doubt."""
        if self.axes is not None or array.ndim != 3:
            return ""
        return (
            f"samples of {array.shape[1]} x {array.shape[2]} bytes are read as grey pictures, a single "
            f'moment each to the delta code; if they are, write axes = "{" ".join(IMAGE)}", and if one axis '
            'is time, axes = "sample time feature"'
        )

    def images(self, array: np.ndarray, what: str) -> Float32[np.ndarray, "..."]:
        """Samples first, then features, rows and columns, or channels, rows and columns; from 0 to 1.

        `what` is how errors call it. Raises InputError where nothing is said and more than one reading fits,
        and where values or axes are not as said.
        """
        if array.dtype.names and {"x", "y"} <= {*array.dtype.names}:
            raise _events(f"{what} holds records of {', '.join(array.dtype.names)}")
        if array.dtype.kind not in "biuf":
            raise InputError(
                f"{what} holds {array.dtype}",
                expected="numbers: bytes, whole numbers or floats",
                fix=_objects(what.split()[-1]) if array.dtype == object else "save numbers",
            )
        return self._scaled(self._arranged(array, what), what)

    def _arranged(self, array: np.ndarray, what: str) -> np.ndarray:
        if array.size == 0 or array.ndim < 2:
            return array  # `Dataset` says what is wrong with it
        words = self._words(array, what)
        if len(words) != array.ndim:
            raise InputError(
                f"{what} has shape {array.shape}, axes = {' '.join(words)!r}",
                expected=f"a word for each of its {array.ndim} axes",
                fix='write axes = "sample feature" with the word feature for each axis of a sample',
            )
        if "feature" in words:
            samples = np.moveaxis(array, words.index("sample"), 0)
            return samples.reshape(len(samples), -1)
        order = [words.index(word) for word in COLOURS if word in words]
        return array.transpose(order)

    def _words(self, array: np.ndarray, what: str) -> list[str]:
        if self.axes is not None:
            return self.axes.split()
        if array.ndim == 2:
            return FEATURES
        if array.ndim == 3 and array.dtype == np.uint8 and array.max() == 255:
            return IMAGE
        count, *sizes = array.shape
        readings = {
            3: [
                (IMAGE, f"grey images of {sizes[0]} x {sizes[-1]}"),
                (
                    ["sample", "time", "feature"],
                    f"no training yet: {sizes[0]} moments of {sizes[-1]} sensors",
                ),
            ],
            4: [
                (COLOURS, f"{sizes[0]} channels of {' x '.join(map(str, sizes[1:]))}"),
                (
                    ["sample", "height", "width", "channel"],
                    f"{sizes[-1]} channels of {' x '.join(map(str, sizes[:-1]))}",
                ),
            ],
        }.get(array.ndim, [])
        flat = (["sample", *["feature"] * len(sizes)], "numbers without places")
        if _look_like_events(array):
            raise _events(f"{what} has shape {array.shape}")
        lines = [f'axes = "{" ".join(words)}" ({reading})' for words, reading in [*readings, flat]]
        raise InputError(
            f"{what} has shape {array.shape}, and nothing says what its axes are",
            expected=f"{count} samples, read in one way",
            fix=f"write one of these {WHERE}: {'; '.join(lines)}",
        )

    def _scaled(self, array: np.ndarray, what: str) -> Float32[np.ndarray, "..."]:
        if array.dtype == np.bool_ or array.size == 0 or not np.isfinite(array).all():
            return array.astype(np.float32)  # `Dataset` says what is wrong with it
        least, greatest = array.min(), array.max()
        if self.range is None:
            if array.dtype.kind == "f" and least >= 0 and greatest <= 1:
                return array.astype(np.float32)
            if array.dtype == np.uint8 and greatest == 255:
                return intensities(array)
            if _look_like_events(array):
                raise _events(f"{what} has shape {array.shape}")
            raise InputError(
                f"{what} holds {array.dtype} from {least} to {greatest}, but how far can they go?",
                expected="the least and the greatest value that there can be, whatever is there",
                fix=f"write {_range(min(least, 0), greatest)}, or the true limits, "
                + ("and, to keep the sign, signed = true, " if least < 0 else "")
                + WHERE,
            )
        low, high = self.range
        if not (least >= low and greatest <= high):
            raise InputError(
                f"{what} holds {least} to {greatest}, range = {list(self.range)}",
                expected="no value outside the range",
                fix=f"write {_range(min(least, low), max(greatest, high))}",
            )
        if array.dtype == np.uint8 and low == 0 and high == 255:
            return intensities(array)
        values = array.astype(np.float64)
        values = values / max(-low, high) if self.signed else (values - low) / (high - low)
        return values.astype(np.float32)


UNSAID = Layout()


def intensities(
    pixels: UInt8[np.ndarray, "*shape"] | UInt16[np.ndarray, "*shape"],
) -> Float32[np.ndarray, "*shape"]:
    """Bytes from 0 to 255 as intensities from 0 to 1: pixel / 255; of 16 bits pixel / 65535.

    >>> intensities(np.array([0, 51, 255], np.uint8)).tolist()
    [0.0, 0.20000000298023224, 1.0]
    """
    scaled = pixels.astype(np.float32)
    scaled /= np.iinfo(pixels.dtype).max
    return scaled


def axes_of(sample: tuple[int, ...]) -> str:
    """The axes of a `Dataset` whose samples have this shape."""
    return " ".join((FEATURES, IMAGE, COLOURS)[len(sample) - 1])


def _demand_axes(axes: str) -> None:
    words = axes.split()
    plain = [word for word in words if word != "feature"]
    pictures = sorted(words) in (sorted(IMAGE), sorted(COLOURS))
    if "time" in words:
        flat = " ".join("sample" if word == "sample" else "feature" for word in words)
        raise InputError(
            f"axes = {axes!r}: samples that change in time",
            expected="samples without an axis of time; no network here trains on frames yet",
            fix=f'to give all moments at once, as numbers without places, write axes = "{flat}"',
            keys=("axes",),
        )
    if not pictures and (plain != ["sample"] or len(words) < 2):
        raise InputError(
            f"axes = {axes!r}",
            expected="the word sample, and height width, or channel height width, or feature once or more",
            fix=f'write axes = "{" ".join(IMAGE)}", the words in the order of the axes',
            keys=("axes",),
        )


def _look_like_events(array: np.ndarray) -> bool:
    """Whether of four columns one never falls, as time, and one tells two or three things, as polarity."""
    columns = np.moveaxis(array, -1, 0)
    rises = any(c.max() > 1 and bool((c[..., 1:] >= c[..., :-1]).all()) for c in columns)
    return len(columns) == 4 and rises and any(bool(np.isin(c, (-1, 0, 1)).all()) for c in columns)


def _events(passed: str) -> InputError:
    return InputError(
        f"{passed}: it looks like events, with columns such as x, y, t and polarity",
        expected="samples without time, pictures or numbers; no network here trains on events yet",
        fix="count the events of each sample into its picture: np.add.at(picture, (y, x), 1); numbers that "
        f'are no events need words: axes = "{" ".join(FEATURES)}" and a range',
    )


def _objects(name: str) -> str:
    return f"before np.savez: {name} = np.array([*{name}], dtype=np.float64)"


def _range(low: Any, high: Any) -> str:
    """The line, as TOML has it; bounds without an extent get one."""
    low, high = float(low), float(high)
    return f"range = [{low!r}, {high if high > low else low + 1!r}]"
