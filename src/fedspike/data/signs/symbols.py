"""What stands on the signs: digits, letters, arrows and pictures, as outlines from about -0.5 to 0.5."""

import numpy as np

from fedspike.data.signs.outlines import (
    Number,
    Outline,
    Point,
    arc,
    box,
    disc,
    mirrored,
    moved,
    outline,
    regular,
    stroke,
    turned,
)

Symbol = list[Outline]
WIDE, HIGH, THICK = (
    0.36,
    1.0,
    0.17,
)  # of a digit or a letter: half its width, its height, its strokes
Line = list[Point]

# Each is one or more lines in a box from -WIDE to WIDE and -HIGH/2 to HIGH/2.
_LINES: dict[str, list[Line]] = {
    "0": [arc(0, 0, 0.27, 0.42, 0, 360)],
    "1": [[(-0.14, -0.27), (0.05, -0.42), (0.05, 0.42)]],
    "2": [[*arc(0, -0.18, 0.26, 0.24, -75, 110), (-0.26, 0.42), (0.28, 0.42)]],
    "3": [arc(-0.02, -0.2, 0.25, 0.22, -65, 180), arc(-0.02, 0.2, 0.27, 0.22, 0, 245)],
    "5": [[(0.24, -0.42), (-0.2, -0.42), (-0.24, -0.04), *arc(-0.02, 0.15, 0.27, 0.27, -40, 235)]],
    "6": [arc(0, 0.16, 0.26, 0.26, 0, 360), arc(0.12, 0.14, 0.38, 0.56, -90, 0)],
    "7": [[(-0.26, -0.42), (0.26, -0.42), (-0.06, 0.42)]],
    "8": [arc(0, -0.21, 0.22, 0.21, 0, 360), arc(0, 0.2, 0.27, 0.22, 0, 360)],
    "S": [[*arc(0, -0.2, 0.24, 0.22, 70, -180), *arc(0, 0.2, 0.26, 0.22, 0, 250)]],
    "T": [[(-0.28, -0.42), (0.28, -0.42)], [(0, -0.42), (0, 0.42)]],
    "O": [arc(0, 0, 0.28, 0.42, 0, 360)],
    "P": [
        [(-0.22, 0.42), (-0.22, -0.42), (0.02, -0.42), *arc(0.02, -0.18, 0.24, 0.24, 0, 180)],
        [(0.02, 0.06), (-0.22, 0.06)],
    ],
}


def written(text: str, height: Number, spread: Number = 0.76, thick: Number = THICK) -> Symbol:
    """Digits or letters side by side in the middle, so high."""
    places = spread * (np.arange(len(text)) - (len(text) - 1) / 2)
    letters = [
        part
        for letter, x in zip(text, places, strict=True)
        for line in _LINES[letter]
        for part in moved(stroke(line, thick), float(x))
    ]
    return moved(letters, scale=height)


def arrow_up(shaft: Number = 0.2) -> Symbol:
    """Straight ahead."""
    head = outline((0, -0.62), (0.36, -0.16), (-0.36, -0.16))
    return [head, box(-shaft / 2, -0.3, shaft / 2, 0.6)]


def arrow_right() -> Symbol:
    """Up from below, and then right."""
    bent = stroke([(-0.34, 0.55), (-0.34, 0.0), (-0.2, -0.16), (0.2, -0.16)], 0.2)
    return [*bent, outline((0.6, -0.16), (0.14, -0.5), (0.14, 0.18))]


def arrow_ahead_or_right() -> Symbol:
    """Straight ahead, with a branch to the right."""
    up = moved([outline((0, -0.64), (0.27, -0.26), (-0.27, -0.26))], -0.22)
    right = outline((0.62, 0.1), (0.28, -0.17), (0.28, 0.37))
    return [
        *up,
        *stroke([(-0.22, 0.56), (-0.22, -0.3)], 0.18),
        *stroke([(-0.22, 0.1), (0.3, 0.1)], 0.18),
        right,
    ]


def arrow_keep_right() -> Symbol:
    """Down to the right."""
    return turned(moved(arrow_up(0.24), scale=1.05), 135)


