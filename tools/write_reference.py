"""Writes the tables of keys in docs/configuration.md from the parts: python tools/write_reference.py"""

from pathlib import Path

from fedspike.experiment.explaining import filled
from fedspike.experiment.kinds import Kinds

if __name__ == "__main__":
    page = Path(__file__).parents[1] / "docs" / "configuration.md"
    page.write_text(filled(page.read_text(encoding="utf-8"), Kinds()), encoding="utf-8")
