"""The command line: `fedspike run`, `report`, `data`, `presets`, `doctor`."""

from fedspike.cli.parser import main

__all__ = ["main"]
