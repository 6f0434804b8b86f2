"""The bill: counts x prices, modelled energy in millijoule."""

import tomllib
from collections.abc import Mapping
from importlib import resources

PICOJOULE_IN_MILLIJOULE = 1e-9


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

    >>> round(study_energy_mj({"mac": 79_400 * 20_000, "ac": 0}), 4)
    4.9228
    """
    prices = prices_pj("founding-study")
    return sum(count * prices[kind] for kind, count in operations.items()) * PICOJOULE_IN_MILLIJOULE
