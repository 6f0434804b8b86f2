"""Writes the parts of docs/ that follow from the code: python tools/write_reference.py"""

import inspect
from importlib import import_module
from pathlib import Path

import fedspike
from fedspike.experiment import explaining, operations_table, schema_table
from fedspike.experiment.kinds import Kinds


def names(text: str) -> str:
    """A document whose block `<!-- names --> ... <!-- end -->` asks Sphinx for what one starts with."""
    parts = []
    for group, rooms in fedspike.FRONT.items():
        parts.append(f"\n## {group.capitalize()}\n\n```{{eval-rst}}\n")
        for room, listed in rooms.items():
            for name in listed.split():
                value = getattr(import_module(f"fedspike.{room}"), name)
                kind = "class" if inspect.isclass(value) else "function"
                members = "   :members:\n" if kind == "class" else ""
                parts.append(f".. auto{kind}:: fedspike.{room}.{name}\n{members}\n")
        parts.append("```\n")
    return explaining.with_block(text, "names", "".join(parts))


FILLED = {
    "api.md": names,
    "configuration.md": lambda text: explaining.filled(text, Kinds()),
    "energy.md": lambda text: operations_table.filled(text, Kinds()),
    "run-directory.md": schema_table.filled,
}

if __name__ == "__main__":
    docs = Path(__file__).parents[1] / "docs"
    for page, filled in FILLED.items():
        path = docs / page
        path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
