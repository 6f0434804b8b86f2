"""Writes the tables in docs/ that follow from the parts: python tools/write_reference.py"""

from pathlib import Path

from fedspike.experiment import explaining, operations_table, schema_table
from fedspike.experiment.kinds import Kinds

if __name__ == "__main__":
    docs = Path(__file__).parents[1] / "docs"
    for name, filled in (
        ("configuration.md", explaining.filled),
        ("energy.md", operations_table.filled),
    ):
        page = docs / name
        page.write_text(filled(page.read_text(encoding="utf-8"), Kinds()), encoding="utf-8")
    page = docs / "run-directory.md"
    page.write_text(schema_table.filled(page.read_text(encoding="utf-8")), encoding="utf-8")
