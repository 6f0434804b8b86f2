"""Where clients are trained."""
