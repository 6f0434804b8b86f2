"""The bill: counts x prices, modelled energy in millijoule."""

import tomllib
from collections.abc import Mapping
from decimal import Decimal
from importlib import resources

MILLIJOULE_IN_A_PICOJOULE = Decimal("1e-9")


def prices_pj(profile: str) -> dict[str, float]:
    """The prices of a shipped profile: operation -> picojoule."""
    text = (
        resources.files("fedspike.energy").joinpath(f"profiles/{profile}.toml").read_text("utf-8")
    )
    prices: dict[str, float] = tomllib.loads(text)["price_pj"]
    return prices


def study_energy_mj(operations: Mapping[str, int]) -> float:
    """Modelled energy of the counted operations under the founding study's rule.

    The study's round of the ANN, 10 clients x 2,000 samples x 79,400 multiply-accumulates at 3.1 pJ:

    >>> study_energy_mj({"mac": 79_400 * 20_000, "ac": 0})
    4.9228
    """
    prices = prices_pj("founding-study")
    # In decimals, as the prices are printed: in binary fractions 3.1 pJ would not be 3.1 pJ.
    total_pj = sum(count * Decimal(str(prices[kind])) for kind, count in operations.items())
    return float(total_pj * MILLIJOULE_IN_A_PICOJOULE)
