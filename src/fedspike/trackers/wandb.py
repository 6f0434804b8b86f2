"""Weights & Biases (wandb.ai): files in the folder, offline, unless WANDB_MODE is set to something else."""

import json
import subprocess
import sys
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from fedspike.trackers.tracker import About, Tracked

ROUND = "round"  # the metric that all others are drawn over
SETTINGS: Any = {"console": "off", "silent": True, "disable_git": True}
SETTINGS |= {"x_disable_meta": True, "x_disable_stats": True}


class WeightsAndBiases:
    """Each experiment is a project. A run that goes on has more files, which `wandb sync` joins by its id."""

    kind, title, package = "wandb", "Weights & Biases", "wandb"
    quiet: Mapping[str, str] = {"WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false"}

    def open(self, about: About, into: Path) -> Tracked:
        """The run of this id, or a new one."""
        import wandb

        last: dict[str, int] = {}  # the round of each metric, as wandb's own reader prints it
        for file in sorted(into.glob(f"wandb/offline-run-*-{about.id}/run-{about.id}.wandb")):
            reader = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
            for line in subprocess.check_output(reader).splitlines():
                row = json.loads(line).get("history", {}).get("item", {})
                last |= dict.fromkeys(row, row.get(ROUND, 0))
        what: Any = {"id": about.id, "name": about.name, "config": dict(about.settings)}
        what |= {"dir": into, "resume": "allow", "reinit": "create_new", "settings": SETTINGS}
        start = cache(partial(wandb.init, project=about.experiment, **what))
        if not last:
            last = dict.fromkeys(start().summary.keys(), start().summary.get(ROUND, 0))
        return _Run(start, last)

    def shown(self, into: Path) -> tuple[str, list[str]]:
        """Where the runs lie, and the command that shows them."""
        return f"{into}/wandb", ["wandb", "leet", f"{into}/wandb"]


class _Run:
    def __init__(self, start: Any, last: Mapping[str, int]) -> None:
        self._start, self._last = start, last

    def last(self, metric: str) -> int:
        return self._last.get(metric, 0)

    def add(self, round: int, metrics: Mapping[str, float]) -> None:
        self._start().define_metric("*", step_metric=ROUND)
        self._start().log({ROUND: round, **metrics})

    def close(self, _: bool, /) -> None:
        if self._start.cache_info().currsize:
            self._start().finish()