def roundabout() -> Symbol:
    """Three arrows that chase each other, against the clock."""
    one = [
        *stroke(arc(0, 0, 0.46, 0.46, 55, -20), 0.17),
        *moved(turned([outline((-0.34, 0.02), (0.06, -0.27), (0.06, 0.27))], -8), -0.2, -0.44),
    ]
    return [part for degrees in (0, 120, 240) for part in turned(one, degrees)]


def car() -> Symbol:
    """From behind."""
    return [
        outline((-0.17, -0.24), (0.17, -0.24), (0.25, 0.0), (-0.25, 0.0)),
        box(-0.29, -0.02, 0.29, 0.2),
        box(-0.27, 0.18, -0.13, 0.32),
        box(0.13, 0.18, 0.27, 0.32),
    ]


def truck_behind() -> Symbol:
    """From behind, higher than a car."""
    return [
        box(-0.27, -0.44, 0.27, 0.12),
        box(-0.22, 0.1, 0.22, 0.22),
        box(-0.25, 0.2, -0.1, 0.34),
        box(0.1, 0.2, 0.25, 0.34),
    ]


def truck() -> Symbol:
    """From the side, its cab on the left."""
    return [
        box(-0.22, -0.3, 0.62, 0.16),
        outline((-0.6, 0.16), (-0.6, -0.04), (-0.5, -0.2), (-0.28, -0.2), (-0.28, 0.16)),
        *(disc(x, 0.2, 0.12) for x in (-0.42, 0.14, 0.42)),
    ]


def exclamation() -> Symbol:
    """A mark that narrows, and its dot."""
    return [outline((-0.13, -0.5), (0.13, -0.5), (0.06, 0.16), (-0.06, 0.16)), disc(0, 0.34, 0.12)]


def priority_ahead() -> Symbol:
    """A thick road straight ahead, crossed by a thin one."""
    head = outline((0, -0.56), (0.22, -0.2), (-0.22, -0.2))
    return [head, box(-0.1, -0.3, 0.1, 0.48), box(-0.38, 0.0, 0.38, 0.13)]


def curve_right() -> Symbol:
    """Up, and away to the right."""
    bent = stroke([(-0.14, 0.48), (-0.14, 0.1), (-0.04, -0.1), (0.12, -0.22)], 0.17)
    return [
        *bent,
        *moved(turned([outline((0.0, -0.27), (0.24, 0.1), (-0.24, 0.1))], 52), 0.2, -0.28),
    ]


def curve_double() -> Symbol:
    """Left and right again."""
    line = [(0.1, 0.48), (0.1, 0.3), (-0.16, 0.1), (-0.16, -0.05), (0.06, -0.22), (0.06, -0.32)]
    return [*stroke(line, 0.16), outline((0.06, -0.6), (0.26, -0.28), (-0.14, -0.28))]


def bumps() -> Symbol:
    """Two humps on the road."""
    humps = [
        outline(*arc(x, 0.3, 0.24, 0.34, -90, 90), (x + 0.24, 0.32), (x - 0.24, 0.32))
        for x in (-0.24, 0.24)
    ]
    return [*humps, box(-0.62, 0.28, 0.62, 0.44)]


def slippery() -> Symbol:
    """A car above its crossing tracks."""
    tracks = [
        part
        for x in (-0.16, 0.16)
        for part in stroke([(x, 0.08), (x + 0.12, 0.2), (x - 0.12, 0.34), (x + 0.06, 0.48)], 0.09)
    ]
    return [*turned(moved(car(), 0, -0.22, 0.85), 14), *tracks]


def narrows_right() -> Symbol:
    """A straight edge on the left, one that comes nearer on the right."""
    right = stroke([(0.3, 0.46), (0.3, 0.14), (0.06, -0.12), (0.06, -0.46)], 0.14)
    return [box(-0.25, -0.5, -0.1, 0.5), *right]


def digging() -> Symbol:
    """A man with a shovel before a heap."""
    return [
        disc(-0.02, -0.4, 0.1),
        *stroke([(-0.06, -0.24), (-0.16, 0.06)], 0.17),
        *stroke([(-0.16, 0.08), (-0.02, 0.24), (-0.08, 0.46)], 0.11),
        *stroke([(-0.18, 0.08), (-0.3, 0.28), (-0.36, 0.46)], 0.11),
        *stroke([(-0.02, -0.2), (0.16, 0.02)], 0.09),
        *stroke([(-0.14, -0.08), (0.34, 0.24)], 0.06),
        outline((0.1, 0.48), (0.34, 0.2), (0.6, 0.48)),
    ]


