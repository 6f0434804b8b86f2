"""Typed configuration, run directories, checkpoints and sweeps: a TOML file becomes results.

A reader starts at `presets/study.toml`, then `config.py` (what is in it), `sweep.py` (which runs it
stands for), `build.py` (names become objects) and `run.py` (they are done and stored).
"""
