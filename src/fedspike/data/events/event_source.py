"""What all sources of events have in common: how events become trains of spikes in steps of time."""

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64
from msgspec import Meta

from fedspike.data import named
from fedspike.data.arrays import as_array
from fedspike.data.dataset import Dataset, ignore
from fedspike.data.recordings import Recordings, demand_recordings, packed, shares, spikes, words_of
from fedspike.data.source import Samples, Source
from fedspike.errors import InputError
from fedspike.part import abstractmethod

MOST_BYTES = 2**38  # of all trains of a data set
Crop = tuple[int, int, int, int]  # of a camera: its first row and column, and how many of each


class Events(NamedTuple):
    """What happened in one recording: when, in ms, and where: [channel], or [polarity, row, column]."""

    t: Float64[np.ndarray, " event"]
    at: Int64[np.ndarray, "event axis"]


class Recording(NamedTuple):
    """A recording that is read when it is needed; `where` is what errors call it."""

    where: str
    label: str
    owner: str | None
    read: Callable[[], Events]


class Recorded(NamedTuple):
    """What a source holds; of one that names no recordings to test with, they are drawn."""

    name: str
    place: str
    sensor: tuple[int, ...]  # channels, or polarities, rows and columns
    train: Sequence[Recording]
    test: Sequence[Recording] | None
    crop: Crop | None = None

    @property
    def inputs(self) -> tuple[int, ...]:
        """The sensor's, or those of the crop."""
        return self.sensor if self.crop is None else (self.sensor[0], *self.crop[2:])