def walking() -> Symbol:
    """A pedestrian above the stripes of a crossing."""
    return [
        disc(0.0, -0.46, 0.1),
        *stroke([(0.0, -0.3), (0.0, 0.0)], 0.17),
        *stroke([(0.0, 0.02), (0.16, 0.32)], 0.11),
        *stroke([(0.0, 0.02), (-0.16, 0.32)], 0.11),
        *stroke([(0.0, -0.26), (0.2, -0.06)], 0.08),
        *stroke([(0.0, -0.26), (-0.2, -0.06)], 0.08),
        *(box(x - 0.08, 0.38, x + 0.08, 0.5) for x in (-0.5, -0.2, 0.1, 0.4)),
    ]


def children() -> Symbol:
    """Two that run, the larger ahead."""
    runner = [
        disc(0.05, -0.42, 0.11),
        *stroke([(0.0, -0.24), (-0.06, 0.04)], 0.18),
        *stroke([(-0.06, 0.06), (0.14, 0.18), (0.12, 0.42)], 0.11),
        *stroke([(-0.08, 0.06), (-0.18, 0.24), (-0.36, 0.3)], 0.11),
        *stroke([(0.0, -0.22), (0.22, -0.1)], 0.08),
        *stroke([(0.0, -0.22), (-0.22, -0.06)], 0.08),
    ]
    return [*moved(runner, 0.24, 0.0, 0.95), *moved(runner, -0.3, 0.12, 0.72)]


def bicycle() -> Symbol:
    """From the side."""
    wheels = [
        part for x in (-0.36, 0.36) for part in stroke(arc(x, 0.18, 0.22, 0.22, 0, 360), 0.08)
    ]
    frame = [[(-0.36, 0.18), (-0.1, -0.16), (0.24, -0.16), (0.0, 0.18), (-0.36, 0.18)]]
    frame += [[(0.36, 0.18), (0.2, -0.32), (0.34, -0.34)], [(0.0, 0.18), (-0.14, -0.26)]]
    seat = stroke([(-0.24, -0.28), (-0.06, -0.28)], 0.08)
    return [*wheels, *seat, *(part for line in frame for part in stroke(line, 0.07))]


def snowflake() -> Symbol:
    """Six arms with side arms."""
    arm = [
        *stroke([(0, 0), (0, -0.52)], 0.09),
        *stroke([(-0.14, -0.46), (0, -0.3), (0.14, -0.46)], 0.07),
    ]
    return [part for degrees in range(0, 360, 60) for part in turned(arm, degrees)]


def deer() -> Symbol:
    """One that leaps."""
    return [
        *turned([disc(0, 0, 0.32, 0.44)], -18),
        *stroke([(0.22, -0.12), (0.36, -0.34)], 0.13),
        *stroke([(0.36, -0.36), (0.5, -0.3)], 0.12),
        *stroke([(0.34, -0.4), (0.24, -0.62)], 0.05),
        *stroke([(0.38, -0.4), (0.42, -0.64)], 0.05),
        *stroke([(0.2, 0.02), (0.46, 0.1), (0.52, 0.24)], 0.08),
        *stroke([(0.14, 0.04), (0.3, 0.24)], 0.08),
        *stroke([(-0.22, 0.1), (-0.3, 0.28), (-0.5, 0.38)], 0.09),
        *stroke([(-0.16, 0.12), (-0.14, 0.32), (-0.3, 0.46)], 0.09),
    ]


def lamps(lit: int) -> Symbol:
    """The lamp of a traffic light that is so far from the top."""
    return [disc(0, -0.3 + 0.3 * lit, 0.13)]


def diagonals(half: Number, lines: int) -> Symbol:
    """So many stripes from the lower left to the upper right: what was forbidden is allowed again."""
    shifts = 0.17 * (np.arange(lines) - (lines - 1) / 2)
    return [turned([box(float(x) - 0.045, -half, float(x) + 0.045, half)], 35)[0] for x in shifts]


def triangle(radius: Number) -> Symbol:
    """Point up, and a little lower than around its centre."""
    return moved([regular(3, radius)], 0, 0.22)


def left(symbol: Symbol) -> Symbol:
    """The same to the other side."""
    return mirrored(symbol)
