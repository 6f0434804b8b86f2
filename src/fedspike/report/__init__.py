"""Run directories in; one HTML page, tables and figures out. Never trains, never imports torch.

analysis/    from the records of the runs to networks that may be compared, their energy, their names
figures/     a file for each figure or table: what it needs, its data, its drawing, its caption
sections/    which figures stand below which heading
rendering/   from sections to the page and the files
"""

from fedspike.report.writing import answer, write

__all__ = ["answer", "write"]
