"""Charts whose numbers are all made and that are not drawn, for who asks thousands of them."""

from typing import Any

import altair
import pytest
import vl_convert

EMPTY = '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'
KEPT = ("given", "shorthand", "to_dict", "__class__")


class Undrawn:
    """In place of something of altair: of what it is given it remembers what others ask it for."""

    given: tuple[tuple[Any, ...], dict[str, Any]]

    def __init__(self, *values: Any, **named: Any) -> None:
        object.__setattr__(self, "given", (values, named))

    def __getattribute__(self, name: str) -> Any:
        if name in KEPT:
            return object.__getattribute__(self, name)
        return lambda *_, **__: self  # a method that would give a chart with more in it

    def __getitem__(self, name: str) -> Any:
        return self.given[1][name]

    @property
    def shorthand(self) -> Any:
        """The field that an axis is of."""
        return self.given[0][0]

    def to_dict(self, **_: bool) -> dict[str, Any]:
        """What a scale was given."""
        return self.given[1]


def undraw(patch: pytest.MonkeyPatch) -> None:
    """From now on each chart is an empty SVG."""
    for name in ("Axis", "Chart", "Color", "Data", "LayerChart", "Opacity", "Scale", "Shape"):
        patch.setattr(altair, name, type(name, (Undrawn, getattr(altair, name)), {}))
    for name in ("X", "X2", "Y", "Y2", "Text", "Detail", "Order", "Description"):
        patch.setattr(altair, name, type(name, (Undrawn, getattr(altair, name)), {}))
    patch.setattr(altair, "layer", altair.LayerChart)
    patch.setattr(altair, "value", Undrawn)
    patch.setattr(vl_convert, "vegalite_to_svg", lambda _: EMPTY)
