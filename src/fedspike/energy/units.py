"""Quantities with the unit that fits them, and three significant digits."""

import math

SECONDS_A_DAY = 86_400
DAYS_A_YEAR = 365.25
SECONDS_A_YEAR = SECONDS_A_DAY * DAYS_A_YEAR
UNITS = {
    "": {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9},
    "J": {"pJ": 1e-12, "nJ": 1e-9, "µJ": 1e-6, "mJ": 1e-3, "J": 1.0, "kJ": 1e3, "MJ": 1e6},
    "s": {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0},
    "days": {"hours": 1 / 24, "days": 1.0, "years": DAYS_A_YEAR},
    "bytes": {"bytes": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9},
    "W": {"nW": 1e-9, "µW": 1e-6, "mW": 1e-3, "W": 1.0},
}
"""Base unit -> the units that a quantity in it is written in, with their sizes, the smallest first."""


def written(value: float, unit: str, half_width: float | None = None) -> str:
    """A quantity of 0 or more in the largest unit of which there is one.

    Half of its interval is left out where it changes none of the digits.

    >>> written(1.7115e-6, "J"), written(0.99996e-3, "s"), written(500.0, "days"), written(0.0, "J")
    ('1.71 µJ', '1.00 ms', '1.37 years', '0 J')
    >>> written(0.0343, "s", 0.0002), written(0.0343, "s", 0.00002)
    ('34.3 ± 0.2 ms', '34.3 ms')
    """
    if value == 0:
        return f"0 {unit}".strip()
    rounded = float(f"{value:.2e}")
    names = UNITS[unit]
    fitting = [one for one, size in names.items() if size <= max(value, rounded)]
    name = fitting[-1] if fitting else next(iter(names))
    size = names[name]
    digits = max(0, 2 - math.floor(math.log10(float(f"{value / size:.2e}"))))
    half = (half_width or 0.0) / size
    interval = f" ± {half:,.{digits}f}" if half >= 0.5 * 10**-digits else ""
    return f"{value / size:,.{digits}f}{interval} {name}".strip()