class EventSource(Source, kw_only=True):
    """Recordings of events in steps of time: an input spikes in a step in which it has an event or more.

    A recording takes `time_steps` steps of `step_ms` ms; what comes later is cut off, and what is shorter
    ends in silence. `merge` = n makes one input of n channels, or of n x n pixels. Inputs with more than
    `hot_hz` spikes a second, over all training recordings, are silenced.

    Networks that take no spikes see the share of steps with a spike, in each of `count_windows` windows of
    time.
    """

    time_steps: Annotated[
        int, Meta(ge=1, le=2**20, description="of a recording, and of the network")
    ] = 100
    step_ms: Annotated[float, Meta(gt=0, le=1e6, description="of a time step, in ms")] = 10.0
    merge: Annotated[int, Meta(ge=1, le=4096, description="neighbours that become one input")] = 1
    hot_hz: (
        Annotated[float, Meta(gt=0, description="more spikes a second silence an input")] | None
    ) = None
    count_windows: Annotated[
        int, Meta(ge=1, le=2**20, description="of time, for networks that take no spikes")
    ] = 1
    test_share: named.TestShare = 0.2

    from_zero: ClassVar[bool] = True  # else time begins with a recording's first event

    @abstractmethod
    def recorded(self, say: Callable[[str], None]) -> Recorded:
        """All recordings, unread; raises InputError where they cannot be had."""

    def check(self) -> None:
        """Raise InputError where there are more windows than steps."""
        if self.count_windows > self.time_steps:
            raise InputError(
                f"count_windows = {self.count_windows} of {self.time_steps} time steps",
                expected="a time step in each window",
                fix="set count_windows = 1",
                keys=("count_windows",),
            )

    def load(self, say: Callable[[str], None] = ignore) -> Dataset:
        """The data set, its events packed once; InputError, with the recording, for what is not sound."""
        there = self.recorded(say)
        shape = self._inputs(there.inputs)
        say(f"{self.kind}: reading {len(there.train) + len(there.test or ())} recordings")
        parts = [self._part(one, there, shape, say) for one in (there.train, there.test) if one]
        train, test = parts if there.test is not None else named.split(parts[0], self.test_share)
        if self.hot_hz is not None:
            self._silence(train.x, test.x, say)
        return named.dataset(
            there.name,
            train,
            test,
            there.place,
            lambda x: x,
            time_steps=self.time_steps,
            count_windows=self.count_windows,
        )

    def as_loaded(self, values: Any, what: str = "recordings") -> Samples:
        """Recordings as in `Dataset.x_test`, or their spikes as truth values, [sample, time, *shape].

        Raises InputError for others.
        """
        array = as_array(values, what)
        if array.dtype == np.bool_ and array.ndim > 2 and array.shape[1] == self.time_steps:
            return packed(array)
        demand_recordings(what, array, self.time_steps)
        return array

    def counted(self, samples: Samples) -> Samples:
        """See `Source`."""
        return shares(samples, self.time_steps, self.count_windows)

    def _inputs(self, sensor: tuple[int, ...]) -> tuple[int, ...]:
        """The network's, of a sensor's own; raises InputError where merging leaves a rest."""
        *polarities, first, last = (1, *sensor) if len(sensor) == 1 else sensor
        merged = sensor if len(sensor) == 1 else (first, last)
        if any(size % self.merge for size in merged):
            raise InputError(
                f"merge = {self.merge} on a sensor of {' x '.join(map(str, merged))}",
                expected="neighbours without a rest",
                fix=f"set merge = {_divisor(math.gcd(*merged), self.merge)}",
                keys=("merge",),
            )
        return (*polarities, *(size // self.merge for size in merged))

    def _part(
        self,
        recordings: Sequence[Recording],
        there: Recorded,
        shape: tuple[int, ...],
        say: Callable[[str], None],
    ) -> named.NamedSamples:
        words = words_of(self.time_steps)
        if (size := 8 * len(recordings) * math.prod(shape) * words) > MOST_BYTES:
            raise InputError(
                f"{there.place}: trains of {size / 1e9:.0f} GB",
                expected=f"at most {MOST_BYTES / 1e9:.0f} GB",
                fix="merge more inputs, or take fewer time steps",
                keys=("merge", "time_steps"),
            )
        x = np.zeros((len(recordings), math.prod(shape), words), np.int64)
        silent = []
        for own, recording in zip(x, recordings, strict=True):
            events = recording.read()
            _demand_sound(events, there.sensor, recording.where, ordered=not self.from_zero)
            if not len(events.t):
                silent.append(recording.where)
            elif not self.from_zero:
                events = events._replace(t=events.t - events.t[0])
            self._pack(events if there.crop is None else _cropped(events, there.crop), shape, own)
        if silent:
            say(f"{self.kind}: no event in {len(silent)} recordings, {', '.join(silent[:3])}")
        owners = [one.owner for one in recordings]
        return named.NamedSamples(
            x.reshape(len(x), *shape, words),
            [one.label for one in recordings],
            [owner for owner in owners if owner is not None] if None not in owners else None,
        )

    def _pack(
        self, events: Events, shape: tuple[int, ...], trains: Int64[np.ndarray, "input word"]
    ) -> None:
        """The bits of one recording."""
        step = np.floor(events.t / self.step_ms).astype(np.int64)
        here = step < self.time_steps
        at, step = events.at[here], step[here]
        at[:, -len(shape[-2:]) :] //= self.merge
        places = np.ravel_multi_index(tuple(at.T), shape)
        bits = np.left_shift(np.uint64(1), (step % 64).astype(np.uint64)).view(np.int64)
        np.bitwise_or.at(trains, (places, step // 64), bits)

    def _silence(self, train: Recordings, test: Recordings, say: Callable[[str], None]) -> None:
        assert self.hot_hz is not None
        seconds = len(train) * self.time_steps * self.step_ms / 1000
        hot = spikes(train).sum(0) > self.hot_hz * seconds
        for part in (train, test):
            part[:, hot] = 0
        say(f"{self.kind}: {hot.sum()} of {hot.size} inputs are hot, and silenced")


def _cropped(events: Events, crop: Crop) -> Events:
    """Those within a crop, whose first row and column become 0."""
    row, column, rows, columns = crop
    at = events.at - (0, row, column)
    inside = ((at >= 0) & (at < (2, rows, columns))).all(1)
    return Events(events.t[inside], at[inside])


def _divisor(size: int, wanted: int) -> int:
    """The number nearest to the wanted one that divides the size."""
    return min((n for n in range(1, size + 1) if size % n == 0), key=lambda n: abs(n - wanted))


def _demand_sound(events: Events, sensor: tuple[int, ...], where: str, *, ordered: bool) -> None:
    """Raise InputError for an event at no time, before the one before it, or outside the sensor."""
    t, at = events
    axes = ("channel",) if len(sensor) == 1 else ("polarity", "y", "x")
    timeless = ~(np.isfinite(t) & (t >= 0) & (t < 1e15))
    backwards = np.zeros(len(t), bool)
    backwards[1:] = ordered and t[1:] < t[:-1]
    outside = (at < 0) | (at >= sensor)
    for wrong, expected in (
        (timeless, "times from 0 on"),
        (backwards, "events in the order of time"),
        (outside.any(1), f"{', '.join(axes)} below {', '.join(map(str, sensor))}"),
    ):
        if wrong.any():
            n = int(wrong.argmax())
            place = ", ".join(f"{axis} = {value}" for axis, value in zip(axes, at[n], strict=True))
            before = f", after one at {t[n - 1]:g} ms" if n and wrong is backwards else ""
            raise InputError(
                f"{where}: event {n} at {t[n]:g} ms{before}, {place}",
                expected=expected,
                fix="say the true sensor, or record or convert the file again",
                keys=("sensor",) if wrong is not timeless and wrong is not backwards else (),
            )
