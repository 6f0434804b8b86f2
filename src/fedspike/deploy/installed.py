"""Whether Flower is there; looked for before anything of it is imported."""

from importlib import metadata, util

from fedspike.errors import InputError


def demand() -> None:
    """Raise InputError where Flower is not installed, or is another version."""
    fix = "pip install 'fedspike[fleet]'"
    if util.find_spec("flwr") is None:
        raise InputError(
            "Flower is not installed; it connects the devices of a real fleet",
            expected="flwr 1.41",
            fix=fix,
        )
    if not (present := metadata.version("flwr")).startswith("1.41."):
        raise InputError(f"Flower {present}", expected="flwr 1.41", fix=fix)
