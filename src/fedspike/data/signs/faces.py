"""The faces of 43 German traffic signs, in the order of the classes of GTSRB: painted, not photographed.

Shapes, colours and symbols follow the signs of the German road traffic regulation (StVO); they are drawn from
a few polygons each.
"""

from functools import cache

import numpy as np
from jaxtyping import Float32

from fedspike.data.signs import symbols
from fedspike.data.signs.outlines import Number, Outline, box, disc, mask, moved, regular

SIDE, REACH = 40, 1.1  # pixels of a face, and how much of the square it shows
RED, BLUE, YELLOW = (0.80, 0.06, 0.12), (0.03, 0.30, 0.66), (1.0, 0.76, 0.05)
WHITE, BLACK, GREY, GREEN = (
    (0.97, 0.97, 0.97),
    (0.06, 0.06, 0.07),
    (0.58, 0.58, 0.58),
    (0.1, 0.6, 0.3),
)
Colour = tuple[float, float, float]
Paint = tuple[Colour, list[Outline]]
"""A colour, and what has it; what is painted later lies on top."""


def _round(colour: Colour, *paints: Paint, rim: Colour = RED, inner: Number = 0.76) -> list[Paint]:
    return [(rim, [disc(0, 0, 1.0)]), (colour, [disc(0, 0, inner)]), *paints]


def _limit(text: str) -> list[Paint]:
    digits = symbols.written(text, 0.98, 0.72)
    if len(text) > 2:
        digits = [one * np.array([0.66, 0.84]) for one in digits]
    return _round(WHITE, (BLACK, digits))


def _warning(*paints: Paint) -> list[Paint]:
    rim, ground = symbols.triangle(1.2), symbols.triangle(0.86)
    return [(RED, rim), (WHITE, ground), *((c, moved(what, 0, 0.25, 0.92)) for c, what in paints)]


def _order(arrow: list[Outline]) -> list[Paint]:
    """A blue disc with a white arrow."""
    return _round(BLUE, (WHITE, arrow), rim=WHITE, inner=0.95)


def _overtaking(left: list[Outline], right: list[Outline], left_colour: Colour) -> list[Paint]:
    one, other = moved(left, -0.34, 0.04, 0.95), moved(right, 0.34, 0.04, 0.95)
    return [(left_colour, one), (BLACK if left_colour != GREY else GREY, other)]


def _ended(*paints: Paint) -> list[Paint]:
    """A white disc with a thin rim, and stripes over what is no longer forbidden."""
    stripes = (BLACK, symbols.diagonals(0.93, 4))
    return _round(WHITE, *paints, stripes, rim=BLACK, inner=0.95)


def _faces() -> list[list[Paint]]:
    car, truck, s = symbols.car(), symbols.truck_behind(), symbols
    octagon = [(WHITE, [regular(8, 1.05, 22.5)]), (RED, [regular(8, 0.98, 22.5)])]
    give_way = [moved([regular(3, radius, 180)], 0, -0.22)[0] for radius in (1.2, 0.76)]
    squares = ((WHITE, 1.1), (BLACK, 1.03), (WHITE, 0.99), (YELLOW, 0.74))
    priority = [(colour, [regular(4, radius)]) for colour, radius in squares]
    light = [(BLACK, [box(-0.22, -0.56, 0.22, 0.5)])]
    lamps = [(colour, s.lamps(at)) for at, colour in enumerate((RED, YELLOW, GREEN))]
    return [
        *(_limit(text) for text in ("20", "30", "50", "60", "70", "80")),
        _ended((GREY, s.written("80", 0.98, 0.72))),
        *(_limit(text) for text in ("100", "120")),
        _round(WHITE, *_overtaking(car, car, RED)),
        _round(WHITE, *_overtaking(truck, car, RED)),
        _warning((BLACK, s.priority_ahead())),
        priority,
        [(RED, give_way[:1]), (WHITE, give_way[1:])],
        [*octagon, (WHITE, s.written("STOP", 0.56, 0.72))],
        _round(WHITE),
        _round(WHITE, (BLACK, s.truck())),
        _round(RED, (WHITE, [box(-0.7, -0.18, 0.7, 0.18)])),
        _warning((BLACK, s.exclamation())),
        _warning((BLACK, s.left(s.curve_right()))),
        _warning((BLACK, s.curve_right())),
        _warning((BLACK, s.curve_double())),
        _warning((BLACK, s.bumps())),
        _warning((BLACK, s.slippery())),
        _warning((BLACK, s.narrows_right())),
        _warning((BLACK, s.digging())),
        _warning(*light, *lamps),
        _warning((BLACK, s.walking())),
        _warning((BLACK, s.children())),
        _warning((BLACK, s.bicycle())),
        _warning((BLACK, s.snowflake())),
        _warning((BLACK, s.deer())),
        _ended(),
        _order(s.arrow_right()),
        _order(s.left(s.arrow_right())),
        _order(s.arrow_up()),
        _order(s.arrow_ahead_or_right()),
        _order(s.left(s.arrow_ahead_or_right())),
        _order(s.arrow_keep_right()),
        _order(s.left(s.arrow_keep_right())),
        _order(s.roundabout()),
        _ended(*_overtaking(car, car, GREY)),
        _ended(*_overtaking(truck, car, GREY)),
    ]


CLASSES = 43


@cache
def faces(side: int = SIDE) -> Float32[np.ndarray, "face side side 4"]:
    """All faces: red, green, blue and opacity, each from 0 to 1."""
    painted = np.zeros((CLASSES, side, side, 4), np.float32)
    for face, paints in zip(painted, _faces(), strict=True):
        for colour, outlines in paints:
            covered = mask(outlines, side, REACH)[:, :, None]
            paint = np.array([*colour, 1.0], np.float32)
            face += covered * (paint - face)
    # Colours are those of the paint where a pixel is partly bare, so that opacity alone mixes them.
    bare = np.maximum(painted[..., 3:], 1e-6)
    painted[..., :3] /= bare
    painted.setflags(write=False)
    return painted
