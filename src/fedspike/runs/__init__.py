"""Finished runs, taken out of their folders: their models used, their rounds and bills read.

finished_run.py   the run: `fs.load("runs/mine")`
own_models.py     the models of its clients, where each has its own
rebuilding.py     from a run's folder to its plan
round_table.py    its rounds as a table of pandas or polars
"""

from fedspike.runs.finished_run import FinishedRun, load

__all__ = ["FinishedRun", "load"]
