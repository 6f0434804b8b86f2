"""Shapes and types that the annotations promise are checked while the tests run."""

from hypothesis import settings
from jaxtyping import install_import_hook

install_import_hook("fedspike", "beartype.beartype")

# A machine that is busy with something else must not fail a test; what is drawn stays reproducible.
settings.register_profile("fedspike", deadline=None, derandomize=True)
settings.load_profile("fedspike")
