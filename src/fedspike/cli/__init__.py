"""The command line: `fedspike run`, `tune`, `report`, `data`, `presets`, `energy`, `doctor`."""

from fedspike.cli.parser import main

__all__ = ["main"]
