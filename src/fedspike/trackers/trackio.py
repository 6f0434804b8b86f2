"""trackio (github.com/gradio-app/trackio): a database in the folder, or in TRACKIO_DIR where that is set.

By its storage, as its own imports: `trackio.init` asks huggingface.co who you are, if you have a token.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedspike.errors import InputError
from fedspike.trackers.tracker import About, Tracked

FOLDER = "TRACKIO_DIR"  # read once, when trackio is imported


class Trackio:
    """Each experiment is a project, each run a run with its settings as configuration."""

    kind, title, package = "trackio", "trackio", "trackio"
    quiet: Mapping[str, str] = {"HF_HUB_DISABLE_TELEMETRY": "1", "GRADIO_ANALYTICS_ENABLED": "0"}

    def open(self, about: About, into: Path) -> Tracked:
        """The run of this id, or a new one."""
        os.environ.setdefault(FOLDER, str(into))
        from trackio.sqlite_storage import SQLiteStorage
        from trackio.utils import TRACKIO_DIR

        if Path(os.environ[FOLDER]) != TRACKIO_DIR:
            raise InputError(
                f"trackio writes to {TRACKIO_DIR}, and {FOLDER} is {os.environ[FOLDER]}",
                expected="one folder in a process, chosen before trackio is imported",
                fix="send to the other folder with another command",
            )
        SQLiteStorage.validate_project_name(about.experiment)
        return _Run(SQLiteStorage, about)

    def shown(self, into: Path) -> tuple[str, list[str]]:
        """Where the runs lie, and the command that shows them."""
        folder = os.environ.get(FOLDER, str(into))
        return folder, ["env", f"{FOLDER}={folder}", "trackio", "show"]


class _Run:
    def __init__(self, storage: Any, about: About) -> None:
        self._storage, self._settings = storage, dict(about.settings)
        self._run = {"project": about.experiment, "run": about.name, "run_id": about.id}

    def last(self, metric: str) -> int:
        values = self._storage.get_metric_values(metric_name=metric, **self._run)
        return max((value["step"] for value in values), default=0)

    def add(self, round: int, metrics: Mapping[str, float]) -> None:
        more = {"config": self._settings, **self._run}
        self._storage.bulk_log(metrics_list=[metrics], steps=[round], **more)

    def close(self, _: bool, /) -> None:
        """It holds nothing open."""
