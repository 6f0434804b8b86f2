"""A curve that grows by a round at a time and keeps no more points than can be seen."""

from collections.abc import Iterator

MOST_GROUPS = 128


class Curve:
    """Of neighbouring rounds the one with the lowest and the one with the highest value, and the newest.

    >>> curve = Curve()
    >>> for round in range(1, 100_001):
    ...     curve.add(round, -1.0 if round == 70 else round % 7)
    >>> points = curve.points()
    >>> len(points) <= 2 * MOST_GROUPS + 1, points[-1], min(points, key=lambda point: point[1])
    (True, (100000, 5), (70, -1.0))
    """

    def __init__(self) -> None:
        self._groups: list[tuple[tuple[int, float], tuple[int, float]]] = []  # lowest, highest
        self._size = 1  # rounds of a group
        self._left = 0  # of the newest group
        self._newest: tuple[int, float] | None = None

    def add(self, round: int, value: float) -> None:
        """One more round."""
        point = self._newest = round, value
        if self._left:
            self._groups[-1] = _extremes(*self._groups[-1], point)
            self._left -= 1
            return
        if len(self._groups) == MOST_GROUPS:
            pairs = zip(self._groups[::2], self._groups[1::2], strict=True)
            self._groups = [_extremes(*first, *second) for first, second in pairs]
            self._size *= 2
        self._groups.append((point, point))
        self._left = self._size - 1

    def points(self) -> tuple[tuple[int, float], ...]:
        """Rounds and values, in the order of rounds."""
        return tuple(self._points())

    def _points(self) -> Iterator[tuple[int, float]]:
        for group in self._groups:
            yield from sorted({*group} - {self._newest})
        if self._newest is not None:
            yield self._newest


def _extremes(*points: tuple[int, float]) -> tuple[tuple[int, float], tuple[int, float]]:
    return min(points, key=lambda p: p[1]), max(points, key=lambda p: p[1])
