"""Whether Flower is there; looked for before anything of it is imported."""

from importlib import metadata, util

from fedspike.errors import InputError

VERSIONS = "flwr 1.41 or 1.42"  # whose inside deploy/ uses: see tests/test_door.py


def demand() -> None:
    """Raise InputError where Flower is not installed, or is another version."""
    fix = "pip install 'fedspike[fleet]'"
    if util.find_spec("flwr") is None:
        raise InputError(
            "Flower is not installed; it connects the devices of a real fleet",
            expected=VERSIONS,
            fix=fix,
        )
    if not (present := metadata.version("flwr")).startswith(("1.41.", "1.42.")):
        raise InputError(f"Flower {present}", expected=VERSIONS, fix=fix)
