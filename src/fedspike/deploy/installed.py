"""Whether Flower is there; looked for before anything of it is imported."""

from importlib import metadata

from fedspike import extras
from fedspike.errors import InputError

EXTRA = "fleet"
VERSIONS = "flwr 1.41 or 1.42"  # whose inside deploy/ uses: see tests/test_door.py


def demand() -> None:
    """Raise InputError where Flower is not installed, or is another version."""
    missing = "Flower is not installed; it connects the devices of a real fleet"
    extras.demand(["flwr"], EXTRA, missing, expected=VERSIONS)
    if not (present := metadata.version("flwr")).startswith(("1.41.", "1.42.")):
        raise InputError(f"Flower {present}", expected=VERSIONS, fix=extras.install(EXTRA))
