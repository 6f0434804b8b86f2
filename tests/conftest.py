"""Shapes and types that the annotations promise are checked while the tests run."""

from jaxtyping import install_import_hook

install_import_hook("fedspike", "beartype.beartype")
