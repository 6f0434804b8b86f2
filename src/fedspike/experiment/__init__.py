"""Experiments: a TOML file or a plan in Python becomes results.

A reader starts at `presets/study.toml`, then `kinds.py` (the families of parts), `plans.py` (the tables of a
file are the fields of parts), `sweep.py` (which runs a file stands for) and `run.py` (they are trained and
stored).
"""
